"""``python -m sac_lightning.parameters``: the parameters of every method and backbone, Table 6 among them."""

import json
from dataclasses import asdict, dataclass, replace

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch import nn

from sac_lightning.command import command
from sac_lightning.configuration import config_dir
from sac_lightning.errors import UserError
from sac_lightning.model import methods
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.sac import SAC
from sac_lightning.results import parameter_counts

METHODS = {
    "sam": methods.sam,
    "sam_ft": methods.sam_ft,
    "msa": methods.msa,
    "lora": methods.sac,
    "sac": methods.sac,
}
WITH_GENERATOR = ("sam_ft", "sac")


@dataclass
class Row:
    """The counts of one method with one backbone: trainable, frozen, total, in both ways of counting."""

    method: str
    backbone: str
    table6: dict[str, int]
    ours: dict[str, int]


def count(method: str, backbone: Backbone) -> Row:
    """Counts a method's parameters on the meta device, which holds no numbers.

    Args:
        method: A key of METHODS. SAM-FT and SAC get a prompt generator, the others none, as their defaults.
        backbone: The image encoder's sizes; counted as if it had weights, that is, frozen.
    """
    prompts = methods.Prompts(points=1 if method in WITH_GENERATOR else 0)
    with torch.device("meta"):
        model = METHODS[method](replace(backbone, weights=backbone.name), prompts, backbone.native_size)
    return Row(method, backbone.name, table6_counts(method, model), parameter_counts(model))


def table6_counts(method: str, model: SAC) -> dict[str, int]:
    """Counts as Table 6 does: the prompt encoder as trained, the prompt generator for SAM-FT alone."""
    encoder = parameter_counts(model.image_encoder)
    rest = _number(model.mask_decoder) + _number(model.prompt_encoder)
    if method == "sam":
        return {"trainable": 0, "frozen": encoder["frozen"] + rest, "total": encoder["frozen"] + rest}
    if method == "sam_ft" and model.prompt_generator is not None:
        rest += _number(model.prompt_generator)
    trainable = encoder["trainable"] + rest
    return {"trainable": trainable, "frozen": encoder["frozen"], "total": trainable + encoder["frozen"]}


def _number(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def read_backbone(name: str) -> Backbone:
    """A backbone of the configuration.

    Raises:
        UserError: There is none of that name.
    """
    path = config_dir() / "backbone" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise UserError(f"there is no backbone {name}: choose among {known}")
    backbone = instantiate(OmegaConf.load(path), _convert_="all")
    assert isinstance(backbone, Backbone)
    return backbone


def parameters(cfg: DictConfig) -> None:
    """Prints the counts."""
    if cfg.format not in ("table", "json"):
        raise UserError(f"format is {cfg.format}: choose table or json")
    chosen, backbones = _names(cfg.methods), _names(cfg.backbones)
    for method in chosen:
        if method not in METHODS:
            raise UserError(f"there is no method {method}: choose among {', '.join(METHODS)}")
    rows = [count(method, read_backbone(backbone)) for backbone in backbones for method in chosen]
    if cfg.format == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console(width=120).print(_table(rows))


def _names(given: str | ListConfig) -> list[str]:
    """The names of a list, or the one that stands without brackets."""
    return [given] if isinstance(given, str) else list(given)


def _table(rows: list[Row]) -> Table:
    table = Table(title="Parameters (left: as in Table 6; right: as we train it)")
    for column in ("backbone", "method"):
        table.add_column(column)
    for column in ("trainable", "frozen", "total") * 2:
        table.add_column(column, justify="right")
    for row in rows:
        numbers = [f"{number:,}" for counts in (row.table6, row.ours) for number in counts.values()]
        table.add_row(row.backbone, row.method, *numbers, end_section=row.method == rows[-1].method)
    return table


main = command("parameters")(parameters)

if __name__ == "__main__":
    main()
