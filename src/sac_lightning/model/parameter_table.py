"""Print the parameters of methods, backbones and compared networks as tables, or as JSON."""

import json
from dataclasses import asdict

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from sac_lightning.core.configuration import config_dir
from sac_lightning.model.counting import MethodCounts, NetworkCounts, count, count_network
from sac_lightning.model.image_encoder import Backbone


def parameters(cfg: DictConfig) -> None:
    """Print the counts of the methods, backbones and networks that the configuration names."""
    backbones = [read_backbone(name) for name in _names(cfg.backbones)]
    rows = [count(method, backbone) for backbone in backbones for method in _names(cfg.methods)]
    networks = [count_network(name) for name in _names(cfg.networks)]
    if cfg.format == "json":
        print(json.dumps([*map(asdict, rows), *map(asdict, networks)], indent=2))
        return
    console = Console(width=120)
    if rows:
        console.print(_table(rows))
    if networks:
        console.print(_network_table(networks))


def read_backbone(name: str) -> Backbone:
    """Read a backbone from the configuration."""
    backbone = instantiate(OmegaConf.load(config_dir() / "backbone" / f"{name}.yaml"), _convert_="all")
    assert isinstance(backbone, Backbone)
    return backbone


def _names(given: str | ListConfig) -> list[str]:
    """Return a list of names, also if one name is given without brackets."""
    return [given] if isinstance(given, str) else list(given)


def _table(rows: list[MethodCounts]) -> Table:
    table = Table(title="Parameters (left: as in Table 6; right: as we train it)")
    for column in ("backbone", "method"):
        table.add_column(column)
    for column in ("trainable", "frozen", "total") * 2:
        table.add_column(column, justify="right")
    for row in rows:
        numbers = [f"{number:,}" for counts in (row.table6, row.ours) for number in counts.values()]
        table.add_row(row.backbone, row.method, *numbers, end_section=row.method == rows[-1].method)
    return table


def _network_table(rows: list[NetworkCounts]) -> Table:
    table = Table(title="Parameters of the compared networks at their own width")
    table.add_column("network")
    for column in ("side in pixels", "trainable", "frozen", "total", "running statistics"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (*row.parameters.values(), row.statistics)
        table.add_row(row.network, str(row.image_size), *(f"{number:,}" for number in numbers))
    return table
