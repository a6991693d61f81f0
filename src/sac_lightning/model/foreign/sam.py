"""SAM's weights from a file of any project, by segment-anything's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint_file import KEY, is_safe_checkpoint
from sac_lightning.model.foreign.adapters import name_positions
from sac_lightning.model.foreign.hugging_face import name_officially
from sac_lightning.model.foreign.low_rank import merge_low_rank, name_samed, unwrap_layers
from sac_lightning.model.foreign.misfit import explain_absence
from sac_lightning.model.foreign.names import PARTS, find_sam
from sac_lightning.model.foreign.sizes import count_blocks
from sac_lightning.model.tensor_file import REMEDY, StandIn, read_content

SAMED = "w_a_"


@dataclass(frozen=True)
class SamFile:
    """What a file holds.

    Attributes:
        state: The tensors of SAM's three parts by their official names, and those of what was added inside.
        left_out: Number of tensors of what stands beside SAM, such as an optimiser's, by name.
        needed: Likewise of LoRA and adapters that stand there: without them SAM is not what was trained.
    """

    state: dict[str, Tensor]
    left_out: dict[str, int]
    needed: dict[str, int]


def read_sam(path: Path, base: Mapping[str, Tensor] | None = None) -> SamFile:
    """Read SAM's weights, in whichever of the formats of this room, without running any code.

    Args:
        path: The file.
        base: The official state dict from which to take what the file lacks. Default: nothing is added.

    Raises:
        UserError: The file cannot be read, holds no SAM or two, LoRA without a base, or a number that is none.
    """
    content = read_content(path)
    if (isinstance(content, dict) and KEY in content) or is_safe_checkpoint(path):
        raise UserError(
            f"{path} is a checkpoint of this package, not SAM's weights: give it as checkpoint= to evaluate or "
            "predict, or as init= to train"
        )
    found = find_sam(content, path)
    if not found.state:
        _refuse_pickled(content, path)
        raise UserError(explain_absence(found.others, found.beside, path))
    state = name_positions(name_officially(found.state))
    blocks = sum(name.startswith(SAMED) for name in state) // 2
    state = unwrap_layers(name_samed(state))
    _refuse_broken(state, path)
    if base is not None:
        state = {**base, **state}
        if blocks not in (0, count_blocks(state)):
            raise UserError(
                f"{path} holds LoRA of {blocks} blocks and base= has {count_blocks(state)}: name the SAM that it "
                "was trained on"
            )
    return SamFile(merge_low_rank(state, path), found.beside, found.needed)


def _refuse_pickled(content: Any, path: Path) -> None:
    """Raise UserError if a file holds a network as a whole instead of its tensors."""
    inside = (
        content.values() if isinstance(content, dict) else content if isinstance(content, list | tuple) else ()
    )
    for value in [content, *inside]:
        if isinstance(value, StandIn):
            raise UserError(
                f"{path} holds a whole {type(value).__name__}, which cannot be read without running code: where "
                f"it was written, {REMEDY}"
            )


def _refuse_broken(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError if a tensor of SAM is none of floating point, or has a number that is none."""
    for name, tensor in state.items():
        if not name.startswith(PARTS):
            continue
        if not tensor.is_floating_point() or tensor.dtype.itemsize == 1:  # float8 is told with a scale beside it.
            raise UserError(
                f"{path} holds {name} as {str(tensor.dtype).removeprefix('torch.')}, that is, quantised: give the "
                "weights as floating-point numbers"
            )
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{path} holds NaN or infinite numbers in {name}: its training had gone wrong, give an earlier "
                "file of it"
            )
