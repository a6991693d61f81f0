"""What a model costs before it runs: operations and memory, from a pass over tensors that hold no numbers."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from sac_lightning.model.attention import attention
from sac_lightning.model.image_encoder import NECK_CHANNELS, Backbone, ImageEncoder
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.losses import FocalDice


@dataclass(frozen=True)
class Cost:
    """The cost of a training step.

    Attributes:
        operations: Floating-point operations of the forward and the backward pass.
        parameters: Bytes of all parameters, in float32.
        trained: Bytes of the parameters that train.
        kept: Bytes that the forward pass keeps for the backward pass.
    """

    operations: int
    parameters: int
    trained: int
    kept: int


def count_encoder_operations(backbone: Backbone, image_size: int) -> int:
    """Count the floating-point operations of the image encoder's forward pass over one image."""
    with FakeTensorMode(), _make_counter() as counter, torch.no_grad():
        encoder = ImageEncoder(backbone)
        _attend_in_one_piece(encoder)
        encoder(torch.zeros(1, 3, image_size, image_size))
    return int(counter.get_total_flops())


def count_training_cost(make_model: Callable[[], SAC], image_size: int, batch_size: int, bfloat16: bool) -> Cost:
    """Count the cost of a training step on a CPU, without the optimiser.

    Point selection and the prompt encoder are left out: they need actual numbers and cost next to nothing.

    Args:
        make_model: Builds the model, including everything that is to train.
        image_size: Side of the input in pixels.
        batch_size: Images per step.
        bfloat16: Whether to use autocast, as with precision bf16-mixed.
    """
    kept: dict[int, int] = {}
    with FakeTensorMode(), _make_counter() as counter:
        model = make_model().train()
        _attend_in_one_piece(model.image_encoder)
        with _count_kept_bytes(kept, model), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = _compute_loss(model, image_size, batch_size)
        loss.backward()  # type: ignore[no-untyped-call]
        sizes = [(4 * parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return Cost(
        operations=int(counter.get_total_flops()),
        parameters=sum(size for size, _ in sizes),
        trained=sum(size for size, trains in sizes if trains),
        kept=sum(kept.values()),
    )


def _make_counter() -> FlopCounterMode:
    """Make torch's operation counter, extended by the in-place batched product that it overlooks."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: _count_product})


def _count_product(_sum: list[int], a: list[int], b: list[int], **_kwargs: object) -> int:
    """Return the operations of a batch of matrix products from their shapes."""
    batch, rows, inner = a
    return 2 * batch * rows * inner * b[-1]


def _compute_loss(model: SAC, image_size: int, batch_size: int) -> Tensor:
    """Return a loss of all outputs, with as many points as the model would have."""
    images = torch.zeros(batch_size, 3, image_size, image_size)
    embeddings = model.image_encoder(images)
    points = 2 * model.point_selection.points
    low_res_logits, iou = model.mask_decoder(
        embeddings,
        torch.zeros(1, *embeddings.shape[1:]),
        torch.zeros(batch_size, points + 1, NECK_CHANNELS),
        torch.zeros(embeddings.shape),
        multimask_output=False,
    )
    logits = nn.functional.interpolate(low_res_logits.float(), images.shape[-2:], mode="bilinear")
    total: Tensor = FocalDice()(logits, torch.zeros_like(logits)) + iou.float().mean()
    if model.prompt_generator is not None:
        small = torch.zeros(batch_size, 3, model.map_size, model.map_size)
        total = total + model.prompt_generator(small).float().mean()
    return total


def _attend_in_one_piece(encoder: ImageEncoder) -> None:
    """Compute attention in one piece: tensors without numbers have no memory to be saved."""
    encoder.set_attention(partial(attention, most_scores=sys.maxsize))


@contextmanager
def _count_kept_bytes(kept: dict[int, int], model: nn.Module) -> Iterator[None]:
    """Count the bytes of the storages that autograd keeps, each once and without parameters."""
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    storages = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in kept and storage._cdata not in parameters:
            storages.append(storage)  # Keep it alive, so that no other storage gets its address.
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
