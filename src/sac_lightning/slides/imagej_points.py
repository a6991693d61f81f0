"""Points that a person has set in ImageJ: a region of interest, or a set of them from the ROI Manager."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from sac_lightning.core.errors import UserError
from sac_lightning.images.quiet import silence_libraries
from sac_lightning.slides.point_labels import FoundPoints, label_of
from sac_lightning.slides.qupath_file import DAMAGE

ENDING = ".roi"
# Of one region; a million points have a hundredth of it.
MOST_BYTES = 2**30


def read_imagej(path: Path) -> FoundPoints:
    """Read the points of a .roi file or of a ZIP file of such.

    ImageJ's regions have no class: a point is one of a nucleus unless the name of its region begins with another
    word of LABELS, such as ``Negative`` or ``background-2``. Regions that are no points are passed over.

    Raises:
        UserError: The file cannot be read.
    """
    found = FoundPoints()
    try:
        with silence_libraries():
            for content in _contents(path):
                _add_points(ImagejRoi.frombytes(content), found)
    except DAMAGE as error:
        reason = str(error) if isinstance(error, OSError) else "it is no selection of ImageJ"
        raise UserError(f"{path} cannot be used ({reason}): save points from ImageJ's ROI Manager") from error
    return found


def _add_points(roi: ImagejRoi, found: FoundPoints) -> None:
    if roi.roitype != ROI_TYPE.POINT:
        return
    word = re.match(r"[^\W\d_]*", roi.name)
    label = label_of([word[0] if word else ""])
    # ImageJ (since 1.52u) counts those of points from the centre of the first pixel, of areas from its corner.
    coordinates = np.asarray(roi.coordinates(), dtype=np.float64).tolist()
    found.points.extend((x, y, 1 if label is None else label) for x, y in coordinates)


def _contents(path: Path) -> Iterator[bytes]:
    if path.suffix.lower() != ".zip":
        yield path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            # What macOS adds to a ZIP file of its own begins with a dot.
            if name.lower().endswith(ENDING) and not PurePosixPath(name).name.startswith("."):
                with archive.open(name) as file:
                    yield file.read(MOST_BYTES)
