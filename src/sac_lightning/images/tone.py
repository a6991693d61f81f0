"""From a file's own numbers to the 8-bit RGB that a model sees, without the whole image at once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import stretch_table
from sac_lightning.images.slide import Pixels, Slide


@dataclass(frozen=True)
class Tone:
    """How rows of one image become 8-bit RGB, the same way from its first row to its last.

    Attributes:
        low: The number that becomes 0.
        span: From ``low`` to the number that becomes 255; None: the file has 8 bits, which stay as they are.
        stretch: (256,) what the view makes of the 8 bits; None: they stay as they are.
    """

    low: float
    span: float | None
    stretch: NDArray[np.uint8] | None = None

    def rgb(self, raw: Pixels) -> NDArray[np.uint8]:
        """Convert rows (n, W) or (n, W, 3) of the file to 8-bit RGB (n, W, 3), as image_file.read_image does."""
        rows = raw
        if self.span is not None:
            rows = np.round((raw.astype(np.float32) - self.low) / self.span * 255).astype(np.uint8)
        return rows if rows.ndim == 3 else np.repeat(rows[:, :, None], 3, axis=2)

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Prepare 8-bit RGB for the model, as View.prepare does with the whole image."""
        return rgb if self.stretch is None else self.stretch[rgb]


def tone_of(slide: Slide, stretch: bool) -> Tone:
    """Find an image's tone, strip by strip: its range of numbers and, to stretch it, its histogram.

    Raises:
        UserError: It holds numbers that are not finite.
    """
    first = slide.read(0, 1)
    tone = Tone(0.0, None) if first.dtype == np.uint8 else _find_range(slide)
    if not stretch:
        return tone
    counts = np.zeros(256, dtype=np.int64)
    for raw in slide.strips():
        for row in tone.rgb(raw):  # bincount takes eight bytes for each that it counts
            counts += np.bincount(row.ravel(), minlength=256)
    return Tone(tone.low, tone.span, stretch_table(counts))


def _find_range(slide: Slide) -> Tone:
    low, high = math.inf, -math.inf
    for raw in slide.strips():
        ends = [float(end) for end in (raw.min(), raw.max())]
        if not all(map(math.isfinite, ends)):
            raise UserError("it holds values that are infinite or NaN: save it with 8 or 16 bits")
        low, high = min(low, ends[0]), max(high, ends[1])
    return Tone(low, max(high - low, 1e-6))
