"""Command lines taken apart: flags, names that look like numbers, folders that two runs would share."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.processes import Processes

from sac_lightning.core.command_line import read_command_line, read_flags, split_experiments
from sac_lightning.core.configuration import ConfigFolders, compose_config
from sac_lightning.core.files import claim_folder
from sac_lightning.core.texts import keep_texts, quote


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("output=2026_11_30", "output='2026_11_30'"),
        ("data.root=12_04,12_05", "data.root='12_04','12_05'"),
        ("+experiment=2026_11_30", "+experiment='2026_11_30'"),
        ("logger.wandb.tags=[1e3, new]", "logger.wandb.tags=['1e3', new]"),
        ("hydra.run.dir=007", "hydra.run.dir='007'"),
        ("folder=true", "folder='true'"),
        ("resume=null", "resume=null"),
        ("output='20_11'", "output='20_11'"),
        ("output=out_20_11", "output=out_20_11"),
        ("folder='a,1,b'", "folder='a,1,b'"),
        ("folder='it\\'s,1'", "folder='it\\'s,1'"),
        ("folder=a\\,1", "folder=a\\,1"),
        ("data.batch_size=1_6", "data.batch_size=1_6"),
        ("prompts.points=1,3", "prompts.points=1,3"),
        ("points=20_11", "points='20_11'"),
        ("~callbacks", "~callbacks"),
    ],
)
def test_a_path_or_a_name_that_looks_like_a_number_stays_text(typed: str, kept: str) -> None:
    assert keep_texts([typed]) == [kept]


@pytest.mark.parametrize("name", ["2026_11_30", "1e3", "007", ".5", "1_0.5", "-3", "nan", "True", "inf", "20:30"])
def test_names_arrive_as_they_were_typed(name: str) -> None:
    cfg = compose_config("train", [f"folder={name}", f"data.name={name}"])
    assert (cfg.folder, cfg.data.name) == (name, name)


@pytest.mark.parametrize("text", ["a b", "it's", "back\\slash", "end\\", "\\'", "a,b=c", "[x]", "{x}", "ü", ""])
def test_a_text_in_quotes_is_read_back(text: str) -> None:
    assert compose_config("train", [f"folder={quote(text)}"]).folder == text


def test_flags_may_stand_anywhere(tmp_path: Path) -> None:
    flags = read_flags(["seed=1", "-m", "row=sac", "--config-dir", str(tmp_path), "model=sac"])
    assert (flags.overrides, flags.sweeps, flags.folders.own) == (
        ["seed=1", "row=sac", "model=sac"],
        True,
        tmp_path,
    )
    assert flags.arguments(["seed=2"]) == [f"--config-dir={tmp_path}", "-m", "seed=2"]
    assert not read_flags(["--cfg", "job"]).runs
    assert not read_flags(["--nonsense"]).runs


def test_ones_own_files_are_found_beside_the_packages(tmp_path: Path) -> None:
    (tmp_path / "scale").mkdir()
    (tmp_path / "scale" / "mine.yaml").write_text("name: mine\n")
    cfg = compose_config("train", ["scale=mine"], ConfigFolders(own=tmp_path))
    assert cfg.scale.name == "mine"


def test_experiments_are_split_in_a_sweep_alone() -> None:
    listed = ["seed=1", "+experiment=table1_monuseg,table5_selection", "scale=cpu"]
    each = split_experiments(read_flags(["-m", *listed]))
    assert [one.overrides[1] for one in each] == ["+experiment=table1_monuseg", "+experiment=table5_selection"]
    assert [len(read_command_line("train", one).jobs) for one in each] == [10, 6]
    assert split_experiments(read_flags(listed)) == [read_flags(listed)]
    globbed = split_experiments(read_flags(["-m", "+experiment=glob(figure*)"]))
    assert [one.overrides[0].partition("=")[2][:7] for one in globbed] == [f"figure{i}" for i in (1, 3, 4, 5)]


def test_two_runs_of_one_second_have_two_folders(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "12-00-00"
    assert [claim_folder(folder).name for _ in range(3)] == ["12-00-00", "12-00-00_2", "12-00-00_3"]


def test_a_command_takes_a_folder_that_no_other_run_has(tmp_path: Path, light_processes: Processes) -> None:
    arguments = ["folder=runs", "count_only=true", "backbone=vit_h", "hydra.job_logging.root.level=ERROR"]
    begun = [light_processes.start("sac_lightning.train", *arguments, folder=tmp_path) for _ in range(3)]
    assert [light_processes.wait(one).returncode for one in begun] == [0, 0, 0]
    assert len(list(tmp_path.glob("runs/*/results.json"))) == 3


def test_an_interruption_ends_with_one_sentence_and_the_status_of_shells() -> None:
    program = """
from sac_lightning.core.command import command

@command("models")
def main(cfg):
    raise KeyboardInterrupt

main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "interrupted: what was finished is kept\n"
