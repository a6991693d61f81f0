"""Which words make a point one of a nucleus or of the background, whichever program it comes from."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sac_lightning.inference.nuclei_of_points import add_boxes
from sac_lightning.slides.qupath_classes import IGNORED, is_ignored

# QuPath's own classes, and the words of this package; case does not matter.
LABELS = {
    "positive": 1,
    "nucleus": 1,
    "nuclei": 1,
    "foreground": 1,
    "negative": 0,
    "background": 0,
}
UNCLASSIFIED = "no class"


@dataclass
class FoundPoints:
    """The points of a file.

    Attributes:
        points: x, y and label of each; whole numbers are the centres of pixels.
        skipped: How many others there are, by class.
        boxes: Left, top, right and bottom of each around a nucleus, in the same pixels.
    """

    points: list[tuple[float, float, float]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)


def label_of(names: Iterable[str]) -> int | None:
    """Return the label that the names of a class stand for, such as ``Tumor`` and ``Positive`` of a derived class.

    None: they stand for none, or for both; or one ends in a star, by which QuPath marks what is to be ignored.
    """
    words = [name.strip().lower() for name in names]
    if is_ignored(word for word in words if word.rstrip(IGNORED) not in LABELS):
        return None
    labels = {LABELS[word.rstrip(IGNORED)] for word in words if word.rstrip(IGNORED) in LABELS}
    return labels.pop() if len(labels) == 1 else None


def make_array(
    points: Sequence[tuple[float, float, float]], boxes: Sequence[tuple[float, float, float, float]] = ()
) -> NDArray[np.float32]:
    """Return points as (N, 3), or with boxes as (N + M, 5), see nuclei_of_points.add_boxes.

    A number that is too large becomes infinite, which lies outside of every image.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        given = np.array(points, dtype=np.float32).reshape(-1, 3)
        return add_boxes(given, np.array(boxes, dtype=np.float32).reshape(-1, 4))


def join_arrays(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join what make_array made of several files of an image."""
    columns = max(part.shape[1] for part in parts)
    return np.concatenate([np.pad(part, ((0, 0), (0, columns - part.shape[1]))) for part in parts])
