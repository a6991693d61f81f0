"""A table for the console of what is trained and what is frozen, part by part."""

from collections import defaultdict

from rich.table import Table
from torch import nn

from sac_lightning.model.lora import PARAMETERS


def training_table(model: nn.Module) -> Table:
    """Return a table with a row per part of the model: its numbers of trained and frozen parameters."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, parameter in model.named_parameters():
        counts[part_of(name)][0 if parameter.requires_grad else 1] += parameter.numel()
    table = Table(title="What trains")
    table.add_column("part")
    for column in ("trained", "frozen"):
        table.add_column(column, justify="right")
    for part, (trained, frozen) in counts.items():
        table.add_row(part, f"{trained:,}", f"{frozen:,}")
    total = [sum(column) for column in zip(*counts.values(), strict=True)] or [0, 0]
    table.add_section()
    table.add_row("all", f"{total[0]:,}", f"{total[1]:,}")
    return table


def part_of(name: str) -> str:
    """Return the part of the model that a tensor belongs to; the image encoder consists of several parts."""
    components = name.split(".")
    if components[0] != "image_encoder":
        return components[0].replace("_", " ")
    if components[-1] in PARAMETERS:
        return "image encoder: LoRA"
    if any(component.endswith("_adapter") for component in components):
        return "image encoder: adapters"
    return f"image encoder: {components[1].replace('_', ' ')}"
