"""A slide through a model: strips of probabilities from top to bottom, with only some rows in memory.

The numbers are those of Predictor.segment on the whole image: the same windows in the same batches, added up in
the same order. Where tissue lies in glass, each piece of it has the windows that it would have alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import Window
from sac_lightning.data.windows import BATCH_SIZE, batch_windows, place_points, to_image_pixels
from sac_lightning.images.slide import Pixels, Slide
from sac_lightning.images.tone import Tone
from sac_lightning.inference.nuclei_of_points import EncodedWindows, join_windows
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.windows import BLENDED, Blend, run_windows
from sac_lightning.slides.area import WHOLE, Area

# What one window may hold: a model without windows sees the whole image, three floats per pixel.
MAX_WINDOW_PIXELS = 2**26
# How much is read at a time of what no window looks at: as much as a row of windows has.
GLASS_PIXELS = 2**22


@dataclass
class Strip:
    """Some rows of an image, all columns, one strip below the other.

    Attributes:
        raw: (n, W) or (n, W, 3) in the file's own numbers.
        rgb: (n, W, 3) uint8.
        probability: (n, W) float32 in [0, 1].
        generator_maps: (C, n, W) float32, the prompt generator's own, see Prediction; or None without one.
        points: (N, 2) xy in image pixels, of the windows that were segmented since the strip before; those that
            lie in this strip's rows came with it or before it.
        labels: (N,) 1 nucleus, 0 background.
        nuclei: (n, W) int32, the numbers of nuclei that were decoded by themselves, see decoded_strips; or None.
        encoded: The windows that were segmented since the strip before, where they were asked for.
    """

    raw: Pixels
    rgb: NDArray[np.uint8]
    probability: NDArray[np.float32]
    generator_maps: NDArray[np.float32] | None
    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    nuclei: NDArray[np.int32] | None = None
    encoded: EncodedWindows | None = None


@torch.no_grad()
def segment_slide(
    predictor: Predictor,
    slide: Slide,
    tone: Tone,
    points: NDArray[np.float32],
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda windows: None,
    area: Area = WHOLE,
    encode: bool = False,
) -> Iterator[Strip]:
    """Segment a slide of any size.

    Args:
        predictor: The model, its view and its device.
        slide: The image.
        tone: Its 8-bit colours.
        points: (N, 3 or 5) expert points, xy in image pixels and label.
        seed: Of the random selection; window t gets seed + t.
        batch_size: Windows per forward pass.
        progress: Called with the number of windows that have been segmented since the last call.
        area: The part of the slide in which nuclei are looked for; elsewhere the probability is 0.
        encode: Give the encoded windows along, for their nuclei to be decoded.

    Raises:
        UserError: A point lies outside the image, or the model sees images whole and this one is too large.
    """
    windows = area.windows(predictor.view, slide.height, slide.width)
    _refuse_large_window(windows[0].width * windows[0].height)
    expert_points = place_points(
        points[:, :2], points[:, 2], (slide.width, slide.height), windows, predictor.device
    )
    rows = _Rows(slide, tone, predictor.device, area)
    found: list[tuple[Tensor, Tensor]] = []
    encoded: list[EncodedWindows] = []
    numbers = [number for number, window in enumerate(windows) if area.meets(window)]
    for batch in batch_windows(windows, predictor.view, expert_points, batch_size, numbers):
        # The windows go from top to bottom: what lies above this one is final.
        for bottom in rows.pass_over(batch.windows[0].top):
            yield rows.take(bottom, found, encoded)
            found, encoded = [], []
        rows.reach(max(window.top + window.height for window in batch.windows))
        images = batch.cut(rows.pixels, rows.top)
        with predictor.autocast():
            output = run_windows(predictor.model, images, batch, predictor.view, seed, encode)
        generated = output.generator_logits
        if encode and output.image_embeddings is not None and generated is not None:
            encoded.append(EncodedWindows(batch.windows, output.image_embeddings, generated))
        for i, window in enumerate(batch.windows):
            rows.add(output.logits[i], None if generated is None else generated[i, :BLENDED], window)
            found.append(to_image_pixels(output.point_coords[i], output.point_labels[i], window, predictor.view))
        progress(len(batch.windows))
    for bottom in rows.pass_over(slide.height):
        yield rows.take(bottom, found, encoded)
        found, encoded = [], []


class _Rows:
    """The rows of a slide that windows still look at, and what these have added up to."""

    def __init__(self, slide: Slide, tone: Tone, device: torch.device, area: Area) -> None:
        self.slide, self.tone, self.area = slide, tone, area
        self.top = self.bottom = 0
        self.raw = slide.read(0, 0)
        self.rgb = tone.rgb(self.raw)
        self.pixels = torch.zeros(3, 0, slide.width, dtype=torch.uint8, device=device)
        self.blend = Blend(0, slide.width, device)
        self.generator_blend: Blend | None = None

    def reach(self, bottom: int) -> None:
        """Read on to this row or a few more, or to the last."""
        if min(bottom, self.slide.height) <= self.bottom:
            return
        bottom = self.slide.whole_pieces(bottom)
        raw = self.slide.read(self.bottom, bottom)
        rgb = self.tone.rgb(raw)
        # What is a part of the file itself may not be written, of which torch would warn.
        prepared = np.require(self.tone.prepare(rgb), requirements="W")
        pixels = torch.from_numpy(prepared).permute(2, 0, 1).to(self.pixels.device)
        self.raw, self.rgb = np.concatenate([self.raw, raw]), np.concatenate([self.rgb, rgb])
        self.pixels = torch.cat([self.pixels, pixels], dim=1)
        for blend in self._blends():
            empty = blend.sum.new_zeros(len(blend.sum), len(raw), self.slide.width)
            blend.sum, blend.weight = torch.cat([blend.sum, empty], dim=1), torch.cat([blend.weight, empty[0]])
        self.bottom = bottom

    def pass_over(self, bottom: int) -> Iterator[int]:
        """Yield the ends of parts that lie above a row and are to be taken: first what is here, then glass."""
        while self.top < bottom:
            if self.bottom == self.top:
                self.reach(min(bottom, self.top + max(1, GLASS_PIXELS // self.slide.width)))
            yield min(self.bottom, bottom)

    def add(self, logits: Tensor, generator_logits: Tensor | None, window: Window) -> None:
        """Add what the model answered for a window of the slide."""
        window = window.move(down=-self.top)
        self.blend.add(logits, window)
        if generator_logits is not None:
            if self.generator_blend is None:
                size = (len(self.raw), self.slide.width)
                self.generator_blend = Blend(*size, self.pixels.device, len(generator_logits))
            self.generator_blend.add(generator_logits, window)

    def _blends(self) -> list[Blend]:
        return [self.blend] if self.generator_blend is None else [self.blend, self.generator_blend]

    def take(self, bottom: int, found: list[tuple[Tensor, Tensor]], encoded: list[EncodedWindows]) -> Strip:
        """Give away the rows above ``bottom``, with the points and the windows that came since the last ones."""
        count = bottom - self.top
        probability = _mean(self.blend, count)[0]
        self.area.clear_glass(probability, self.top)
        strip = Strip(
            raw=self.raw[:count],
            rgb=self.rgb[:count],
            probability=probability,
            generator_maps=None if self.generator_blend is None else _mean(self.generator_blend, count),
            points=torch.cat([torch.zeros(0, 2), *(coords.cpu() for coords, _ in found)]).numpy(),
            labels=torch.cat([torch.zeros(0, dtype=torch.long), *(labels.cpu() for _, labels in found)]).numpy(),
            encoded=join_windows(encoded) if encoded else None,
        )
        self.raw, self.rgb = self.raw[count:].copy(), self.rgb[count:].copy()
        self.pixels = self.pixels[:, count:].clone()
        for blend in self._blends():
            blend.sum, blend.weight = blend.sum[:, count:].clone(), blend.weight[count:].clone()
        self.top = bottom
        return strip


def _mean(blend: Blend, count: int) -> NDArray[np.float32]:
    """Return the first rows (C, count, W) of what has been blended; 0 where no window was: all weigh 1 or more."""
    mean: NDArray[np.float32] = (blend.sum[:, :count] / blend.weight[:count].clamp(min=1)).cpu().numpy()
    return mean


def _refuse_large_window(pixels: int) -> None:
    if pixels > MAX_WINDOW_PIXELS:
        raise UserError(
            f"this model sees images whole, and {pixels:,} pixels are too many: cut the image into regions, "
            "or train with windows (view.crop)"
        )
