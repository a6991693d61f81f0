"""The names of Medical-SAM-Adapter's tensors, whose adapters have the form of ours (model.adapter).

Its later code calls the relative positions rel_h and rel_w, and so does not take SAM's over: they are zero in its
files. Its third adapter, for the depth of volumes, is in every file and does nothing to images.
"""

import re
from collections.abc import Mapping

from torch import Tensor

ADAPTERS = {"Space_Adapter": "attention_adapter", "MLP_Adapter": "mlp_adapter"}
FOR_VOLUMES = "Depth_Adapter"
_ADAPTER = re.compile(r"(image_encoder\.blocks\.\d+)\.(Space_Adapter|MLP_Adapter)\.D_fc([12])\.(weight|bias)")
_POSITIONS = re.compile(r"\.attn\.rel_([hw])$")


def name_positions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with the relative positions by their official names."""
    return {_POSITIONS.sub(r".attn.rel_pos_\1", name): tensor for name, tensor in state.items()}


def count_volume_adapters(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of tensors of the adapters for volumes by their name, empty if there are none."""
    count = sum(f".{FOR_VOLUMES}." in name for name in state)
    return {FOR_VOLUMES: count} if count else {}


def name_adapters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with the adapters by our names, without those for volumes."""
    named = {}
    for name, tensor in state.items():
        match = _ADAPTER.fullmatch(name)
        if match is not None:
            block, adapter, layer, kind = match.groups()
            name = f"{block}.{ADAPTERS[adapter]}.{'down' if layer == '1' else 'up'}.{kind}"
        if f".{FOR_VOLUMES}." not in name:
            named[name] = tensor
    return named
