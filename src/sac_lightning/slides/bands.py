"""Strips of probability joined to bands in which every nucleus is complete.

A nucleus that reaches the last row that is known waits for the next strip, so that none is cut at a seam; of an
image that is small enough nothing is labelled before all is there.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.inference.watershed import Maps
from sac_lightning.slides.area import WHOLE, Area
from sac_lightning.slides.band import Band
from sac_lightning.slides.open_regions import clear_open_regions
from sac_lightning.slides.strips import Strip

# A band is closed when it has so many pixels; and whatever is in it, when it has so many. Only a connected region
# that is taller than that is cut: 3,300 rows of an image 20,000 pixels wide, which no nucleus reaches.
BAND_PIXELS = 2**22
MOST_PIXELS = 2**26


def join_strips(
    strips: Iterable[Strip],
    size: tuple[int, int],
    label: Callable[[Maps], NDArray[np.int32]],
    band_pixels: int,
    most_pixels: int,
    threshold: float = THRESHOLD,
    area: Area = WHOLE,
) -> Iterator[Band]:
    """Join the strips of an image and label its nuclei.

    Args:
        strips: From top to bottom, all the width.
        size: Height and width of the image.
        label: From maps to labels; each nucleus must lie in one connected region of the mask.
        band_pixels: From how many pixels on a band is closed; such as BAND_PIXELS.
        most_pixels: From how many pixels on a band is closed though a nucleus is incomplete; such as MOST_PIXELS.
        threshold: The mask is where the probability is greater, or where a strip says that there is a nucleus.
        area: Of which the nuclei are kept.
    """
    waiting = _Waiting(size, threshold, area)
    for strip in strips:
        waiting.strips.append(strip)
        del strip  # A slide is larger than memory: no reference to what is given away may stay.
        if waiting.pixels >= band_pixels or waiting.is_last:
            yield waiting.band(label, most_pixels)


class _Waiting:
    """The rows that no band has given away as final."""

    def __init__(self, size: tuple[int, int], threshold: float, area: Area) -> None:
        self.height, self.width = size
        self.threshold, self.area = threshold, area
        self.strips: list[Strip] = []
        self.labels = np.zeros((0, self.width), dtype=np.int32)  # of these rows, as far as they have been labelled
        self.top = self.count = 0

    @property
    def rows(self) -> int:
        return sum(len(strip.raw) for strip in self.strips)

    @property
    def pixels(self) -> int:
        return self.rows * self.width

    @property
    def is_last(self) -> bool:
        """Whether all rows of the image are here or final."""
        return self.top + self.rows == self.height

    def band(self, label: Callable[[Maps], NDArray[np.int32]], most_pixels: int) -> Band:
        """Label what is complete, and keep copies of the rows that are not final."""
        may_wait = not self.is_last and self.pixels < most_pixels
        self.strips = [_stack_strips(self.strips)]
        whole = self.strips[0]
        labels = np.zeros((len(whole.raw), self.width), dtype=np.int32)
        labels[: len(self.labels)] = self.labels
        nucleus = whole.probability > self.threshold if whole.nuclei is None else whole.nuclei > 0
        mask = nucleus & (labels == 0)
        final = clear_open_regions(mask) if may_wait else len(mask)
        new = label(Maps(mask, whole.probability, whole.generator_maps, whole.nuclei))
        new = self.area.keep(new, whole.probability, self.top)
        np.add(new, self.count, out=new, where=new > 0)
        self.count = max(self.count, int(new.max(initial=0)))
        labels += new
        self.area.clear_outside(whole.probability[:final], labels[:final], self.top)
        band = Band(self.top, final, whole.raw, whole.rgb, whole.probability, labels, new)
        self.strips, self.labels = [_copy_rows_below(whole, final)], labels[final:].copy()
        self.top += final
        return band


def _stack_strips(strips: list[Strip]) -> Strip:
    """Stack strips into one, without the points."""
    raw, rgb, probability = (
        np.concatenate([getattr(strip, name) for strip in strips]) for name in ("raw", "rgb", "probability")
    )
    generated = [strip.generator_maps for strip in strips]
    generator = None
    maps = next((len(part) for part in generated if part is not None), None)
    if maps is not None:
        # Above the first window, none has been asked.
        generator = np.concatenate(
            [
                np.zeros((maps, *strip.probability.shape), dtype=np.float32) if part is None else part
                for part, strip in zip(generated, strips, strict=True)
            ],
            axis=1,
        )
    parts = [strip.nuclei for strip in strips if strip.nuclei is not None]
    nuclei = np.concatenate(parts) if parts else None
    return Strip(raw, rgb, probability, generator, strips[0].points[:0], strips[0].labels[:0], nuclei)


def _copy_rows_below(strip: Strip, top: int) -> Strip:
    """Copy the rows of a strip from ``top`` on: a view would keep the others in memory."""
    generator = None if strip.generator_maps is None else strip.generator_maps[:, top:].copy()
    return Strip(
        strip.raw[top:].copy(),
        strip.rgb[top:].copy(),
        strip.probability[top:].copy(),
        generator,
        strip.points,
        strip.labels,
        None if strip.nuclei is None else strip.nuclei[top:].copy(),
    )
