"""What a sweep starts and what it says in the end, its jobs stood in for."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.processes import Finished, Processes
from tests.runs.stand_in import COMMANDS, write_stand_in_record

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.runs.multirun import share_threads
from sac_lightning.runs.replacement import finish_replacing
from sac_lightning.runs.requirements import refuse_repetition
from sac_lightning.training.requirements import find_missing

RECORDS = "cp $START/record.json results.json"
Sweep = Callable[..., Finished]


@pytest.fixture
def sweep(light_processes: Processes, tmp_path: Path) -> Sweep:
    """Runs a sweep in ``tmp_path`` whose jobs are a shell script each."""
    write_stand_in_record(tmp_path)
    (tmp_path / "results.json").rename(tmp_path / "record.json")

    def run(script: str, *arguments: str, **environment: str) -> Finished:
        function = "tests.runs.stand_in:train_with_stand_ins"
        return light_processes.run(
            function, script, *arguments, folder=tmp_path, environment=dict(environment) or None
        )

    return run


def commands(folder: Path) -> list[list[str]]:
    """The command lines of the jobs that were begun."""
    return [json.loads(line) for line in (folder / COMMANDS).read_text().splitlines()]


def own_experiment(folder: Path, name: str, text: str = "") -> None:
    (folder / "conf" / "experiment").mkdir(parents=True, exist_ok=True)
    file = folder / "conf" / "experiment" / f"{name}.yaml"
    file.write_text(f"# @package _global_\nexperiment: {{name: {name}}}\n{text}")


def titles(finished: Finished) -> list[str]:
    """The first lines of a sweep's tables: how many jobs came to what."""
    return [line.strip() for line in finished.stdout.splitlines() if " jobs: " in line]


def test_a_job_gets_the_config_folder_and_hydras_overrides_but_not_the_sweeps(
    sweep: Sweep, tmp_path: Path
) -> None:
    own_experiment(tmp_path, "mine")
    given = [
        "hydra.job_logging.root.level=ERROR",
        "hydra/job_logging=stdout",
        "hydra.searchpath=[pkg://hydra.conf]",
    ]
    of_sweep = ["hydra.sweep.dir=s", "hydra.sweep.subdir=x/${hydra.job.num}", "hydra/launcher=basic"]
    finished = sweep(
        RECORDS,
        "-m",
        "--config-dir=conf",
        "+experiment=mine",
        "seed=3,4",
        "hydra.verbose=false",
        *given,
        *of_sweep,
    )
    assert finished.returncode == 0, finished.stderr
    assert titles(finished) == ["2 jobs: 2 done"]
    for number, command in enumerate(commands(tmp_path)):
        assert command[0] == f"--config-dir={tmp_path}/conf"
        assert {*given, "+experiment=mine", f"seed={3 + number}", "hydra.mode=RUN", "hydra.verbose=false"} <= {
            *command
        }
        assert f"hydra.job.num={number}" in command
        assert not [one for one in command if "hydra.sweep" in one or "launcher" in one or "MULTIRUN" in one]


def test_a_list_of_experiments_is_the_sweep_of_each(sweep: Sweep, tmp_path: Path) -> None:
    own_experiment(tmp_path, "one", "hydra: {mode: MULTIRUN, sweeper: {params: {prompts.points: '1,3'}}}\n")
    own_experiment(tmp_path, "two", "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '5,6,7'}}}\n")
    finished = sweep(RECORDS, "--config-dir", "conf", "-m", "+experiment=one,two", "hydra.sweep.dir=s")
    assert finished.returncode == 0, finished.stderr
    assert titles(finished) == ["2 jobs: 2 done", "3 jobs: 3 done"]
    begun = [
        [one for one in command if one.startswith(("+exp", "seed", "prompts"))] for command in commands(tmp_path)
    ]
    assert begun == [
        *([f"prompts.points={points}", "+experiment=one"] for points in (1, 3)),
        *([f"seed={seed}", "+experiment=two"] for seed in (5, 6, 7)),
    ]


def test_of_a_list_of_experiments_one_that_fails_stops_no_other_and_is_the_status(
    sweep: Sweep, tmp_path: Path
) -> None:
    own_experiment(tmp_path, "one")
    own_experiment(tmp_path, "two", "seed: 1\n")
    script = f"test -e $START/first && {RECORDS}; touch $START/first"
    finished = sweep(script, "-m", "--config-dir=conf", "+experiment=one,two")
    assert finished.returncode == 1
    assert titles(finished) == ["1 jobs: 1 failed", "1 jobs: 1 done"]


def test_an_unknown_experiment_of_a_list_is_told_before_any_job(sweep: Sweep, tmp_path: Path) -> None:
    finished = sweep(RECORDS, "-m", "+experiment=table6_parameters,nonsense")
    assert finished.stderr.startswith("error: there is no experiment=nonsense: choose among ")
    assert not (tmp_path / COMMANDS).exists()


def test_a_second_sweep_into_a_folder_tells_of_its_own_jobs_alone(sweep: Sweep) -> None:
    first = sweep("false", "-m", "seed=0,1,2", "hydra.sweep.dir=s")
    assert (first.returncode, titles(first)) == (1, ["3 jobs: 3 failed"])
    second = sweep(RECORDS, "-m", "seed=7", "hydra.sweep.dir=s")
    assert (second.returncode, titles(second)) == (0, ["1 jobs: 1 done"])


def test_a_folder_of_a_sweep_that_goes_on_is_refused(
    sweep: Sweep, light_processes: Processes, tmp_path: Path
) -> None:
    arguments = ["-m", "hydra.sweep.dir=s"]
    function = "tests.runs.stand_in:train_with_stand_ins"
    waits = f"touch $START/begun; while test ! -e $START/go; do sleep 0.01; done; {RECORDS}"
    first = light_processes.start(function, waits, *arguments, "seed=1", folder=tmp_path)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    second = sweep(RECORDS, *arguments, "seed=2")
    (tmp_path / "go").touch()
    assert titles(light_processes.wait(first)) == ["1 jobs: 1 done"]
    assert second.returncode == 1
    assert second.stderr == "error: another sweep is at s: wait for it, or choose another hydra.sweep.dir\n"


def test_jobs_of_one_subfolder_are_all_told_of(sweep: Sweep) -> None:
    finished = sweep("false", "-m", "seed=0,1", "hydra.sweep.subdir=same")
    assert titles(finished) == ["2 jobs: 2 failed"]


def test_a_job_that_dies_after_its_record_is_done_and_what_it_died_of_is_told(sweep: Sweep) -> None:
    finished = sweep(f"{RECORDS}; echo no network; exit 3", "-m", "seed=0")
    assert (finished.returncode, titles(finished)) == (0, ["1 jobs: 1 done"])
    assert "#0 has its record, but ended with status 3: no network" in finished.stdout


def test_redo_runs_a_recorded_job_again_and_keeps_its_record_until_the_new_one_is_whole(
    sweep: Sweep, tmp_path: Path
) -> None:
    sweep(f"{RECORDS}; touch first", "-m", "seed=0")
    (folder,) = tmp_path.glob("outputs/runs/synthetic/sac/*-*/")
    assert titles(sweep("touch again", "-m", "seed=0")) == ["1 jobs: 1 recorded before"]
    failed = sweep(f"test -e {folder}/results.json && touch again", "-m", "seed=0", "redo=true")
    assert titles(failed) == ["1 jobs: 1 failed"]
    assert f"log: {folder}.redo/console.log" in failed.stdout
    assert (folder / "first").exists()
    again = sweep(f"{RECORDS}; touch second", "-m", "seed=0", "redo=true")
    assert titles(again) == ["1 jobs: 1 done"]
    assert {path.name for path in folder.iterdir()} == {"console.log", "results.json", "second"}
    assert list(tmp_path.glob("outputs/runs/synthetic/sac/*-*/")) == [folder]


def test_a_run_that_was_being_replaced_when_the_process_was_killed_is_there(tmp_path: Path) -> None:
    former = tmp_path / "run.former"
    former.mkdir()
    finish_replacing(tmp_path / "run")
    assert (tmp_path / "run").is_dir()
    shutil.copytree(tmp_path / "run", former)
    finish_replacing(tmp_path / "run")
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


def test_a_file_that_is_no_yaml_is_a_sentence(sweep: Sweep, tmp_path: Path) -> None:
    own_experiment(tmp_path, "mine", "experiment: {name: twice}\n")
    finished = sweep(RECORDS, "-m", "--config-dir=conf", "+experiment=mine", "seed=0")
    assert finished.stderr.startswith("error: a configuration file cannot be read: ")
    assert "mine.yaml" in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_the_end_names_the_report_of_ones_own_experiment_by_its_file(sweep: Sweep, tmp_path: Path) -> None:
    own_experiment(tmp_path, "other")
    (tmp_path / "conf" / "experiment" / "other.yaml").rename(tmp_path / "conf" / "experiment" / "file.yaml")
    finished = sweep(RECORDS, "-m", "--config-dir=conf", "+experiment=file", "seed=0")
    assert f"sac_lightning.report --config-dir={tmp_path}/conf table=file" in finished.stdout


def test_the_end_names_the_report_and_the_runs_that_wandb_kept_offline(sweep: Sweep, tmp_path: Path) -> None:
    script = f"{RECORDS}; mkdir -p wandb/offline-run-1"
    options = ["data=synthetic", "scale=smoke", "logger=wandb", "logger.wandb.offline=true", "data.workers=0"]
    finished = sweep(script, "+experiment=table5_selection", "prompts.points=1,7", "prompts.selection=O", *options)
    expected = (
        "report  python -m sac_lightning.report table=table5_selection "
        """'overrides=["scale=smoke","prompts.points=1,7","data=synthetic"]'"""
    )
    assert expected in finished.stdout
    offline = sorted(tmp_path.glob("outputs/runs/*/*/*/wandb/offline-run-1"))
    assert f"        wandb sync {' '.join(map(str, offline))}\n" in finished.stdout
    assert len(offline) == 2


@pytest.mark.parametrize(
    ("set_by_user", "expected"),
    [
        ({"OMP_NUM_THREADS": "3"}, ["3", "3", "3"]),
        ({"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "2"}, ["3", "2", "3"]),
    ],
)
def test_jobs_side_by_side_have_the_threads_that_the_user_gave_them(
    set_by_user: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in set_by_user.items():
        monkeypatch.setenv(name, value)
    with share_threads(2):
        assert [os.environ.get(name) for name in names] == expected
    assert {name: os.environ[name] for name in names if name in os.environ} == set_by_user


NOTES_THREADS = """
import os, sys
if "hydra.mode=RUN" in sys.orig_argv:
    threads = [os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
    open(f"{os.environ['START']}/threads-{os.getpid()}", "w").write(" ".join(threads))
    os._exit(1)
"""


def test_processes_of_the_local_launcher_hand_them_on(light_processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(NOTES_THREADS)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "path")}
    environment.pop("MKL_NUM_THREADS", None)
    arguments = ("-m", "seed=0,1", "hydra/launcher=local")
    function = "tests.runs.stand_in:train_with_threads"
    finished = light_processes.run(function, "3", *arguments, folder=tmp_path, environment=environment)
    assert titles(finished) == ["2 jobs: 2 failed"], finished.stderr
    assert [file.read_text() for file in tmp_path.glob("threads-*")] == ["3 3"] * 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["model=sac,u_net", "prompts.points=1,3"],
            "prompts.points=3 makes no difference to u_net, which has nothing of prompts: sweep over it without "
            "u_net, and start u_net by itself",
        ),
        (
            ["row=u_net,sac", "backbone.depth=2,4"],
            "backbone.depth=4 makes no difference to u_net, which has nothing of backbone: ",
        ),
    ],
)
def test_what_a_model_of_a_sweep_does_not_have_is_told(arguments: list[str], sentence: str) -> None:
    jobs = sweep_jobs("train", [*arguments, "hydra.mode=MULTIRUN", "output_dir=x"])
    configs = [resolve_config(compose_config("train", job)) for job in jobs]
    with pytest.raises(UserError, match=re.escape(sentence)):
        refuse_repetition(jobs, configs)


def test_rows_of_two_names_for_one_training_are_no_fault() -> None:
    jobs = sweep_jobs("train", ["row=sac,lora_1p0e", "hydra.mode=MULTIRUN", "output_dir=x"])
    refuse_repetition(jobs, [resolve_config(compose_config("train", job)) for job in jobs])


@pytest.mark.parametrize("override", ["output_dir=x", "hydra.run.dir=x"])
def test_a_folder_for_all_jobs_is_refused(override: str, sweep: Sweep, tmp_path: Path) -> None:
    finished = sweep(RECORDS, "-m", "seed=0,1", override)
    assert finished.stderr.startswith(f"error: {override} is for a single run: leave it out, as each job ")
    assert not (tmp_path / COMMANDS).exists()


def test_what_is_missing_is_told_once_before_the_first_job(sweep: Sweep, tmp_path: Path) -> None:
    options = ["data=folder", f"data.root={tmp_path}/a,{tmp_path}/b", "backbone=vit_b", "backbone.weights=no.pth"]
    finished = sweep(RECORDS, "-m", "seed=0,1,2", *options)
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert [finished.stderr.count(f"{tmp_path}/{name}/images does not exist") for name in "ab"] == [1, 1]
    assert not (tmp_path / COMMANDS).exists()


def test_missing_weights_are_found_where_the_data_are_there(tiny: list[str]) -> None:
    config = resolve_config(compose_config("train", [*tiny, "backbone.weights=no.pth", "output_dir=x"]))
    (sentence,) = find_missing([config, config])
    assert "no.pth" in sentence
