"""The parameters command: the exact counts of Table 6 and of segment_anything."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.model.counting import METHODS, MethodCounts, count
from sac_lightning.model.image_encoder import ImageEncoder
from sac_lightning.model.parameter_table import parameters, read_backbone
from sac_lightning.parameters import check

PROMPT_ENCODER, PROMPT_GENERATOR = 6_220, 7_763_041


def cfg(*overrides: str) -> DictConfig:
    return compose_config("parameters", overrides)


def table6(row: MethodCounts) -> tuple[int, int, int]:
    return row.table6["trainable"], row.table6["frozen"], row.table6["total"]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("sam_ft", (12_746_129, 636_107_520, 648_853_649)),
        ("msa", (56_595_760, 637_026_048, 693_621_808)),
        ("sac", (56_493_360, 637_026_048, 693_519_408)),
        # "LoRA" is SAC without its prompt generator, which Table 6 does not count.
        ("lora", (56_493_360, 637_026_048, 693_519_408)),
    ],
)
def test_table_6_is_exact(method: str, expected: tuple[int, int, int]) -> None:
    assert table6(count(method, read_backbone("vit_h"))) == expected


@pytest.mark.parametrize(
    ("backbone", "total"), [("vit_b", 93_735_472), ("vit_l", 312_342_832), ("vit_h", 641_090_608)]
)
def test_sam_has_the_official_number_of_parameters(backbone: str, total: int) -> None:
    row = count("sam", read_backbone(backbone))
    assert table6(row) == (0, total, total)
    assert row.ours == {"trainable": 0, "frozen": total, "total": total}


def test_the_tiny_backbone_is_tiny() -> None:
    encoder = ImageEncoder(read_backbone("vit_t"))
    assert sum(parameter.numel() for parameter in encoder.parameters()) < 8_000_000


@pytest.mark.parametrize(
    ("method", "generator"), [("msa", 0), ("lora", 0), ("sam_ft", PROMPT_GENERATOR), ("sac", PROMPT_GENERATOR)]
)
def test_we_freeze_the_prompt_encoder_and_count_the_generator(method: str, generator: int) -> None:
    row = count(method, read_backbone("vit_b"))
    counted = PROMPT_GENERATOR if method == "sam_ft" else 0
    assert row.ours["trainable"] == row.table6["trainable"] - PROMPT_ENCODER - counted + generator
    assert row.ours["frozen"] == row.table6["frozen"] + PROMPT_ENCODER
    assert row.ours["total"] == row.ours["trainable"] + row.ours["frozen"]


def test_every_method_and_backbone_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    parameters(cfg("networks=[]", "format=json"))
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {(row["method"], row["backbone"]) for row in rows} == {
        (method, backbone) for method in METHODS for backbone in ("vit_t", "vit_b", "vit_l", "vit_h")
    }
    for row in rows:
        for counts in (row["table6"], row["ours"]):
            assert counts["total"] == counts["trainable"] + counts["frozen"]


def test_the_table_shows_the_numbers_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    parameters(cfg("backbones=[vit_h]", "methods=[sam_ft,msa,sac]", "networks=[]"))
    text = capsys.readouterr().out
    for number in ("12,746,129", "636,107,520", "648,853,649", "56,595,760", "56,493,360", "693,519,408"):
        assert number in text, f"the table lacks {number}, or it was cut"
    assert max(len(line) for line in text.splitlines()) <= 120


def test_the_compared_networks_stand_in_a_table_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    parameters(cfg("methods=[]"))
    lines = capsys.readouterr().out.splitlines()
    assert any("u_net" in line and "256" in line and line.count("7,763,041") == 2 for line in lines)
    parameters(cfg("methods=[]", "networks=u_net", "format=json"))
    counts = {"trainable": 7_763_041, "frozen": 0, "total": 7_763_041}
    row = {"network": "u_net", "image_size": 256, "parameters": counts, "statistics": 2 * 2 * (2 * 480 + 512)}
    assert json.loads(capsys.readouterr().out) == [row]


def test_one_method_and_one_backbone_need_no_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    parameters(cfg("backbones=vit_h", "methods=sac", "networks=[]", "format=json"))
    rows = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["backbone"]) for row in rows] == [("sac", "vit_h")]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["methods=[sac,sca]"], ["sca", "sam_ft"]),
        (["backbones=[vit_x]"], ["vit_x", "vit_b", "vit_t"]),
        (["networks=[v_net]"], ["v_net", "u_net"]),
        (["format=xml"], ["xml", "json"]),
    ],
)
def test_a_wrong_name_is_told_with_the_right_ones(overrides: list[str], named: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        check(cfg(*overrides))
    sentence = str(refused.value)
    assert all(name in sentence for name in named), sentence
    assert "\n" not in sentence


def test_the_command_runs_from_any_folder_and_leaves_nothing_there(tmp_path: Path, processes: Processes) -> None:
    arguments = ["backbones=[vit_t]", "networks=[]", "format=json"]
    answer = processes.run("sac_lightning.parameters", *arguments, folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)) == len(METHODS)
    assert os.listdir(tmp_path) == []
