"""Bring SAM's weights, as another project wrote them, into this package's own file.

``python -m sac_lightning.prepare weights=FILE [base=vit_b] [output=OUT]`` writes SAM's tensors by their official
names, in single precision, as safetensors, and says what it took over and what it left out.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import refuse_unwritable
from sac_lightning.model.build import match_official
from sac_lightning.model.foreign.misfit import count_parts, explain_absence, list_parts
from sac_lightning.model.foreign.names import PARTS
from sac_lightning.model.foreign.sam import read_sam
from sac_lightning.model.foreign.sizes import UNKNOWN, read_sizes
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import NO_POINTS, sam
from sac_lightning.model.settings import choose_backbone
from sac_lightning.model.weights import locate, write_weights

SUFFIX = ".safetensors"


def convert_weights(cfg: DictConfig) -> None:
    """Convert the weights that the configuration names and print what became of them."""
    if cfg.dataset is not None or cfg.check:
        raise UserError("weights= converts weights, and dataset= and check= images: give one of them at a time")
    path = locate(str(cfg.weights))
    output = Path(f"{path.stem}{SUFFIX}" if cfg.output is None else str(cfg.output)).expanduser()
    for line in prepare_weights(path, output, None if cfg.base is None else str(cfg.base), bool(cfg.overwrite)):
        print(line)


def prepare_weights(path: Path, output: Path, base: str | None = None, overwrite: bool = False) -> list[str]:
    """Write the SAM in a file as a file of this package, whole or not at all.

    Args:
        path: A file in any of the formats of model.foreign.
        output: The .safetensors file to write.
        base: Name or path of the SAM from which to take what the file lacks: what its LoRA was trained beside.
        overwrite: Replace an output that is already there.

    Returns:
        What was taken over, what was left out, and where it is, as lines for the console.

    Raises:
        UserError: The file holds no whole SAM even so, or the output is there already or cannot be written.
    """
    if output.suffix != SUFFIX:
        raise UserError(
            f"output={output} has another ending than the format: call it {output.with_suffix(SUFFIX)}"
        )
    if output.exists() and not overwrite:
        raise UserError(f"{output} is there already: name another output=, or add overwrite=true to replace it")
    given = read_sam(path, None if base is None else read_sam(locate(base)).state)
    backbone = read_sizes(given.state)
    if backbone is None:
        raise UserError(explain_absence(given.state, given.left_out, path))
    with torch.device("meta"):
        model = sam(backbone, NO_POINTS)
    official = model.state_dict().keys()
    more = [name for name in given.state if name.startswith(PARTS) and name not in official]
    state = {name: tensor for name, tensor in given.state.items() if name in official}
    state = match_official(model, state, path, backbone.name)
    refuse_unwritable(output.absolute().parent, str(output))
    write_weights(output, state, torch.float32)
    whole = "" if base is None else f", what it lacks from {base}"
    told = [f"took over  {_describe(backbone)}, {len(state)} tensors{whole}"]
    if given.left_out:
        told.append(f"left out   {list_parts(given.left_out)}: beside SAM")
    if needed := count_parts(more, official) | given.needed:
        told.append(f"left out   {list_parts(needed)}: without them SAM is not what was trained")
    return [*told, f"weights    {output}", f"use        {_options(backbone)} backbone.weights={output}"]


def _describe(backbone: Backbone) -> str:
    return (
        f"{backbone.name} ({backbone.depth} blocks, {backbone.dim} channels, made for {backbone.native_size} px)"
    )


def _options(backbone: Backbone) -> str:
    """Return the options that choose a backbone of these sizes."""
    name = "vit_t" if backbone.name == UNKNOWN else backbone.name
    choice = choose_backbone(name)
    differing = (
        f"backbone.{key}={str(list(value) if isinstance(value, tuple) else value).replace(' ', '')}"
        for key, value in asdict(backbone).items()
        if key not in ("name", "weights") and value != _as_tuple(getattr(choice, key))
    )
    return " ".join([f"backbone={name}", *differing])


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
