"""The range of an image's numbers worth seeing: percentiles of the tissue or signal, not of what surrounds it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.background import full_scale
from sac_lightning.images.cells import CELL
from sac_lightning.images.slide import Pixels, Slide

if TYPE_CHECKING:  # whoever asks has found it: the chain of imports stays short
    from sac_lightning.images.tissue import Tissue

# So many pixels are looked at, spread evenly over the tissue: percentiles are known to a hundredth of a percent.
SAMPLED_PIXELS = 2**22
PERCENTILES = (0.5, 99.5)
# The range is at most so many times what the stronger things stand out: a fibre shines, a line of ink is black.
OUTSTANDING = 4.0
# And at least so many times the noise.
NOISE_SPAN = 10.0
# A number by itself, further away from all others than this part of their range, was not measured: it is of a dead
# border, a scale bar, a saturated line. Numbers with such gaps everywhere are few, as those of a mask.
GAP = 0.05
FEW_NUMBERS = 8


def sample_tissue(slide: Slide, tissue: "Tissue") -> Pixels:
    """Return pixels (n,) or (n, 3), spread evenly over the tissue; over the whole image, where there is none.

    What a cell at the edge of the tissue holds of the glass beside it does not count.
    """
    cells = tissue.core if tissue.core.any() else np.ones_like(tissue.core)
    every = max(1, -(-int(cells.sum()) * CELL**2 // SAMPLED_PIXELS))
    parts = [slide.read(0, 0).reshape(0, *slide.read(0, 1).shape[2:])]
    passed = 0
    for top, bottom in slide.strip_ends():
        rows = cells[np.arange(top, bottom) // CELL]
        if rows.any():
            strip = slide.read(top, bottom)
            wanted = np.repeat(rows, CELL, axis=1)[:, : slide.width]
            if tissue.rim is not None:
                wanted &= ~tissue.rim.hides(strip, top)
            inside = strip[wanted]
            parts.append(inside[-passed % every :: every])
            passed += len(inside)
    return np.concatenate(parts)


def find_limits(sample: Pixels, tissue: "Tissue") -> tuple[float, float]:
    """Return the numbers that become black and white.

    Args:
        sample: See sample_tissue.
        tissue: Of the same image, in the same numbers.
    """
    if not tissue.core.any():
        # Nothing stands out: to stretch it would be to show its noise.
        return min(0.0, float(sample.min())), full_scale(float(sample.max()), sample.dtype, sample.ndim == 2)
    low, high = _percentiles(_drop_lone_ends(_used_channels(sample)))
    most, least = OUTSTANDING * tissue.contrast, NOISE_SPAN * tissue.noise
    span = max(min(high - low, most), least)
    return (high - span, high) if tissue.bright else (low, low + span)


def _used_channels(sample: Pixels) -> Pixels:
    """Return the numbers of the channels that hold more than one: a dye that is shown in blue leaves two empty.

    Of a grey image with three channels these are those of one, as if it had only one.
    """
    if sample.ndim == 1:
        return sample
    if (sample == sample[:, :1]).all():
        return sample[:, 0]
    used = (sample != sample[0]).any(axis=0)
    return sample[:, used].ravel() if used.any() else sample.ravel()


def _drop_lone_ends(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers (n,) without the lowest and the highest one, where these lie far away from the others."""
    numbers = find_ends(values)
    if len(numbers) <= FEW_NUMBERS:
        return values
    for lone, next_one in ((numbers[0], numbers[1]), (numbers[-1], numbers[-2])):
        others = values[values != lone]
        low, high = _percentiles(others)
        if abs(float(lone) - float(next_one)) > GAP * (high - low):
            values = others
    return values


def find_ends(values: NDArray[Any]) -> NDArray[Any]:
    """Return the two lowest and the two highest numbers and some between, sorted."""
    if values.dtype in (np.uint8, np.uint16):
        return np.flatnonzero(np.bincount(values))
    return np.unique(values)


def _percentiles(values: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)
