"""GlaS at MICCAI 2015, the Warwick-QU data set (research use only): H&E colon tissue at 20x, outlined glands.

Layout: one folder with ``train_N.bmp`` (85), ``testA_N.bmp`` (60) and ``testB_N.bmp`` (20), each with its
label map ``<name>_anno.bmp`` (0 = background, one positive number per gland), and ``Grade.csv``, whose grade
(``benign`` or ``malignant``) becomes the note.
"""

import csv
import re
from pathlib import Path, PurePosixPath

import numpy as np

from sac_lightning.core.errors import UserError
from sac_lightning.data.label_maps import renumber_labels
from sac_lightning.data.official import (
    OfficialImage,
    Reading,
    Source,
    check_same_size,
    unique_names,
)

URL = "https://warwick.ac.uk/fac/cross_fac/tia/data/glascontest/download/"
SPLITS = {"train": "train", "testA": "test_a", "testB": "test_b"}


def read(source: Path) -> Reading:
    """Read the training images and both test parts, sorted by name.

    Args:
        source: The folder of the .bmp files, a folder above it, or a .zip.

    Raises:
        UserError: No image is found, an image has no label map, sizes differ, or a file cannot be read.
    """
    files = Source(source)
    images = unique_names(files, [file for file in files.images(".bmp") if _part(file) is not None])
    present = set(files.files)
    for file in images.values():
        if _label_map(file) not in present:
            raise UserError(f"image {files.path / file} has no mask: put {_label_map(file).name} beside it.")
    grades = _grades(files)
    return Reading(len(images), (_convert_image(files, file, grades) for file in images.values()))


def obtain(downloads: Path) -> Path:
    """Raise UserError with instructions to download the data set by hand, as its owner demands."""
    raise UserError(
        f"glas has to be downloaded by hand: get the archive from {URL} (research use only), "
        "and run `python -m sac_lightning.prepare dataset=glas source=FOLDER_OR_ZIP`."
    )


def _part(file: PurePosixPath) -> str | None:
    """Return the part of the data set that a file name stands for, None if the file is not one of its images."""
    match = re.fullmatch(r"(train|testA|testB)_\d+", file.stem)
    return match and match[1]


def _label_map(file: PurePosixPath) -> PurePosixPath:
    return file.with_name(f"{file.stem}_anno{file.suffix}")


def _grades(source: Source) -> dict[str, str]:
    """Read ``benign`` or ``malignant`` by image name, from any column: headings differ between releases."""
    grades = {}
    for file in source.files:
        if file.name != "Grade.csv":
            continue
        try:
            rows = list(csv.reader(source.read(file).decode("utf-8-sig").splitlines()))
        except (UnicodeDecodeError, csv.Error) as error:
            raise source.read_error(file) from error
        for name, *cells in filter(None, rows):
            found = [cell.strip() for cell in cells if cell.strip() in ("benign", "malignant")]
            grades[name.strip()] = found[0] if found else ""
    return grades


def _convert_image(source: Source, file: PurePosixPath, grades: dict[str, str]) -> OfficialImage:
    image = source.rgb(file)
    labels = np.asarray(source.picture(_label_map(file)))
    if labels.ndim != 2 or labels.dtype not in (np.bool_, np.uint8, np.uint16):
        raise source.read_error(_label_map(file))
    check_same_size(image, labels, source.path / file, source.path / _label_map(file))
    split = SPLITS[str(_part(file))]
    return OfficialImage(
        file.stem, split, "histology", image, renumber_labels(labels.astype(np.int32)), grades.get(file.stem, "")
    )
