"""Hot pixels, lines and patches of a dark field: one number, far above all that was measured, that is no light."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.limits import FEW_NUMBERS, GAP, PERCENTILES, find_ends
from sac_lightning.images.slide import Pixels

if TYPE_CHECKING:  # whoever asks has found it
    from sac_lightning.images.tissue import Tissue


def find_hot(sample: Pixels, tissue: "Tissue") -> float:
    """Return the number of hot pixels of a grey image; infinite where there is none.

    Args:
        sample: (n,) pixels of the tissue.
        tissue: Of the same image.
    """
    highest, below = tissue.highest
    if sample.ndim == 2 or not np.isfinite(below) or len(find_ends(sample)) <= FEW_NUMBERS:
        return np.inf
    low, high = np.percentile(sample[sample < highest], PERCENTILES)
    return highest if highest - below > GAP * (high - low) else np.inf


def fill_hot(rows: Pixels, hot: float) -> Pixels:
    """Return rows (n, W) whose hot pixels lie on a line from what is before them in the row to what is behind.

    A row that is hot from end to end has nothing to be filled with, and takes the lowest number of the rows.
    """
    if rows.ndim == 3 or not np.isfinite(hot):
        return rows
    is_hot: NDArray[np.bool_] = rows >= hot
    if not is_hot.any():
        return rows
    filled = rows.copy()
    columns = np.arange(rows.shape[1])
    for number in np.flatnonzero(is_hot.any(axis=1)):
        there = ~is_hot[number]
        if there.any():
            line = np.interp(columns[~there], columns[there], rows[number, there])
            filled[number, ~there] = line.astype(rows.dtype)
        else:
            filled[number] = rows.min()
    return filled
