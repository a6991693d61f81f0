"""What a truth looks like in numbers, measured once for each file."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from sac_lightning.core.masks import MaskMeaning
from sac_lightning.data.image_file import read_instances
from sac_lightning.data.mask_file import MOST_CLASSES, read_mask

# Of files measured by one process: a sweep opens its data sets again for each job.
REMEMBERED_FILES = 2**17


@dataclass(frozen=True)
class TruthFacts:
    """What a truth looks like.

    Attributes:
        labels: Different numbers but 0; 1 for a mask that is not empty.
        regions: Connected regions of one number.
        foreground: Share of the image that is nucleus, in [0, 1].
        largest: Share of the image that the largest number of a label map, or region of a mask, covers.
        border: Share of the image's outermost pixels that the same number or region covers.
        values: The values that a mask stores; none of a mask that stores many, or of a label map.
    """

    labels: int
    regions: int
    foreground: float
    largest: float
    border: float
    values: tuple[float, ...] = ()


def measure_truth(path: Path, meaning: MaskMeaning | None) -> TruthFacts:
    """Return what a truth looks like; a file that has not changed since is not read again.

    Args:
        path: Of the file.
        meaning: Which values of a mask are nucleus; None for a label map.

    Raises:
        UserError: The truth cannot be read, or is doubtful.
    """
    try:
        state = path.stat()
    except OSError:
        return _measure(path, meaning)  # Reading it says what is wrong.
    return _measure_file(path.absolute(), state.st_size, state.st_mtime_ns, meaning)


@lru_cache(REMEMBERED_FILES)
def _measure_file(path: Path, size: int, modified: int, meaning: MaskMeaning | None) -> TruthFacts:
    return _measure(path, meaning)


def _measure(path: Path, meaning: MaskMeaning | None) -> TruthFacts:
    if meaning is None:
        labels = read_instances(path)
        areas = np.bincount(labels.ravel()).astype(np.int64)
        areas[0] = 0
        regions = int(label(labels, background=0, connectivity=2, return_num=True)[1])
        return _describe(labels, areas, int(np.count_nonzero(areas)), regions, ())
    mask, values = read_mask(path, meaning)
    count, numbered, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0
    few = tuple(map(float, values)) if len(values) <= MOST_CLASSES else ()
    return _describe(numbered.astype(np.int32), areas, int(mask.any()), count - 1, few)


def _describe(
    numbered: NDArray[np.int32], areas: NDArray[np.int64], labels: int, regions: int, values: tuple[float, ...]
) -> TruthFacts:
    largest = int(areas.argmax())
    border = np.concatenate([numbered[0], numbered[-1], numbered[:, 0], numbered[:, -1]])
    return TruthFacts(
        labels=labels,
        regions=regions,
        foreground=float(areas.sum() / numbered.size),
        largest=float(areas[largest] / numbered.size),
        border=float((border == largest).mean()) if labels else 0.0,
        values=values,
    )
