"""Every job of every experiment: it composes, it has the paper's settings, and its file states its cost."""

from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import compose_config, config_dir, resolve_config
from sac_lightning.reporting.experiment import EXPERIMENTS
from sac_lightning.reporting.paper.tables import paper_parameters, paper_rows
from sac_lightning.runs.identity import config_hash

FILES = sorted((config_dir() / "experiment").glob("*.yaml"))
ALIASES = {
    "ablation_prompts": "table3_prompts",
    "ablation_experts": "table4_experts",
    "ablation_points": "table5_selection",
    "ablation_backbone": "table7_backbone",
}
# The paper's name of a compared network, and ours.
NETWORKS = {
    "U-Net": "u_net",
    "UCTransNet": "uctransnet",
    "MedT": "medt",
    "HistoSeg": "histoseg",
    "DuAT": "duat",
    "SSFormer-L": "ssformer_l",
    "MSRF-Net": "msrf_net",
    "FANet": "fanet",
    "MDM": "mdm",
    "DoubleU-Net": "doubleu_net",
}
JOBS = {
    "table1_monuseg": 10,
    "table2_dsb2018": 11,
    "table3_prompts": 17,
    "table4_experts": 6,
    "table5_selection": 6,
    "table6_parameters": 3,
    "table7_backbone": 3,
    "table8_glas": 7,
    "figure1_prompting": 4,
    "figure3_experts": 3,
    "figure4_convergence": 3,
    "figure5_pairs": 4,
    "ablation_lora": 18,
    "ablation_threshold": 12,
    "ablation_loss": 2,
    "ablation_dense": 4,
    "ablation_generator": 4,
    "ablation_separating": 6,
    "instances_monuseg": 12,
    "instances_dsb2018": 11,
    "instances_glas": 12,
}


@cache
def jobs_of(name: str, *overrides: str) -> list[dict[str, object]]:
    return [resolve_config(compose_config("train", job)) for job in swept(name, *overrides)]


@cache
def swept(name: str, *overrides: str) -> list[list[str]]:
    return sweep_jobs("train", [f"+experiment={name}", "output_dir=x", *overrides])


def test_there_is_a_file_for_every_experiment_and_every_other_name() -> None:
    assert {file.stem for file in FILES} == {*EXPERIMENTS, *ALIASES}
    assert set(JOBS) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_job_composes_and_no_two_are_the_same(name: str) -> None:
    jobs = jobs_of(name)
    assert len(jobs) == JOBS[name]
    assert len({config_hash(job) for job in jobs}) == len(jobs)
    rows = [(job["data"]["name"], job["row"]) for job in jobs]  # type: ignore[index]
    assert len(set(rows)) == len(rows)
    assert all(isinstance(job["row"], str) for job in jobs)
    about = jobs[0]["experiment"]
    assert about["name"] == name  # type: ignore[index]
    assert about["reference"] in [job["row"] for job in jobs]  # type: ignore[index]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_experiment_opens_with_its_command_and_its_cost(file: Path) -> None:
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert head[0] == "# @package _global_"
    assert any(line.startswith(f"# python -m sac_lightning.train +experiment={file.stem}") for line in head)
    assert file.stem in ALIASES or any(line.startswith("# cost: ") for line in head)
    assert OmegaConf.load(file).get("hydra", {}).get("mode") == ("MULTIRUN" if file.stem not in ALIASES else None)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_another_name_of_an_experiment_has_the_same_jobs(alias: str, name: str) -> None:
    renamed = [
        [job.replace(f"+experiment={alias}", f"+experiment={name}") for job in jobs] for jobs in swept(alias)
    ]
    assert renamed == swept(name)
    assert resolve_config(compose_config("train", swept(alias)[0])) == resolve_config(
        compose_config("train", swept(name)[0])
    )


@pytest.mark.parametrize("table", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_rows_of_a_table_are_the_papers_in_the_papers_order(table: int) -> None:
    name = next(name for name in EXPERIMENTS if name.startswith(f"table{table}_"))
    ours = [(job["data"]["name"], job["row"]) for job in jobs_of(name)]  # type: ignore[index]
    if table == 6:
        assert [row for _, row in ours] == [row.key.row for row in paper_parameters()]
    else:
        assert ours == [(row.key.dataset, row.key.row) for row in paper_rows(table)]


@pytest.mark.parametrize("table", [1, 2, 3, 4, 5, 7, 8])
def test_a_rows_settings_are_the_papers(table: int) -> None:
    name = next(name for name in EXPERIMENTS if name.startswith(f"table{table}_"))
    for job, row in zip(jobs_of(name, "scale=paper"), paper_rows(table), strict=True):
        model = job["model"]
        assert isinstance(model, dict)
        if row.method in NETWORKS:
            assert model["name"] == NETWORKS[row.method]
            continue
        prompts = model["prompts"]
        assert prompts["points"] == row.points
        assert prompts["experts"] == (row.experts or 0)
        assert model["backbone"]["name"] == row.backbone
        if row.points and row.selection:
            assert prompts["selection"] == row.selection
        trained = {
            "SAM": "sam",
            "SAM-FT": "sam_ft",
            "MSA": "msa",
            "SAC": "sac",
            "LoRA": "sac" if row.points else "lora",
        }
        assert model["name"] == trained[row.method]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_takes_overrides_on_top(name: str) -> None:
    jobs = swept(name, "scale=smoke", "seed=0,1", "trainer=ddp", "logger=wandb", "data=glas")
    several_data_sets = 2 if name in ("table4_experts", "ablation_dense") else 1
    assert len(jobs) == 2 * JOBS[name] / several_data_sets
    for job, seed in ((jobs[0], 0), (jobs[-1], 1)):
        cfg = compose_config("train", job)
        assert (cfg.seed, cfg.scale.name, cfg.trainer.strategy, cfg.data.name) == (seed, "smoke", "ddp", "glas")
        assert "wandb" in cfg.logger


def test_a_smoke_test_trains_next_to_nothing_and_needs_no_weights() -> None:
    for job in jobs_of("table7_backbone", "scale=smoke"):
        model, trainer = job["model"], job["trainer"]
        assert model["backbone"]["weights"] is None  # type: ignore[index]
        assert (trainer["max_epochs"], trainer["limit_train_batches"]) == (1, 1)  # type: ignore[index]


def test_rows_of_several_tables_are_one_run() -> None:
    def of(name: str, row: str) -> str:
        return next(config_hash(job) for job in jobs_of(name) if job["row"] == row)

    sac = of("table1_monuseg", "SAC")
    assert of("table3_prompts", "LoRA 1-point 0-expert") == sac
    assert of("table5_selection", "O-1-point") == of("figure5_pairs", "1-pair") == sac
    assert of("figure4_convergence", "SAM-FT 1-expert") == of("table4_experts", "SAM-FT 0-point 1-expert")


@pytest.mark.parametrize(("name", "table"), [
    ("instances_monuseg", "table1_monuseg"),
    ("instances_dsb2018", "table2_dsb2018"),
    ("instances_glas", "table8_glas"),
])  # fmt: skip
def test_the_floor_of_an_instance_table_are_runs_of_the_papers_table(name: str, table: str) -> None:
    hashes = {job["row"]: config_hash(job) for job in jobs_of(table)}
    jobs = {job["row"]: job for job in jobs_of(name)}
    assert config_hash(jobs["SAC, components"]) == hashes["SAC"]
    assert config_hash(jobs["U-Net, components"]) == hashes["U-Net"]
    others = [job for label, job in jobs.items() if "components" not in str(label)]
    assert {job["instances"] for job in others} == {"watershed", "prompts"}
    for job in others:
        model = job["model"]
        assert isinstance(model, dict)
        separates = model.get("heads") == "separating" or model["prompts"]["generator"]["separating"]
        assert separates or job["row"] == "SAC", f"{job['row']} is handicapped"


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_the_launchers_that_are_installed_compose(launcher: str) -> None:
    assert sweep_jobs("train", ["+experiment=table5_selection", f"hydra/launcher={launcher}"])
