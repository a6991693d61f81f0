"""The table of what trains: every parameter counts in one row, as trained or as frozen."""

import io

import pytest
from rich.console import Console
from torch import nn

from sac_lightning.baselines.otsu import Otsu
from sac_lightning.model.counting import parameter_counts
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Generator, Prompts, msa, sac, sam
from sac_lightning.model.summary import training_table

SIZE = 32
TINY = Backbone("tiny", dim=16, depth=2, heads=2, global_blocks=(1,), window=2, native_size=SIZE, weights="x.pth")
PROMPTS = Prompts(points=1, map_size=SIZE, generator=Generator(init_features=2, depth=2))
ADAPTER = 16 * 4 + 4 + 4 * 16 + 16
DECODER, PROMPT_ENCODER = 4_058_340, 6_220


def rows(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Trained and frozen parameters by part, as the console shows them."""
    text = io.StringIO()
    Console(file=text, width=120).print(training_table(model))
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.getvalue().splitlines()]
    return {
        part: (int(trained.replace(",", "")), int(frozen.replace(",", "")))
        for part, trained, frozen in (row for row in cells if len(row) == 3)
    }


@pytest.mark.parametrize("method", [sam, msa, sac])
def test_the_rows_add_up_to_the_whole_model(method: type) -> None:
    model = method(TINY, PROMPTS, SIZE)
    found = rows(model)
    whole = found.pop("all")
    counts = parameter_counts(model)
    assert whole == (counts["trainable"], counts["frozen"])
    assert tuple(sum(column) for column in zip(*found.values(), strict=True)) == whole


def test_sac_trains_lora_generator_and_decoder() -> None:
    found = rows(sac(TINY, PROMPTS, SIZE, rank=2))
    assert found["image encoder: LoRA"] == (2 * 4 * 2 * 16, 0)
    assert found["mask decoder"] == (DECODER, 0)
    assert found["prompt encoder"] == (0, PROMPT_ENCODER)
    assert found["prompt generator"][0] > 0
    assert found["image encoder: blocks"][0] == 0
    assert found["image encoder: neck"][0] == 0


def test_every_projection_counts_as_lora() -> None:
    found = rows(sac(TINY, PROMPTS, SIZE, rank=2, projections=("q", "k", "v", "o")))
    assert found["image encoder: LoRA"] == (2 * 8 * 2 * 16, 0)
    assert found["image encoder: blocks"][0] == 0


def test_msa_trains_two_adapters_per_block() -> None:
    assert rows(msa(TINY, PROMPTS, SIZE))["image encoder: adapters"] == (2 * 2 * ADAPTER, 0)


def test_a_plain_network_is_shown_by_its_parts() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1).requires_grad_(False))
    assert rows(model) == {"0": (9, 0), "1": (0, 4), "all": (9, 4)}


def test_a_method_without_parameters_has_a_table_too() -> None:
    assert rows(Otsu()) == {"all": (0, 0)}
