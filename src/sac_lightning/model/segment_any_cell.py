"""Segment Any Cell: the assembly of Figure 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from sac_lightning.model.image_encoder import ImageEncoder
from sac_lightning.model.mask_decoder import MaskDecoder
from sac_lightning.model.point_selection import PADDING, PointSelection, scale_points

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass
class Segmentation:
    """What a model says of a batch of images.

    Attributes:
        logits: (B, 1, H, W), the mask, in the pixels of the input.
        iou: (B,), the model's own estimate of its mask's IoU, or None where it makes none.
        generator_logits: (B, 1, m, m), the prompt generator's output M (Eq. 2), or None without one.
        point_coords: (B, N, 2) xy in input pixels, the prompts given to the decoder: automatic points first,
            expert points after them. N may be 0.
        point_labels: (B, N), 1 nucleus, 0 background, -1 padding.
        image_embeddings: (B, 256, h, w), for SAC.decode to answer other prompts, or None where there are none.
    """

    logits: Tensor
    iou: Tensor | None
    generator_logits: Tensor | None
    point_coords: Tensor
    point_labels: Tensor
    image_embeddings: Tensor | None = None


class SAC(nn.Module):
    """SAM that prompts itself.

    What does not train is in eval mode whatever the mode of the whole is.

    Attributes:
        settings: From which build.build_model makes it again; empty if no method of model.methods made it.
        base: ``name`` and ``sha256`` of the pre-trained weights in it; None if there are none.
    """

    settings: Mapping[str, Any] = MappingProxyType({})
    base: Mapping[str, str] | None = None
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        image_encoder: ImageEncoder,
        prompt_generator: nn.Module | None,
        point_selection: PointSelection,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        map_size: int,
        dense: bool = False,
    ) -> None:
        """Puts the parts together.

        Args:
            image_encoder: SAM's, plain or adapted.
            prompt_generator: Image to logits of nucleus against background; None for no automatic points.
            point_selection: Probabilities to points.
            prompt_encoder: SAM's, built for the size of the images.
            mask_decoder: SAM's.
            map_size: Side in pixels at which the generator sees the image.
            dense: Give the generator's logits to the prompt encoder as its mask prompt, beside the points. They
                are detached, so that the generator learns from its own loss alone (Eq. 3): our choice, the paper
                has no dense prompts.
        """
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_generator = prompt_generator
        self.point_selection = point_selection
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.map_size = map_size
        self.dense = dense
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD).view(3, 1, 1), persistent=False)

    def forward(
        self,
        images: Tensor,
        expert_coords: Tensor | None = None,
        expert_labels: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Segmentation:
        """Segments images.

        Args:
            images: (B, 3, S, S) RGB in 0..255, S the size that the prompt encoder was built for.
            expert_coords: (B, E, 2) xy in input pixels. Default: none.
            expert_labels: (B, E), 1 nucleus, 0 background, -1 padding.
            seeds: (B,), one seed per image for the random selection R. Default: zeros.
        """
        image_embeddings, generator_logits = self.encode(images)
        point_coords, point_labels = self._choose_points(images, generator_logits, seeds)
        if expert_coords is not None and expert_labels is not None:
            point_coords = torch.cat([point_coords, expert_coords], dim=1)
            point_labels = torch.cat([point_labels, expert_labels], dim=1)
        low_res_logits, iou = self.decode(image_embeddings, point_coords, point_labels, generator_logits)
        logits = F.interpolate(low_res_logits.float(), images.shape[-2:], mode="bilinear", align_corners=False)
        return Segmentation(logits, iou, generator_logits, point_coords, point_labels, image_embeddings)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """What does not depend on points: the image encoder and the prompt generator.

        Args:
            images: (B, 3, S, S) RGB in 0..255.

        Returns:
            image_embeddings (B, 256, h, w) and generator_logits (B, 1, m, m), None without a generator.
        """
        images = self.normalise(images)
        image_embeddings = self.image_encoder(images)
        if self.prompt_generator is None:
            return image_embeddings, None
        small = F.interpolate(images, (self.map_size, self.map_size), mode="bilinear", antialias=True)
        return image_embeddings, self.prompt_generator(small)

    def decode(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        generator_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One mask per image embedding and prompt set.

        Args:
            image_embeddings: (B, 256, h, w).
            point_coords: (B, N, 2) xy in input pixels.
            point_labels: (B, N), 1 nucleus, 0 background, -1 padding.
            generator_logits: (B, 1, m, m), which a model with a dense prompt needs.

        Returns:
            low_res_logits (B, 1, 4h, 4w) and iou (B,).
        """
        image_pe, sparse_embeddings, dense_embeddings = self.encode_prompts(
            point_coords, point_labels, mask_logits=generator_logits if self.dense else None
        )
        low_res_logits, iou = self.mask_decoder(
            image_embeddings,
            image_pe,
            sparse_embeddings,
            dense_embeddings,
            multimask_output=False,
        )
        return low_res_logits, iou[:, 0]

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (B, 3, S, S) in 0..255 by SAM's pixel mean and standard deviation."""
        return (images - self.pixel_mean) / self.pixel_std

    def _choose_points(
        self, images: Tensor, generator_logits: Tensor | None, seeds: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The automatic points, (B, N, 2) in input pixels with labels (B, N)."""
        batch, _, size, _ = images.shape
        if generator_logits is None:
            none = images.new_zeros(batch, 0, 2)
            return none, none.new_zeros(batch, 0, dtype=torch.long)
        if seeds is None:
            seeds = torch.zeros(batch, dtype=torch.long)
        coords, labels = self.point_selection(generator_logits, seeds)
        padding = (labels == PADDING).unsqueeze(-1)
        return scale_points(coords, size / generator_logits.shape[-1]).masked_fill(padding, 0), labels

    def encode_prompts(
        self,
        point_coords: Tensor,
        point_labels: Tensor,
        boxes: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """SAM's prompt encoder on points and, where given, boxes (B, 4) and logits of a mask (B, 1, m, m).

        It works in full precision: a position in bfloat16 would be off by pixels.

        Returns the positions of the grid (1, 256, h, w), the embeddings of the points (B, N + 1, 256; N = 0
        gives none) or of points and boxes (B, N + 2, 256), and the dense ones (B, 256, h, w).
        """
        with torch.autocast(point_coords.device.type, enabled=False):
            points = (point_coords, point_labels) if point_coords.shape[1] else None
            masks = None
            if mask_logits is not None:
                size = self.prompt_encoder.mask_input_size  # 4 times the grid of the image embeddings.
                masks = F.interpolate(mask_logits.detach().float(), size, mode="bilinear", antialias=True)
            sparse, dense = self.prompt_encoder(points=points, boxes=boxes, masks=masks)
            image_pe = self.prompt_encoder.get_dense_pe()
        batch = point_coords.shape[0]
        return image_pe, sparse.expand(batch, -1, -1), dense.expand(batch, -1, -1, -1)

    def train(self, mode: bool = True) -> "SAC":
        """Sets the mode of what trains; what is frozen stays in eval mode."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                nn.Module.train(module, False)  # Not eval: it would recurse where nothing at all trains.
        return self
