"""Functions that each prepare one side of a comparison in its own process and return the function to measure.

Weights and images are random, but the same on both sides. So are positions and LoRA's B, which would otherwise
start at zero.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sac_lightning.benchmarking.official import convert_to_official
from sac_lightning.benchmarking.side import Run
from sac_lightning.model.image_encoder import Backbone, ImageEncoder
from sac_lightning.model.methods import Prompts, sac, sam_ft
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.trunk_features import TrunkFeatures
from sac_lightning.training.losses import FocalDice, segmentation_losses

AnyModule = TypeVar("AnyModule", bound=nn.Module)
RANDOM = "random"  # No weights of this name are loaded, but the parts that weights would freeze are frozen.


def prepare_encoder(backbone: Mapping[str, Any], image_size: int, bfloat16: bool = False) -> Run:
    """Prepare our image encoder on one image, without gradients."""
    return _prepare_forward(_build_encoder(resize_backbone(backbone, image_size)), image_size, bfloat16)


def prepare_official_encoder(backbone: Mapping[str, Any], image_size: int, bfloat16: bool = False) -> Run:
    """Prepare segment-anything's image encoder on the same image, in float32."""
    sizes = resize_backbone(backbone, image_size)
    return _prepare_forward(convert_to_official(_build_encoder(sizes), sizes), image_size, bfloat16=False)


def prepare_step(
    backbone: Mapping[str, Any],
    image_size: int,
    bfloat16: bool = False,
    checkpointing: bool = False,
) -> Run:
    """Prepare a training step of SAC, forward and backward without optimiser; it returns LoRA's gradients."""
    model = build_random_sac(resize_backbone(backbone, image_size), image_size)
    model.image_encoder.checkpointing = checkpointing
    return prepare_model_step(model, image_size, 1, bfloat16)


def prepare_official_step(backbone: Mapping[str, Any], image_size: int, bfloat16: bool = False) -> Run:
    """Prepare the same step with segment-anything's image encoder."""
    sizes = resize_backbone(backbone, image_size)
    model = build_random_sac(sizes, image_size)
    model.image_encoder = convert_to_official(model.image_encoder, sizes)  # type: ignore[assignment]
    return prepare_model_step(model, image_size, 1, bfloat16)


def prepare_sam_ft_step(backbone: Mapping[str, Any], image_size: int) -> Run:
    """Prepare a training step of SAM-FT (frozen trunk) that computes the trunk every time."""
    return prepare_model_step(
        _build_sam_ft(resize_backbone(backbone, image_size), image_size), image_size, 1, bfloat16=False
    )


def prepare_sam_ft_step_from_disk(backbone: Mapping[str, Any], image_size: int) -> Run:
    """Prepare the same step, but reading the trunk's tokens that the first run stored."""
    model = _build_sam_ft(resize_backbone(backbone, image_size), image_size)
    folder = TemporaryDirectory()
    model.image_encoder.features = TrunkFeatures(Path(folder.name))
    run = prepare_model_step(model, image_size, 1, bfloat16=False)

    def run_in(folder: TemporaryDirectory[str]) -> Mapping[str, Tensor]:
        return run()

    return partial(run_in, folder)  # So that the folder exists as long as the side.


def _build_sam_ft(backbone: Backbone, image_size: int) -> SAC:
    torch.manual_seed(0)
    return _fill_weights(sam_ft(backbone, Prompts(points=0), image_size)).train()


def resize_backbone(backbone: Mapping[str, Any], image_size: int) -> Backbone:
    """Return an encoder's sizes, native to this image size, so that neither side interpolates positions."""
    return Backbone(**dict(backbone) | {"native_size": image_size, "weights": RANDOM})


def _build_encoder(backbone: Backbone) -> ImageEncoder:
    torch.manual_seed(0)
    return _fill_weights(ImageEncoder(backbone))


def _fill_weights(module: AnyModule) -> AnyModule:
    """Fill a module's positions and LoRA weights with seeded random numbers."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            last = name.rpartition(".")[2]
            if "pos" in last or last in ("q_b", "v_b"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return module


def build_random_sac(backbone: Backbone, image_size: int) -> SAC:
    """Build a trainable SAC with one pair of points and always the same random weights."""
    torch.manual_seed(0)
    return _fill_weights(sac(backbone, Prompts(), image_size)).train()


def _prepare_forward(module: nn.Module, image_size: int, bfloat16: bool) -> Run:
    module.eval()
    images = torch.randn(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(2))

    @torch.no_grad()
    def run() -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            return {"image_embeddings": module(images)}

    return run


def prepare_model_step(model: nn.Module, image_size: int, batch_size: int, bfloat16: bool) -> Run:
    """Prepare a forward and backward pass on random images, which returns the gradients of the encoder."""
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(batch_size, 3, image_size, image_size, generator=generator) * 255
    masks = (torch.rand(batch_size, 1, image_size, image_size, generator=generator) > 0.7).float()
    mask_loss = FocalDice()

    def run() -> dict[str, Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            losses = segmentation_losses(model(images), masks, mask_loss)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        named = model.get_submodule("image_encoder").named_parameters()
        return {name: parameter.grad for name, parameter in named if parameter.grad is not None}

    return run
