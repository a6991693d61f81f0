"""Segment Any Cell: the assembly of Figure 2."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.model.image_encoder import ImageEncoder
from sac_lightning.model.mask_decoder import MaskDecoder
from sac_lightning.model.nucleus_decoder import (
    CELLS,
    NucleusMasks,
    Refinement,
    cut_parts,
    find_corners,
    measure_distances,
    resize_maps,
)
from sac_lightning.model.point_selection import BOTTOM_RIGHT, PADDING, TOP_LEFT, PointSelection
from sac_lightning.model.prompt_generator import MASK, SEPARATING
from sac_lightning.model.promptable import Segmentation, segment_images
from sac_lightning.model.sam_modules import PromptEncoder

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


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
    decoder_weight: nn.Parameter | None

    def __init__(
        self,
        image_encoder: ImageEncoder,
        prompt_generator: nn.Module | None,
        point_selection: PointSelection,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        map_size: int,
        dense: bool = False,
        refine: bool = False,
        nucleus_field: int | None = None,
    ) -> None:
        """Put the parts together.

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
            refine: See promptable.resize_to_input.
            nucleus_field: Of a decoder that answers one point with one nucleus: the side of the part of an image
                embedding that it sees of each, in tokens. None: it answers all points with one mask.
        """
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_generator = prompt_generator
        self.point_selection = point_selection
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        self.map_size = map_size
        self.dense = dense
        self.refine = refine
        self.nucleus_field = nucleus_field
        self.decodes_nuclei = nucleus_field is not None
        self.is_silent = False
        self.refinement = None if nucleus_field is None else Refinement(SEPARATING)
        self.register_parameter("decoder_weight", None)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD).view(3, 1, 1), persistent=False)

    def forward(
        self,
        images: Tensor,
        expert_coords: Tensor | None = None,
        expert_labels: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Segmentation:
        """Segment images, see segment_images."""
        return segment_images(self, images, expert_coords, expert_labels, seeds)

    def weigh_decoder(self) -> None:
        """Let what a decoder that trains adds to the generator's mask count for nothing at first.

        Where ``refine`` is false, or single nuclei are decoded, nothing changes. A decoder that has learnt little
        would spoil the mask, and did: Dice 0.805 for 0.814 on MoNuSeg. As Bachlechner et al. 2021 (ReZero).
        """
        if self.refine and not self.decodes_nuclei:
            self.decoder_weight = nn.Parameter(torch.zeros(()))

    @property
    def has_generator(self) -> bool:
        """Whether it has a prompt generator."""
        return self.prompt_generator is not None

    @property
    def has_trained_decoder(self) -> bool:
        """Whether the mask decoder trains or has trained, and is no longer SAM's own."""
        return any(parameter.requires_grad for parameter in self.mask_decoder.parameters())

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the image encoder and the prompt generator, see Promptable."""
        return self.image_encoder(self.normalise(images)), self.generate(images)

    def generate(self, images: Tensor) -> Tensor | None:
        """Run the prompt generator alone, M = F(theta_u, I) of Eq. 2; see Promptable.encode."""
        if self.prompt_generator is None:
            return None
        size = (self.map_size, self.map_size)
        small = F.interpolate(self.normalise(images), size, mode="bilinear", antialias=True)
        return self.prompt_generator(small)  # type: ignore[no-any-return]

    def decode(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        generator_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the prompt encoder and the mask decoder, see Promptable."""
        image_pe, sparse_embeddings, dense_embeddings = self.encode_prompts(
            point_coords, point_labels, mask_logits=self._mask_prompt(generator_logits)
        )
        low_res_logits, iou = self.mask_decoder(
            image_embeddings,
            image_pe,
            sparse_embeddings,
            dense_embeddings,
            multimask_output=False,
        )
        if self.decoder_weight is not None:
            low_res_logits = self.decoder_weight * low_res_logits
        return low_res_logits, iou[:, 0]

    def decode_nuclei(
        self,
        image_embeddings: Tensor,
        generator_logits: Tensor,
        owners: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
    ) -> NucleusMasks:
        """Decode the nucleus of each prompt set, see Promptable."""
        assert self.nucleus_field is not None, "trained for one mask of all nuclei"
        assert self.refinement is not None
        field, grid = self.nucleus_field, image_embeddings.shape[-1]
        patch = self.prompt_encoder.input_image_size[0] // grid
        points = find_places(point_coords, point_labels)
        corners = find_corners(points, field, grid, patch)
        middle = (grid - field) // 2
        moved = point_coords - (corners[:, None] - middle) * patch
        moved = moved.masked_fill((point_labels == PADDING).unsqueeze(-1), 0)
        image_pe, sparse_embeddings, dense_embeddings = self.encode_prompts(moved, point_labels)
        sparse_embeddings = self._mark_corners(sparse_embeddings, point_labels)
        part = slice(middle, middle + field)
        coarse, iou = self.mask_decoder(
            cut_parts(image_embeddings, owners, corners, field),
            image_pe[..., part, part],
            sparse_embeddings,
            dense_embeddings[..., part, part],
            multimask_output=False,
        )
        # Detached: the generator learns from its own loss alone (Eq. 3).
        maps = resize_maps(generator_logits.detach(), grid * CELLS)
        around = cut_parts(maps, owners, corners * CELLS, field * CELLS)
        logits = self.refinement(coarse, around, measure_distances(points, corners, field, patch))
        return NucleusMasks(logits, coarse, iou[:, 0], corners)

    def _mark_corners(self, sparse_embeddings: Tensor, point_labels: Tensor) -> Tensor:
        """Add to the positions of boxes' corners what they are.

        SAM's prompt encoder does so for its argument ``boxes`` alone, which all prompts of a batch have or none.
        """
        labels = F.pad(point_labels, (0, sparse_embeddings.shape[1] - point_labels.shape[1]), value=PADDING)
        for corner in (TOP_LEFT, BOTTOM_RIGHT):
            kind = self.prompt_encoder.point_embeddings[corner].weight
            sparse_embeddings = sparse_embeddings + kind * (labels == corner).unsqueeze(-1)
        return sparse_embeddings

    def _mask_prompt(self, generator_logits: Tensor | None) -> Tensor | None:
        """Return M of Eq. 2 as the prompt encoder's mask prompt, if the model has one."""
        return generator_logits[:, [MASK]] if self.dense and generator_logits is not None else None

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise images (B, 3, S, S) in 0..255 by SAM's pixel mean and standard deviation."""
        return (images - self.pixel_mean) / self.pixel_std

    def encode_prompts(
        self,
        point_coords: Tensor,
        point_labels: Tensor,
        boxes: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run SAM's prompt encoder, in full precision: a position in bfloat16 would be off by pixels.

        Args:
            point_coords: (B, N, 2) xy in input pixels.
            point_labels: (B, N), 1 nucleus, 0 background, -1 padding.
            boxes: (B, 4), left, top, right, bottom in input pixels. Default: none.
            mask_logits: (B, 1, m, m), a mask prompt. Default: none.

        Returns:
            The positions of the grid (1, 256, h, w); the embeddings of the points (B, N + 1, 256), none for N = 0,
            or of points and boxes (B, N + 2, 256); and the dense embeddings (B, 256, h, w).
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
        """Set the mode of what trains; what is frozen stays in eval mode."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                nn.Module.train(module, False)  # Not eval: it would recurse where nothing at all trains.
        return self


def find_places(coords: Tensor, labels: Tensor) -> Tensor:
    """Return where each prompt asks (P, 2), its point or the middle of its box, see Promptable.decode_nuclei."""
    is_box = labels[:, :1] == TOP_LEFT
    return torch.where(is_box, coords[:, :2].mean(dim=1), coords[:, 0])
