"""The files of checkpoints: torch's, which trainings write, and safetensors, half as large, to be passed on.

A .safetensors file holds the tensors, and the settings as JSON in its metadata. Neither is read by running code.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file

KEY = "sac_lightning"
SAFE = ".safetensors"


def read_without_running(path: Path) -> Any:
    """Return what a checkpoint's file holds. Raise UserError if it is missing or damaged, or would run code."""
    if not path.is_file():
        raise UserError(
            f"the checkpoint {path} does not exist: give the path of a .ckpt file, or a name that "
            "python -m sac_lightning.models lists"
        )
    try:
        return _read_safe(path) if path.suffix == SAFE else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch may raise anything over a damaged or hostile file.
        raise UserError(
            f"{path} cannot be read as a checkpoint, or would run code: give one of this package's"
        ) from error


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all, in the form that the ending of its path says.

    A .safetensors file gets the tensors and the settings alone: weights in half precision, vectors and numbers,
    such as the statistics of a normalisation, as they are.

    Args:
        path: Of the file; a file that is there keeps its permissions.
        content: See checkpoint.read_checkpoint.
    """
    file = path.resolve()
    with whole_file(file) as partial:
        if path.suffix == SAFE:
            halved = {name: _halve(tensor) for name, tensor in content["state_dict"].items()}
            partial.write_bytes(save(halved, {KEY: json.dumps(content[KEY])}))
        else:
            torch.save(content, partial)
        if file.exists():
            shutil.copymode(file, partial)


def is_safe_checkpoint(path: Path) -> bool:
    """Return whether a file is a checkpoint as safetensors, which has the same form as other files of tensors."""
    return path.suffix == SAFE and _read_settings(path) is not None


def _read_safe(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {"state_dict": load_file(path)}
    settings = _read_settings(path)
    return content if settings is None else content | {KEY: json.loads(settings)}


def _read_settings(path: Path) -> str | None:
    """Return the settings in the metadata of a .safetensors file, as JSON; None if there are none."""
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get(KEY)


def _halve(tensor: Tensor) -> Tensor:
    """Return a tensor of its own memory, in half precision if it is a matrix or larger."""
    halved = tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor
    return halved.detach().clone().contiguous()
