"""2018 Data Science Bowl, stage 1 train (BBBC038, CC0): 670 images of nuclei, 29,461 nuclei.

Layout: ``stage1_train/<id>/images/<id>.png`` (RGBA) and ``stage1_train/<id>/masks/*.png``, one nucleus each.

The owner gives no modality, so a rule of colour and brightness finds it. An image with colour is
``histology_colour`` (mean difference of the largest and the smallest channel above 5; measured 11.9 and more,
0 elsewhere). One without is ``brightfield_grey`` if its mean is above 127 (measured 205 and more), else
``fluorescence`` (measured 57.2 and less). The rule agrees with the modality given to us on all 670 images:
546 fluorescence, 108 histology_colour, 16 brightfield_grey.
"""

import os
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.request import urlopen
from zipfile import is_zipfile

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.data.label_maps import renumber_labels
from sac_lightning.data.official import (
    OfficialImage,
    Reading,
    Source,
    check_same_size,
    unique_names,
)

URL = "https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip"


def read(source: Path) -> Reading:
    """Read the images of stage 1 train, sorted by name.

    Args:
        source: The folder ``stage1_train``, a folder above it, or its .zip.

    Raises:
        UserError: No image is found, an image has no mask, sizes differ, or a file cannot be read.
    """
    files = Source(source)
    pairs = _pairs(files)
    return Reading(len(pairs), (_convert_image(files, image, masks) for image, masks in pairs))


def obtain(downloads: Path) -> Path:
    """Return the path of the owner's archive in a folder of downloads; download it if it is not there yet.

    Args:
        downloads: Folder for the archive; created if needed.

    Raises:
        UserError: The archive cannot be downloaded completely.
    """
    archive = downloads / "stage1_train.zip"
    if archive.is_file():
        return archive
    part = downloads / f"stage1_train.zip.{os.getpid()}.part"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            _download(file)
        if not is_zipfile(part):
            raise OSError("the download is not a complete .zip")
        os.replace(part, archive)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"{URL} could not be downloaded ({reason}): get it on another machine, put it at {archive}, "
            "and run this command again."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return archive


def classify_modality(image: npt.NDArray[np.uint8]) -> str:
    """Return fluorescence, histology_colour or brightfield_grey, by colour and brightness (our choice).

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    colour = (image.max(axis=2) - image.min(axis=2)).mean()
    if colour > 5:
        return "histology_colour"
    return "brightfield_grey" if image.mean() > 127 else "fluorescence"


def _pairs(source: Source) -> list[tuple[PurePosixPath, list[PurePosixPath]]]:
    """Pair each image file with its mask files."""
    pictures = source.images(".png")
    if any("stage1_train" in file.parts for file in pictures):  # Test images may lie beside them, without masks.
        pictures = [file for file in pictures if "stage1_train" in file.parts]
    masks: dict[PurePosixPath, list[PurePosixPath]] = {}
    for file in pictures:
        if file.parent.name == "masks":
            masks.setdefault(file.parent.parent, []).append(file)
    images = [file for file in pictures if file.parts[-3:-1] == (file.stem, "images")]
    found = unique_names(source, images).values()
    for file in found:
        if file.parent.parent not in masks:
            folder = source.path / file.parent.parent / "masks"
            raise UserError(f"image {source.path / file} has no mask: put its masks into {folder}.")
    return [(file, masks[file.parent.parent]) for file in found]


def _convert_image(source: Source, file: PurePosixPath, masks: list[PurePosixPath]) -> OfficialImage:
    image = source.rgb(file)
    instances = np.zeros(image.shape[:2], np.int32)
    for number, mask_file in enumerate(masks, start=1):
        nucleus = np.asarray(source.picture(mask_file).convert("L")) > 0
        check_same_size(image, nucleus, source.path / file, source.path / mask_file)
        instances[nucleus & (instances == 0)] = number
    return OfficialImage(file.stem, "unsplit", classify_modality(image), image, renumber_labels(instances), "")


def _download(file: BinaryIO) -> None:
    """Download URL to a file, with a progress bar.

    Raises:
        OSError: The number of bytes differs from the announced one, or the connection failed.
    """
    with urlopen(URL, timeout=60) as response:
        announced = response.headers.get("Content-Length")
        total = int(announced) if announced else None
        received = 0
        with tqdm(desc="stage1_train.zip", total=total, unit="B", unit_scale=True, disable=None) as bar:
            while block := response.read(1 << 20):
                received += file.write(block)
                bar.update(len(block))
    if total is not None and received != total:
        raise OSError(f"received {received} of {total} bytes")
