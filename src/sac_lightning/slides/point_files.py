"""Points and boxes that a person gives for images: as a CSV, or as files of QuPath, ImageJ and napari.

Boxes are in a CSV or in QuPath's GeoJSON. A rectangle of ImageJ has no class that would tell whether it is around
a nucleus, or around the part of the image in which points were set; napari saves those in files of another form.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.slides.napari_points import is_of_napari, read_napari
from sac_lightning.slides.point_labels import FoundPoints, join_arrays, make_array
from sac_lightning.slides.qupath_file import ENDINGS as QUPATH_ENDINGS
from sac_lightning.slides.qupath_file import find_ending, is_of_qupath
from sac_lightning.slides.qupath_points import read_qupath
from sac_lightning.slides.qupath_table import read_qupath_table

# Of files that belong to one image, after which they are named.
ENDINGS = (*QUPATH_ENDINGS, ".tsv", ".roi", ".csv")

Points = dict[str, NDArray[np.float32]]
Tell = Callable[[str], object]


def read_points(path: Path, images: list[Path], tell: Tell = lambda line: None) -> Points:
    """Read expert points, by image file name.

    Args:
        path: A CSV with the columns image (file name, with or without ending), x, y and label, and, of boxes, of
            which x and y are the left top, right and bottom; a file of points of
            one image by QuPath, ImageJ or napari; or a folder of such files. They belong to the image of their
            name; where only one image is segmented, a single file belongs to it whatever its name.
        images: The images that are segmented.
        tell: Called with a line on what was skipped in a file.

    Returns:
        (N, 3) x, y in pixels (whole numbers are the centres of pixels) and label per image file name; (N, 5) where
        there are boxes, see nuclei_of_points.add_boxes.

    Raises:
        UserError: A file cannot be read, holds no points, or names an image that is not segmented.
    """
    if path.is_dir():
        files = sorted(
            file for file in path.iterdir() if find_ending(file, ENDINGS) and not file.name.startswith(".")
        )
        if not files:
            raise UserError(f"{path} holds no points: give a folder with a file NAME.geojson per image")
        return _read_each(files, images, tell)
    if not find_ending(path, ENDINGS) or _is_table(path):
        return _read_csv(path, images)
    if len(images) == 1:
        return {images[0].name: _read_file(path, tell)}
    return _read_each([path], images, tell)


def _is_table(file: Path) -> bool:
    """Return whether a file is a CSV that names the image of each point."""
    return file.suffix.lower() == ".csv" and not is_of_napari(file)


def _names(images: list[Path]) -> dict[str, str]:
    """Return the file name of each image by its name with and without ending."""
    return {image.name: image.name for image in images} | {image.stem: image.name for image in images}


def _read_each(files: list[Path], images: list[Path], tell: Tell) -> Points:
    names = _names(images)
    points: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for file in files:
        if _is_table(file):
            for image, of_image in _read_csv(file, images).items():
                points[image].append(of_image)
            continue
        name = file.name[: -len(find_ending(file, ENDINGS))]
        if name not in names:
            raise UserError(
                f"{file} belongs to no image by its name: name it after its image, or remove it from the points"
            )
        points[names[name]].append(_read_file(file, tell))
    return {name: join_arrays(parts) for name, parts in points.items()}


def _read_file(path: Path, tell: Tell) -> NDArray[np.float32]:
    """Read the points (N, 3 or 5) of one image.

    Raises:
        UserError: The file cannot be read, or holds no points that mean something.
    """
    if path.suffix.lower() == ".csv":
        found = read_napari(path)
    elif path.suffix.lower() == ".tsv":
        found = read_qupath_table(path)
    elif is_of_qupath(path):
        found = read_qupath(path)
    else:
        from sac_lightning.slides.imagej_points import read_imagej

        found = read_imagej(path)
    _tell_skipped(path, found, tell)
    return make_array(found.points, found.boxes)


def _tell_skipped(path: Path, found: FoundPoints, tell: Tell) -> None:
    skipped = ", ".join(f"{count} of {name}" for name, count in sorted(found.skipped.items()))
    if not found.points and not found.boxes:
        reason = f"only {skipped}, which mean nothing" if skipped else "only regions, or nothing"
        remedy = "give points of the classes Positive and Negative"
        raise UserError(f"{path} holds no points of nuclei or background, {reason}: {remedy}")
    if skipped:
        tell(f"skipped in {path.name}: {skipped}")


def _read_csv(path: Path, images: list[Path]) -> Points:
    names = _names(images)
    points: dict[str, FoundPoints] = defaultdict(FoundPoints)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): give a CSV with the columns image,x,y,label") from error
    for line, row in enumerate(rows, start=2):
        try:
            image, x, y, label = row["image"], float(row["x"]), float(row["y"]), float(row["label"])
            box = _read_box(x, y, label, row)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {line}, is not an image and numbers for x, y and label, and of a box, whose label "
                "is 1, greater ones for right and bottom: write them in these columns"
            ) from error
        if image not in names:
            raise UserError(
                f"{path}, line {line}, names the image {image}, which is not among the images: correct it"
            )
        if box is None:
            points[names[image]].points.append((x, y, label))
        else:
            points[names[image]].boxes.append(box)
    return {name: make_array(found.points, found.boxes) for name, found in points.items()}


def _read_box(
    x: float, y: float, label: float, row: Mapping[str, str | None]
) -> tuple[float, float, float, float] | None:
    """Return the box of a line, or None for a point.

    Raises:
        ValueError: It is half a box, an empty one, or one of the background.
    """
    if not row.get("right") and not row.get("bottom"):
        return None
    right, bottom = float(row.get("right") or "nan"), float(row.get("bottom") or "nan")
    if not (x < right and y < bottom and label == 1):
        raise ValueError
    return x, y, right, bottom
