"""Which words make a point one of a nucleus or of the background, whichever program it comes from."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    """

    points: list[tuple[float, float, int]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def label_of(names: Iterable[str]) -> int | None:
    """Return the label that the names of a class stand for, such as ``Tumor`` and ``Positive`` of a derived class.

    None: they stand for none, or for both; or one ends in a star, by which QuPath marks what is to be ignored.
    """
    words = [name.strip().lower() for name in names]
    if is_ignored(word for word in words if word.rstrip(IGNORED) not in LABELS):
        return None
    labels = {LABELS[word.rstrip(IGNORED)] for word in words if word.rstrip(IGNORED) in LABELS}
    return labels.pop() if len(labels) == 1 else None


def make_array(points: Sequence[tuple[float, float, float]]) -> NDArray[np.float32]:
    """Return points as (N, 3); a number that is too large becomes infinite, which lies outside of every image."""
    with np.errstate(over="ignore"):
        return np.array(points, dtype=np.float32).reshape(-1, 3)
