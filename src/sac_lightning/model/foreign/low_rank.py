"""LoRA as SAMed, finetune-SAM and micro-sam write it, merged into the layers that it was trained beside: W + B A.

| project | a layer and its update, by their names |
| --- | --- |
| SAMed, finetune-SAM: encoder | ``attn.qkv.qkv``, ``attn.qkv.linear_a_q``, ``attn.qkv.linear_b_q``, and ``_v`` |
| both: decoder | ``q_proj.proj``, ``q_proj.w_a``, ``q_proj.w_b``, and ``v_proj`` |
| micro-sam: attention | ``attn.qkv.qkv_proj``, ``attn.qkv.w_a_linear_q``, ``attn.qkv.w_b_linear_q``, and k, v |
| micro-sam: MLP | ``mlp.mlp_layer.lin1``, ``mlp.w_a_linear_1``, ``mlp.w_b_linear_1``, and 2 |
| SAMed's files | ``w_a_000`` for q of block 0, ``w_a_001`` for its v; ``sa_``, ``cti_``, ``cit_``, ``fati_`` |

All of them scale by 1.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sac_lightning.core.errors import UserError

_WRAPPED = (
    (re.compile(r"\.attn\.qkv\.(?:qkv|qkv_proj)\."), ".attn.qkv."),
    (re.compile(r"^(mask_decoder\..*\.[qkv]_proj)\.proj\."), r"\1."),
    (re.compile(r"\.mlp\.mlp_layer\."), ".mlp."),
)
_A = re.compile(r"(?P<layer>.+)\.(?:linear_a_|w_a_linear_|w_a)(?P<which>[qkv12]?)\.weight")
_SAMED = re.compile(r"(?P<kind>w|sa|cti|cit)_(?P<factor>[ab])_(?P<number>\d{3})")
_SAMED_LAST = re.compile(r"fati_(?P<slice>[qv])(?P<factor>[ab])")
_DECODER_LAYERS = {"sa": "self_attn", "cti": "cross_attn_token_to_image", "cit": "cross_attn_image_to_token"}


def name_samed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of SAMed's files by the names of its layers: it saves LoRA by number, q and v in turn."""
    return {_name_samed(name): tensor for name, tensor in state.items()}


def _name_samed(name: str) -> str:
    if last := _SAMED_LAST.fullmatch(name):
        return f"mask_decoder.transformer.final_attn_token_to_image.{last['slice']}_proj.w_{last['factor']}.weight"
    numbered = _SAMED.fullmatch(name)
    if numbered is None:
        return name
    (layer, odd), factor = divmod(int(numbered["number"]), 2), numbered["factor"]
    if numbered["kind"] == "w":
        return f"image_encoder.blocks.{layer}.attn.qkv.linear_{factor}_{'qv'[odd]}.weight"
    attention = _DECODER_LAYERS[numbered["kind"]]
    return f"mask_decoder.transformer.layers.{layer}.{attention}.{'qv'[odd]}_proj.w_{factor}.weight"


def unwrap_layers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with the layers that stand beside LoRA by their official names."""
    unwrapped = {}
    for name, tensor in state.items():
        for wrapped, official in _WRAPPED:
            name = wrapped.sub(official, name)
        unwrapped[name] = tensor
    return unwrapped


def merge_low_rank(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return a state with every low-rank update added to its layer, in single precision.

    Args:
        state: SAM's layers by their official names, and updates of any of the projects above.
        path: The file, for the errors.

    Raises:
        UserError: A layer is missing, as the file holds LoRA alone, or an update does not fit it.
    """
    merged = dict(state)
    for name in state:
        match = _A.fullmatch(name)
        if match is None:
            continue
        a = merged.pop(name).float()
        layer, which = match["layer"], match["which"]
        other = layer + re.sub(r"(linear_|w_)a", r"\1b", name.removeprefix(layer))
        target = f"{layer}.lin{which}.weight" if which in ("1", "2") else f"{layer}.weight"
        if target not in merged:
            raise UserError(
                f"{path} holds LoRA without the layers that it belongs to, such as {target}: merge it into the "
                f"SAM that it was trained on, as with python -m sac_lightning.prepare weights={path} base=vit_b"
            )
        weight = merged[target].float().clone()
        if a.shape[1] != weight.shape[1]:
            raise UserError(
                f"{path} holds LoRA of {a.shape[1]} channels for {target}, which has {weight.shape[1]}: name the "
                "SAM that it was trained on"
            )
        rows = weight
        if which in tuple("qkv"):
            width = len(weight) // 3
            start = "qkv".index(which) * width
            rows = weight[start : start + width]
        if other not in merged or (b := merged.pop(other).float()).shape != (len(rows), len(a)):
            raise UserError(f"{path} holds {name} and no {other} that fits it and {target}: get the file again")
        rows += b @ a
        merged[target] = weight
    return merged
