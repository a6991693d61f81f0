"""What takes points: an image is encoded once, and any prompts are decoded for it.

SAC does so in torch, an exported SAC in onnxruntime; the rest of the package asks for no more than this.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.model.nucleus_decoder import NucleusMasks
from sac_lightning.model.point_selection import PADDING, PointSelection, scale_points
from sac_lightning.model.prompt_generator import MASK


@dataclass
class Segmentation:
    """The answer of a model to a batch of images.

    Attributes:
        logits: (B, 1, H, W), the mask, in the pixels of the input.
        iou: (B,), the model's own estimate of its mask's IoU, or None where it makes none.
        generator_logits: (B, 1, m, m), the prompt generator's output M (Eq. 2), or its four maps if it separates,
            or those of a network with separating heads; None without any.
        point_coords: (B, N, 2) xy in input pixels, the prompts given to the decoder: automatic points first,
            expert points after them. N may be 0.
        point_labels: (B, N), 1 nucleus, 0 background, -1 padding.
        image_embeddings: (B, 256, h, w), for decode to answer other prompts, or None where there are none.
    """

    logits: Tensor
    iou: Tensor | None
    generator_logits: Tensor | None
    point_coords: Tensor
    point_labels: Tensor
    image_embeddings: Tensor | None = None


@runtime_checkable
class Promptable(Protocol):
    """A model that takes points; ``isinstance`` tells it from a plain network.

    Attributes:
        point_selection: How automatic points are chosen from the generator's logits.
        dense: Whether decode needs the generator's logits as a mask prompt.
        decodes_nuclei: Whether its decoder answers one point with one nucleus (decode_nuclei), and not all points
            with one mask (decode).
        nucleus_field: If so, the side of the part of an image embedding that it sees of a nucleus, in tokens.
        refine: Whether the mask is the generator's M with what decode adds to it, see resize_to_input.
        is_silent: Whether what decode adds is nothing, see use.prepare_for_use.
    """

    point_selection: PointSelection
    dense: bool
    decodes_nuclei: bool
    nucleus_field: int | None
    refine: bool
    is_silent: bool

    @property
    def has_generator(self) -> bool:
        """Whether it has a prompt generator, and so chooses points by itself."""

    @property
    def has_trained_decoder(self) -> bool:
        """Whether its decoder has learnt nuclei; SAM's own has to be shown one by a point."""

    def __call__(
        self,
        images: Tensor,
        expert_coords: Tensor | None = None,
        expert_labels: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Segmentation:
        """Segment images, see segment_images."""

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute what does not depend on points.

        Args:
            images: (B, 3, S, S) RGB in 0..255.

        Returns:
            image_embeddings (B, 256, h, w) and generator_logits (B, 1, m, m), None without a generator.
        """

    def generate(self, images: Tensor) -> Tensor | None:
        """Compute encode's generator_logits alone."""

    def decode(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        generator_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per image embedding and prompt set.

        Args:
            image_embeddings: (B, 256, h, w).
            point_coords: (B, N, 2) xy in input pixels.
            point_labels: (B, N), 1 nucleus, 0 background, -1 padding.
            generator_logits: (B, 1, m, m), which a model with a dense prompt needs.

        Returns:
            low_res_logits (B, 1, 4h, 4w) and iou (B,).
        """

    def decode_nuclei(
        self,
        image_embeddings: Tensor,
        generator_logits: Tensor,
        owners: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
    ) -> NucleusMasks:
        """Decode the nucleus of each prompt set, if decodes_nuclei.

        Args:
            image_embeddings: (B, 256, h, w).
            generator_logits: (B, C, m, m), of the same images.
            owners: (P,), to which of the images a prompt set belongs.
            point_coords: (P, N, 2) xy in input pixels: the nucleus's own point, or the corners of the box around
                it, and its neighbours after it.
            point_labels: (P, N), 1 nucleus, 0 background, -1 padding; of a box 2, its left top, and 3, its right
                bottom.
        """


def decodes_nuclei(model: nn.Module) -> bool:
    """Return whether a model answers one point with one nucleus."""
    return isinstance(model, Promptable) and model.decodes_nuclei


def segment_images(
    model: Promptable,
    images: Tensor,
    expert_coords: Tensor | None = None,
    expert_labels: Tensor | None = None,
    seeds: Tensor | None = None,
) -> Segmentation:
    """Segment images: encode, choose points (Eq. 4-5), decode these and the given ones. It reads as Figure 2.

    Args:
        model: The model; its own forward pass.
        images: (B, 3, S, S) RGB in 0..255, S the size that the model was built for.
        expert_coords: (B, E, 2) xy in input pixels. Default: none.
        expert_labels: (B, E), 1 nucleus, 0 background, -1 padding.
        seeds: (B,), one seed per image for the random selection R. Default: zeros.
    """
    image_embeddings, generator_logits = model.encode(images)
    if model.decodes_nuclei:
        return segment_by_generator(model, images, generator_logits, seeds, image_embeddings)
    if generator_logits is None:
        point_coords = images.new_zeros(len(images), 0, 2)
        point_labels = point_coords.new_zeros(len(images), 0, dtype=torch.long)
    else:
        point_coords, point_labels = choose_points(
            model.point_selection, generator_logits, seeds, images.shape[-1]
        )
    if expert_coords is not None and expert_labels is not None:
        point_coords = torch.cat([point_coords, expert_coords], dim=1)
        point_labels = torch.cat([point_labels, expert_labels], dim=1)
    low_res_logits, iou = model.decode(image_embeddings, point_coords, point_labels, generator_logits)
    logits = resize_to_input(model, low_res_logits, generator_logits, images.shape[-1])
    return Segmentation(logits, iou, generator_logits, point_coords, point_labels, image_embeddings)


def segment_by_generator(
    model: Promptable,
    images: Tensor,
    generator_logits: Tensor | None = None,
    seeds: Tensor | None = None,
    image_embeddings: Tensor | None = None,
) -> Segmentation:
    """Segment images by a model that decodes nuclei: the mask of all of them is its generator's.

    Args:
        model: The model.
        images: (B, 3, S, S) RGB in 0..255.
        generator_logits: Of encode. Default: computed, without the image encoder.
        seeds: See segment_images.
        image_embeddings: Of encode. Default: none, no nucleus will be decoded.
    """
    maps = model.generate(images) if generator_logits is None else generator_logits
    assert maps is not None, "core.prompts.Prompts sees to it"
    coords, labels = choose_points(model.point_selection, maps, seeds, images.shape[-1])
    logits = F.interpolate(maps[:, [MASK]].float(), images.shape[-2:], mode="bilinear", align_corners=False)
    return Segmentation(logits, None, maps, coords, labels, image_embeddings)


def resize_to_input(
    model: Promptable, low_res_logits: Tensor, generator_logits: Tensor | None, size: int
) -> Tensor:
    """Return the mask of a decoder's answer at the size of the input.

    A cell of the decoder is a quarter of a patch wide, four pixels and more; a pixel of M is one or two. So where
    the model says so, the decoder's answer is added to M, and it learns what M lacks; SAM's own decoder has not
    learnt it. M learns from its own loss alone (Eq. 3).

    Args:
        model: The model.
        low_res_logits: (B, 1, h, w), of decode.
        generator_logits: (B, C, m, m), of encode.
        size: Side S of the input in pixels.

    Returns:
        Logits (B, 1, S, S).
    """
    logits = F.interpolate(low_res_logits.float(), (size, size), mode="bilinear", align_corners=False)
    if generator_logits is None or not (model.refine and model.has_trained_decoder):
        return logits
    own = generator_logits[:, [MASK]].detach().float()
    return logits + F.interpolate(own, (size, size), mode="bilinear", align_corners=False)


def choose_points(
    selection: PointSelection, generator_logits: Tensor, seeds: Tensor | None, size: int
) -> tuple[Tensor, Tensor]:
    """Choose the automatic points of a batch, in pixels of the input.

    Args:
        selection: How.
        generator_logits: (B, 1, m, m).
        seeds: (B,), one seed per image for the random selection R. Default: zeros.
        size: Side S of the input in pixels.

    Returns:
        point_coords (B, 2n, 2) xy in input pixels, padding at (0, 0), and point_labels (B, 2n).
    """
    seeds = torch.zeros(len(generator_logits), dtype=torch.long) if seeds is None else seeds
    coords, labels = selection(generator_logits, seeds)
    padding = (labels == PADDING).unsqueeze(-1)
    return scale_points(coords, size / generator_logits.shape[-1]).masked_fill(padding, 0), labels
