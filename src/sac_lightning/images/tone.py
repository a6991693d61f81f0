"""From a file's own numbers to the 8-bit RGB that a model sees, without the whole image at once.

The one way there: training, evaluation, predict, the page and the library ask here. Limits are percentiles of the
tissue or signal, and not of the glass or dark field around it, see tissue.py.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.view import stretch_table
from sac_lightning.images.background import full_scale
from sac_lightning.images.hot import fill_hot, find_hot
from sac_lightning.images.limits import find_limits, sample_tissue
from sac_lightning.images.slide import Pixels, Slide, whole_slide
from sac_lightning.images.tissue import Tissue, find_tissue

# The brightest part of a picture of bright field lies from here on; where a camera of more than 8 bits was not
# used to its end, it is brought here.
WHITE = 0.8
# One number only spans nothing. Fractions may be of any size.
LEAST_SPAN = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Tone:
    """How rows of one image become 8-bit RGB, the same way from its first row to its last.

    Attributes:
        low: The number that becomes 0.
        span: From ``low`` to the number that becomes 255; None: the file has 8 bits, which stay as they are.
        stretch: (256,) what the view makes of the 8 bits; None: they stay as they are.
        hot: From this number on nothing was measured: what lies to both sides in the row is shown in its place.
    """

    low: float
    span: float | None
    stretch: NDArray[np.uint8] | None = None
    hot: float = np.inf

    def rgb(self, raw: Pixels) -> NDArray[np.uint8]:
        """Convert rows (n, W) or (n, W, 3) of the file to 8-bit RGB (n, W, 3)."""
        rows = raw
        if self.span is not None:
            scaled = (fill_hot(raw, self.hot).astype(np.float32) - self.low) / self.span * 255
            rows = np.round(np.clip(scaled, 0, 255)).astype(np.uint8)
        return rows if rows.ndim == 3 else np.repeat(rows[:, :, None], 3, axis=2)

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Prepare 8-bit RGB for the model, as prepare_image does with the whole image."""
        return rgb if self.stretch is None else self.stretch[rgb]


def tone_of(slide: Slide, stretch: bool, tissue: Tissue | None = None) -> Tone:
    """Find an image's tone, strip by strip: its range of numbers and, to stretch it, that of its 8 bits.

    Args:
        slide: The image.
        stretch: Whether the view stretches the contrast.
        tissue: Where there is something in it. Default: it is found, if need be.

    Raises:
        UserError: It holds numbers that are infinite.
    """
    tone = Tone(0.0, None)
    if slide.read(0, 1).dtype == np.uint8:
        return replace(tone, stretch=_stretch(slide, tissue)) if stretch else tone
    tone = _find_range(slide, find_tissue(slide) if tissue is None else tissue)
    if not stretch:
        return tone
    is_grey = slide.read(0, 1).ndim == 2

    def read(top: int, bottom: int) -> Pixels:
        rgb = tone.rgb(slide.read(top, bottom))
        return rgb[:, :, 0] if is_grey else rgb

    return replace(tone, stretch=_stretch(replace(slide, read=read), None))


def prepare_image(image: NDArray[np.uint8], stretch: bool) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) as the model sees it: stretched, if the view says so."""
    if not stretch:
        return image
    return tone_of(whole_slide(image), stretch=True).prepare(image)


def _stretch(slide: Slide, tissue: Tissue | None) -> NDArray[np.uint8]:
    """Return the table (256,) by which 8 bits are stretched."""
    tissue = find_tissue(slide) if tissue is None else tissue
    return stretch_table(*find_limits(sample_tissue(slide, tissue), tissue))


def _find_range(slide: Slide, tissue: Tissue) -> Tone:
    """Find the range of numbers that is brought to 8 bits.

    In the dark it is that of the signal. In bright field 0 stays black, and white is what the camera could hold.
    """
    sample = sample_tissue(slide, tissue)
    low, high = find_limits(sample, tissue)
    if tissue.bright:
        full = full_scale(high, sample.dtype, sample.ndim == 2)
        low, high = min(low, 0.0), max(min(full, high / WHITE), high)
        return Tone(low, max(high - low, LEAST_SPAN))
    return Tone(low, max(high - low, LEAST_SPAN), hot=find_hot(sample, tissue))
