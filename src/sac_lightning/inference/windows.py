"""A whole image through a model: its windows, batch by batch, blended to maps of the image's size."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View, Window
from sac_lightning.data.windows import BATCH_SIZE, WindowBatch, WindowPoints, batch_windows, to_image_pixels
from sac_lightning.model.point_selection import PADDING
from sac_lightning.model.prompt_generator import DISTANCE, MASK
from sac_lightning.model.promptable import Promptable, Segmentation, segment_by_generator

# Of a separating generator's maps, those that inference looks at: the edge only helps the others in training.
BLENDED = DISTANCE + 1
MIRRORED = ((-1,), (-2,), (-1, -2))
"""The dimensions along which a window is turned round: left and right, top and bottom, both."""


@dataclass
class Prediction:
    """The prediction of a model for one image, in the image's own pixels.

    Attributes:
        probability: (H, W) in [0, 1], of nucleus.
        generator_maps: (1, H, W), the prompt generator's own probability of nucleus; of one that separates
            (3, H, W), also interior and distance, see prompt_generator.MASK; or None without a generator.
        point_coords: (N, 2) xy in image pixels, every prompt that the decoder got, without padding.
        point_labels: (N,), 1 nucleus, 0 background.
        image_embeddings: (T, 256, h, w), one per window of the view, where they were asked for.
        generator_logits: (T, C, m, m), likewise.
        map_scale: Image pixels, along a side, to one of the generator's own.
        instances: (H, W) label map of the nuclei, once they have been told apart.
    """

    probability: Tensor
    generator_maps: Tensor | None
    point_coords: Tensor
    point_labels: Tensor
    image_embeddings: Tensor | None = None
    generator_logits: Tensor | None = None
    map_scale: float = 1.0
    instances: NDArray[np.int32] | None = None


def run_model(
    model: nn.Module,
    images: Tensor,
    expert_points: WindowPoints | None = None,
    seeds: Tensor | None = None,
    embed: bool = True,
) -> Segmentation:
    """Run one forward pass: with points, or a plain network's, its logits in the same form.

    Args:
        model: A Promptable, or a network from images (B, 3, H, W) in 0..255 to logits (B, 1, H, W). One whose
            attribute ``maps`` says so gives as many, those of prompt_generator.MASK, which then take the place of
            a prompt generator's.
        images: (B, 3, H, W) RGB in 0..255.
        expert_points: Points in pixels of ``images``; a plain network does not see them.
        seeds: (B,), for the random selection of points.
        embed: Whether the image embeddings are wanted: a model that decodes nuclei masks without them, as does one
            whose decoder is silent.

    Raises:
        UserError: A plain network gives no such logits.
    """
    if isinstance(model, Promptable):
        # A person's points make no difference to a silent decoder, but are among the answer's.
        is_given = expert_points is not None and expert_points.coords.shape[1] > 0
        if not embed and (model.decodes_nuclei or (model.is_silent and not is_given)):
            return segment_by_generator(model, images, seeds=seeds)
        if expert_points is None:
            return model(images, seeds=seeds)  # type: ignore[no-any-return]
        return model(images, expert_points.coords, expert_points.labels, seeds)  # type: ignore[no-any-return]
    no_coords = images.new_zeros(len(images), 0, 2)
    no_labels = no_coords.new_zeros(len(images), 0, dtype=torch.long)
    logits = model(images)
    maps = int(getattr(model, "maps", 1))
    _refuse_logits(logits, images, maps, type(model).__name__)
    return Segmentation(logits[:, [MASK]], None, logits if maps > 1 else None, no_coords, no_labels)


def run_windows(
    model: nn.Module, images: Tensor, batch: WindowBatch, view: View, seed: int, embed: bool
) -> Segmentation:
    """Run a model on windows as the view says: on themselves, or on their mirror images, too.

    Args:
        model: See run_model.
        images: (B, 3, H, W) RGB in 0..255, the windows at the size of the model's input.
        batch: Which windows they are, and the points in them.
        view: See View.flips.
        seed: Of the random selection of points, see WindowBatch.seeds.
        embed: See run_model.
    """
    seeds = batch.seeds(seed)
    answer = run_model(model, images, batch.expert_points, seeds, embed)
    if not view.flips:
        return answer
    return add_mirrored(
        answer,
        lambda mirrored, points: run_model(model, mirrored, points, seeds, embed=False),
        images,
        batch.expert_points,
    )


def add_mirrored(
    answer: Segmentation,
    run: Callable[[Tensor, WindowPoints | None], Segmentation],
    images: Tensor,
    points: WindowPoints | None,
) -> Segmentation:
    """Return the mean of an answer and those to the mirror images.

    The paper does not do so. It costs four times the work and evens out what a network makes of one side: on
    MoNuSeg's validation images 0.01 of AJI and PQ.

    Args:
        answer: To the images themselves. Its points and embeddings stay.
        run: Images (B, 3, H, W), and points in them, to an answer.
        images: (B, 3, H, W).
        points: In pixels of the images.
    """
    logits, maps = [answer.logits], [answer.generator_logits]
    for dimensions in MIRRORED:
        mirrored = run(images.flip(dimensions), mirror_points(points, dimensions, images.shape))
        logits.append(mirrored.logits.flip(dimensions))
        maps.append(None if mirrored.generator_logits is None else mirrored.generator_logits.flip(dimensions))
    known = [each for each in maps if each is not None]
    mean = torch.stack(known).mean(0) if known else None
    return replace(answer, logits=torch.stack(logits).mean(0), generator_logits=mean)


def mirror_points(
    points: WindowPoints | None, dimensions: tuple[int, ...], size: torch.Size
) -> WindowPoints | None:
    """Mirror points in pixels of images of this size (B, C, H, W); padding stays at (0, 0)."""
    if points is None:
        return None
    coords = points.coords.clone()
    for dimension in dimensions:
        axis = -1 - dimension  # x runs along the last dimension.
        coords[..., axis] = size[dimension] - 1 - coords[..., axis]
    return WindowPoints(coords.masked_fill((points.labels == PADDING).unsqueeze(-1), 0), points.labels)


def _refuse_logits(logits: Any, images: Tensor, maps: int, name: str) -> None:
    """Raise UserError if a plain network gives something else than logits; losses would take several channels."""
    wanted = (len(images), maps)
    if not isinstance(logits, Tensor) or logits.ndim != 4 or tuple(logits.shape[:2]) != wanted:
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UserError(
            f"{name} gives {given} for images {tuple(images.shape)}: give logits ({wanted[0]}, {maps}, H, W)"
        )


@torch.no_grad()
def segment(
    model: nn.Module,
    image: Tensor,
    view: View,
    expert_points: WindowPoints | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    keep_embeddings: bool = False,
) -> Prediction:
    """Segment an image of any size.

    Args:
        model: See run_model; in eval mode.
        image: (3, H, W) RGB in 0..255, prepared by the view.
        view: Size of the input and the windows.
        expert_points: One set of points per window of the view. Default: none.
        seed: Of the random selection; window t gets seed + t.
        batch_size: Windows per forward pass.
        keep_embeddings: Keep the image embeddings and the generator's logits, for other prompts to be decoded.
    """
    height, width = image.shape[-2:]
    blend = Blend(height, width, image.device)
    generator_blend: Blend | None = None
    map_scale = 1.0
    coords, labels, embeddings, generated = [], [], [], []
    for batch in batch_windows(view.windows(height, width), view, expert_points, batch_size):
        output = run_windows(model, batch.cut(image), batch, view, seed, keep_embeddings)
        if keep_embeddings and output.image_embeddings is not None:
            embeddings.append(output.image_embeddings)
            if output.generator_logits is not None:
                generated.append(output.generator_logits)
        for i, window in enumerate(batch.windows):
            blend.add(output.logits[i], window)
            if output.generator_logits is not None:
                maps = output.generator_logits[i, :BLENDED]
                generator_blend = generator_blend or Blend(height, width, image.device, len(maps))
                generator_blend.add(maps, window)
                map_scale = window.width / maps.shape[-1]
            window_coords, window_labels = to_image_pixels(
                output.point_coords[i], output.point_labels[i], window, view
            )
            coords.append(window_coords)
            labels.append(window_labels)
    return Prediction(
        probability=blend.result()[0],
        generator_maps=None if generator_blend is None else generator_blend.result(),
        point_coords=torch.cat(coords),
        point_labels=torch.cat(labels),
        image_embeddings=torch.cat(embeddings) if embeddings else None,
        generator_logits=torch.cat(generated) if generated else None,
        map_scale=map_scale,
    )


class Blend:
    """Weighted mean of overlapping windows; the weight falls linearly towards a window's edge."""

    def __init__(self, height: int, width: int, device: torch.device, maps: int = 1) -> None:
        """Args: height, width: of the image, in pixels; device: where the sums are kept; maps: how many."""
        self.sum = torch.zeros(maps, height, width, device=device)
        self.weight = torch.zeros(height, width, device=device)

    def add(self, logits: Tensor, window: Window) -> None:
        """Add the probabilities of a window, from logits (maps, h, w) of any resolution."""
        size = (window.height, window.width)
        logits = F.interpolate(logits.float()[None], size, mode="bilinear", align_corners=False)
        ramp = _ramp(window.height, self.sum.device)[:, None] * _ramp(window.width, self.sum.device)[None, :]
        in_image, in_window = window.clip(*self.weight.shape)
        self.sum[:, *in_image] += (torch.sigmoid(logits[0]) * ramp)[:, *in_window]
        self.weight[in_image] += ramp[in_window]

    def result(self) -> Tensor:
        """Return the mean (maps, H, W)."""
        return self.sum / self.weight


def _ramp(length: int, device: torch.device) -> Tensor:
    """Return 1, 2, 3 ... 3, 2, 1: positive everywhere, so that one window alone is a plain copy."""
    position = torch.arange(length, device=device)
    return torch.minimum(position + 1, length - position).float()
