"""The report: pages, numbers and copies of made-up records, and committed pages from committed records."""

import copy
import csv
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import ConfigFolders, compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.reporting.experiment import find_experiments, group_by_row
from sac_lightning.reporting.published import published_rows
from sac_lightning.reporting.report import collect_part, read_records, report
from sac_lightning.reporting.section import section
from sac_lightning.reporting.table import latex_table
from sac_lightning.runs.record import record_header, record_provenance

REPOSITORY = Path(__file__).parents[2]
IMAGES = 5
BY_HAND = ("reading.md", "TUNING.md")


def jobs(experiment: str, *overrides: str) -> list[dict[str, Any]]:
    """The configurations of an experiment's jobs; the caller's own to change."""
    return copy.deepcopy(_composed_jobs(experiment, overrides))


@cache
def _composed_jobs(experiment: str, overrides: tuple[str, ...]) -> list[dict[str, Any]]:
    swept = sweep_jobs("train", [f"+experiment={experiment}", "output_dir=x", *overrides])
    return [resolve_config(compose_config("train", job)) for job in swept]


def record_of(config: dict[str, Any], dice: float) -> dict[str, Any]:
    """A made-up record whose images are spread evenly around a Dice."""
    scores = dice + np.linspace(-0.05, 0.05, IMAGES)
    return {
        **record_header(config),
        "metrics": {"dice": dice, "iou": dice - 0.1, "f1": dice + 0.01},
        "prompt_quality": {
            "positives_on_nucleus": 0.75,
            "negatives_off_nucleus": None,
            "nuclei_hit": 0.5,
            "points_per_nucleus": 1.25,
        },
        "images": [
            {"name": f"image{i}", "dice": score, "iou": score - 0.1} for i, score in enumerate(scores.tolist())
        ],
        "history": [
            {"epoch": epoch, "train_seconds": 2.0, "val/dice": dice - 0.2 + 0.1 * epoch} for epoch in range(3)
        ],
        "parameters": {"trainable": 1, "frozen": 2, "total": 3},
        "seconds_per_epoch": 2.0,
        "peak_memory_bytes": 2**30,
        "device": "CPU, 2 cores",
        "threads": 1,
        "git_commit": "0123456789abcdef",
        "base_weights": None,
        **record_provenance(config),
        "date": "2026-11-22T12:00:00+00:00",
    }


def write_run(runs: Path, record: dict[str, Any]) -> None:
    folder = runs / record["dataset"] / record["method"] / record["config_hash"][:12]
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(record))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of O-1-point and O-256-point of Table 5, one seed of R-256-point, smoke tests of all."""
    dice = {"O-1-point": 0.70, "O-256-point": 0.80, "R-256-point": 0.75}
    for config in jobs("table5_selection", "seed=0,1"):
        if config["row"] in dice and (config["row"] != "R-256-point" or config["seed"] == 0):
            write_run(tmp_path / "runs", record_of(config, dice[config["row"]] + 0.02 * config["seed"]))
    for config in jobs("table5_selection", "scale=smoke"):
        write_run(tmp_path / "runs", record_of(config, 0.9999))
    return tmp_path / "runs"


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(output: Path, *overrides: str) -> None:
    report(compose_config("report", [f"output={output}", *overrides]))


def cells(page: str, label: str) -> list[str]:
    """The cells of the first line of a page's table that begins with a label."""
    line = next(line for line in page.splitlines() if line.startswith(f"| {label} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_runs_on_other_images_are_no_seeds_of_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def contents(digest: str, seed: int) -> dict[str, Any]:
        return {"contents": {"data": {"test": digest * 64}, "files": {"resume": str(seed) * 64}}}

    read = {0: contents("a", 0), 1: contents("b", 1), 2: contents("b", 2)}
    for config in jobs("table5_selection", "seed=0,1,2,3"):
        if config["row"] == "O-1-point":
            record = record_of(config, 0.70 + 0.02 * config["seed"])
            del record["contents"]  # As in a record of former times.
            write_run(tmp_path / "runs", {**record, **read.get(config["seed"], {})})
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=5")
    page = (tmp_path / "out" / "table5_selection" / "README.md").read_text()
    assert cells(page, "O-1-point")[2] == "75.00 ± 2.00", "of seeds 1 to 3"
    assert "1 of the records are left out, as the newest run of their row" in capsys.readouterr().out


def test_a_page_shows_the_papers_figures_ours_and_what_is_not_run(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=5")
    page = (tmp_path / "out" / "table5_selection" / "README.md").read_text()
    assert "+experiment=table5_selection scale=cpu" in page
    # 70 and 72 percent: mean 71, sample deviation sqrt(2); the paper has 81.35.
    assert cells(page, "O-1-point")[1:7] == [
        "81.46",
        "72.00 ± 1.41",
        "68.68",
        "61.00 ± 1.41",
        "81.35",
        "71.00 ± 1.41",
    ]
    assert cells(page, "O-1-point")[7:9] == ["10", "2.0 ± 0.0"]
    assert cells(page, "O-1-point")[10] == "-10.35"
    assert cells(page, "O-1-point")[12] == "0, 1"
    assert cells(page, "R-256-point")[11] == "reference"
    # 81 less 75, the same for every image.
    assert cells(page, "O-256-point")[11].startswith("+6.00 (+6.00 to +6.00; p = 0.0")
    assert cells(page, "O-3-point")[2] == "not run"
    assert "99.99" not in page, "a smoke test has come into a table"
    assert "| O-1-point | 75.0 | - | 50.0 | 1.25 |" in page
    assert "| O-1-point | 1 | 2026-11-22 | CPU, 2 cores, threads: 1 | 3 | 2.0 | 1.0 GiB | 5 | 01234567 |" in page


def test_rows_of_several_data_sets_say_which_in_every_table_and_curve(tmp_path: Path) -> None:
    for config in jobs("ablation_dense", "seed=0"):
        write_run(tmp_path / "runs", record_of(config, 0.8))
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=ablation_dense")
    page = (tmp_path / "out" / "ablation_dense" / "README.md").read_text()
    for dataset in ("monuseg", "glas"):
        assert page.count(f"| points and dense prompt ({dataset}) | ") == 3, "figures, prompts, runs"
    records = group_by_row(read_records(tmp_path / "runs", "results.json"))
    curves = section(collect_part("ablation_dense", "cpu", [], records), "", tmp_path).curves
    assert curves[-1].label == "points and dense prompt (glas), seed 0"


def test_a_table_that_the_paper_does_not_have_has_no_columns_of_the_papers(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=figure5")
    page = (tmp_path / "out" / "figure5_pairs" / "README.md").read_text()
    assert "|  | F1 | IoU | Dice | Dice 95 % | less 1-pair | seeds |" in page
    assert cells(page, "1-pair")[3] == "71.00 ± 1.41"
    assert cells(page, "8-pair")[3] == "not run"
    assert {path.name for path in (tmp_path / "out" / "figure5_pairs").iterdir()} >= {
        "pairs_cpu.png",
        "pairs_cpu.svg",
    }


def test_the_csv_has_the_numbers_to_six_decimals(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=5")
    with (tmp_path / "out" / "table5_selection" / "table_cpu.csv").open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert float(rows["O-1-point"]["dice_mean"]) == pytest.approx(0.71)
    assert float(rows["O-1-point"]["dice_deviation"]) == pytest.approx(0.02 / 2**0.5, abs=1e-6)
    assert float(rows["O-1-point"]["dice_paper"]) == pytest.approx(0.8135)
    assert rows["O-3-point"]["dice_mean"] == ""
    assert float(rows["O-256-point"]["dice_minus_reference"]) == pytest.approx(0.06)
    low, high = float(rows["O-1-point"]["dice_low"]), float(rows["O-1-point"]["dice_high"])
    assert 0.66 < low < 0.71 < high < 0.76


def test_the_latex_table_has_a_line_per_row_and_no_bare_special_character(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=5")
    text = (tmp_path / "out" / "table5_selection" / "table_cpu.tex").read_text()
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 6
    assert all(line.endswith(r" \\") and line.count("&") == body[0].count("&") for line in body)
    assert "%" not in text.replace(r"\%", "")


def test_latex_prints_every_character_as_itself() -> None:
    text = latex_table("50 % & more", ["", "p_1 #2"], [["SAC", "1.2 ± 0.3; p < 0.001"]])
    assert r"\caption{50 \% \& more}" in text
    assert r" & p\_1 \#2 \\" in text
    assert r"SAC & 1.2 $\pm$ 0.3; p $<$ 0.001 \\" in text


def test_the_pages_can_be_made_again_from_the_copied_records_byte_for_byte(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=5")
    first = written(tmp_path / "out")
    assert sum(name.startswith("records/") for name in first) == 5
    assert {"dice_cpu.png", "dice_cpu.svg"} <= {name.split("/")[-1] for name in first}
    run(tmp_path / "out", "runs=nowhere", "table=5")
    assert written(tmp_path / "out") == first
    run(tmp_path / "elsewhere", f"runs={runs}", "table=5")
    assert written(tmp_path / "elsewhere") == first


def test_of_two_runs_with_one_seed_the_later_counts(runs: Path, tmp_path: Path) -> None:
    config = jobs("table5_selection", "prompts.selection=R", "prompts.points=256")[0]
    write_run(tmp_path / "later", record_of(config, 0.5) | {"date": "2026-11-23T12:00:00+00:00"})
    shutil.move(tmp_path / "later", runs / "later")
    run(tmp_path / "out", f"runs={runs}", "table=5")
    page = (tmp_path / "out" / "table5_selection" / "README.md").read_text()
    assert cells(page, "R-256-point")[6] == "50.00"


def test_a_run_with_other_settings_is_no_row_unless_the_report_is_told(runs: Path, tmp_path: Path) -> None:
    (config,) = jobs("table5_selection", "prompts.selection=R", "prompts.points=3", "trainer.max_epochs=99")
    write_run(runs, record_of(config, 0.6))
    run(tmp_path / "out", f"runs={runs}", "table=5")
    assert cells((tmp_path / "out" / "table5_selection" / "README.md").read_text(), "R-3-point")[2] == "not run"
    run(tmp_path / "told", f"runs={runs}", "table=5", "overrides=['trainer.max_epochs=99']")
    page = (tmp_path / "told" / "table5_selection_trainer.max_epochs-99" / "README.md").read_text()
    assert cells(page, "R-3-point")[6] == "60.00"
    assert cells(page, "O-1-point")[2] == "not run"


def test_the_true_scale_and_every_override_stand_wherever_the_figures_do(runs: Path, tmp_path: Path) -> None:
    (config,) = jobs(
        "table5_selection", "scale=smoke", "prompts.selection=O", "prompts.points=1", "data.batch_size=3"
    )
    write_run(runs, record_of(config, 0.5))
    given = ["scale=smoke", "data.batch_size=3"]
    run(tmp_path / "out", f"runs={runs}", "table=5", f"overrides={json.dumps(given)}")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "records",
        "table5_selection_smoke_data.batch_size-3",
    }
    folder = tmp_path / "out" / "table5_selection_smoke_data.batch_size-3"
    tag = "smoke_data.batch_size-3"
    named = [f"table_{tag}.csv", f"table_{tag}.tex", f"dice_{tag}.png", f"dice_{tag}.svg"]
    assert {path.name for path in folder.iterdir()} == {"README.md", *named}
    page = (folder / "README.md").read_text()
    assert "\n## scale=smoke data.batch_size=3\n" in page
    assert "train +experiment=table5_selection scale=smoke data.batch_size=3\n" in page
    assert "Figures of smoke tests" in page
    assert cells(page, "O-1-point")[6] == "50.00"
    assert "cpu" not in page
    assert "(scale=smoke data.batch_size=3)" in (folder / f"dice_{tag}.svg").read_text()
    assert "(scale=smoke data.batch\\_size=3)" in (folder / f"table_{tag}.tex").read_text()
    (first, *_) = csv.DictReader((folder / f"table_{tag}.csv").read_text().splitlines())
    assert (first["scale"], first["overrides"]) == ("smoke", "scale=smoke data.batch_size=3")


def test_pages_of_everything_with_overrides_are_beside_those_without(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", 'overrides=["scale=smoke"]')
    files = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert files == {"CLAIMS_smoke.md", "README_smoke.md", "index_smoke.html", "plotly.min.js"}
    claims = (tmp_path / "out" / "CLAIMS_smoke.md").read_text()
    assert "scale=smoke" in claims
    assert "scale=cpu" not in claims
    assert "scale=cpu" not in (tmp_path / "out" / "index_smoke.html").read_text()
    assert "| smoke | 6 of 6 |" in (tmp_path / "out" / "README_smoke.md").read_text()


def test_a_report_without_rows_says_what_there_is_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["prompts.selection=O", "prompts.points=1"]
    for others in (["scale=smoke"], ["model.rank=4", "data.batch_size=3"], ["data=glas"]):
        (config,) = jobs("table5_selection", *one, *others)
        write_run(tmp_path / "runs", record_of(config, 0.5))
    mine = jobs("table5_selection", *one, "seed=5")[0]
    mine["experiment"]["name"] = "mine"
    mine["row"] = "own row"
    write_run(tmp_path / "runs", record_of(mine, 0.5) | {"experiment": "mine"})
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=figure1")
    said = capsys.readouterr().out
    assert "mine: 1 run of an experiment of your own: python -m sac_lightning.report table=mine" in said
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=5", 'overrides=["data.batch_size=7"]')
    said = capsys.readouterr().out
    command = "python -m sac_lightning.report table=table5_selection"
    for settings in (["scale=smoke"], ["model.rank=4", "data.batch_size=3"], ["data=glas"]):
        told = json.dumps(sorted(settings)).replace(" ", "")
        assert f"1 row has runs with {' '.join(sorted(settings))}: {command} 'overrides={told}'\n" in said
    run(tmp_path / "out", "runs=nowhere", "table=1")
    assert "nowhere has no run of it: python -m sac_lightning.train +experiment=table1_monuseg" in (
        capsys.readouterr().out
    )


def test_an_experiment_of_ones_own_goes_by_its_name_in_the_records(tmp_path: Path) -> None:
    for seed, points, dice in ((0, 1, 0.6), (1, 1, 0.7), (0, 3, 0.8)):
        config = jobs("table5_selection", "prompts.selection=O", f"prompts.points={points}", f"seed={seed}")[0]
        config["experiment"] = {"name": "mine", "columns": ["f1", "iou", "dice"]}
        config["row"] = None
        write_run(tmp_path / "runs", record_of(config, dice))
    with pytest.raises(UserError, match="or of your own: mine"):
        run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=nonsense")
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=mine")
    page = (tmp_path / "out" / "mine" / "README.md").read_text()
    assert cells(page, "prompts.points=1")[3] == "65.00 ± 7.07"
    assert cells(page, "prompts.points=3")[3] == "80.00"
    assert "python -m sac_lightning.train +experiment=mine scale=cpu\n" in page
    with pytest.raises(UserError, match="needs the file of the experiment mine: add --config-dir=DIR"):
        run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=mine", 'overrides=["data.workers=1"]')


def test_an_experiment_of_ones_own_goes_by_its_file_too(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "file.yaml").write_text(
        "# @package _global_\nexperiment: {name: mine}\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {prompts.points: '1,3'}}}\n"
    )
    folders = ConfigFolders(own=tmp_path / "conf")
    report(compose_config("report", [f"output={tmp_path / 'out'}", "table=file", "runs=none"]), folders)
    page = (tmp_path / "out" / "file" / "README.md").read_text()
    assert cells(page, "prompts.points=3")[1] == "not run"


def test_smoke_tests_are_listed_and_enter_no_table(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=5", "smoke=true")
    page = (tmp_path / "out" / "table5_selection" / "README.md").read_text()
    assert "not a result" in page
    assert page.count("| ran |") == 6
    assert cells(page, "O-1-point")[2] == "not run"
    assert "99.99" not in page
    assert not (tmp_path / "out" / "records").exists()


def test_table_7s_rows_without_runs_say_which_of_them_passed_a_smoke_test(tmp_path: Path) -> None:
    tests = jobs("table7_backbone", "scale=smoke")
    real = jobs("table7_backbone")
    for config in tests[:2]:
        write_run(tmp_path / "runs", record_of(config, 0.9999))
    write_run(tmp_path / "runs", record_of(real[0], 0.7))
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=7")
    page = (tmp_path / "out" / "table7_backbone" / "README.md").read_text()
    assert [cells(page, row)[2] for row in ("ViT-B", "ViT-L", "ViT-H")] == ["71.00", "smoke test", "not run"]
    assert "means nothing" in page
    assert "99.99" not in page
    assert len(list((tmp_path / "out" / "records").iterdir())) == 2
    run(tmp_path / "out", "runs=nowhere", "table=7")
    assert (tmp_path / "out" / "table7_backbone" / "README.md").read_text() == page


def test_what_a_person_wrote_about_a_table_stands_on_top_of_its_pages(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "table5_selection"
    folder.mkdir(parents=True)
    (folder / "reading.md").write_text("The number of points **decides**, see [Table 3](../table3_prompts).\n")
    (tmp_path / "out" / "reading.md").write_text("## All in all\n\nPrompts matter.\n")
    run(tmp_path / "out", f"runs={runs}")
    page = (folder / "README.md").read_text()
    assert page.index("The number of points **decides**") < page.index("## scale=cpu")
    assert "The number of points decides, see Table 3." in (tmp_path / "out" / "index.html").read_text()
    assert "What to take from it" not in (tmp_path / "out" / "table3_prompts" / "README.md").read_text()
    assert (tmp_path / "out" / "README.md").read_text().endswith("|\n\n## All in all\n\nPrompts matter.\n")


def test_everything_is_one_page_per_experiment_the_claims_and_one_html_page(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}")
    assert len(list((tmp_path / "out").glob("*/README.md"))) == 21
    index = (tmp_path / "out" / "README.md").read_text()
    assert "| [Table 5: selection of points](table5_selection/README.md) | cpu | 3 of 6 |" in index
    assert "| [Table 1: MoNuSeg](table1_monuseg/README.md) | cpu | 1 of 10 |" in index
    claims = (tmp_path / "out" / "CLAIMS.md").read_text()
    assert all(f"C{i}" in claims for i in range(1, 15))
    html = (tmp_path / "out" / "index.html").read_text()
    assert "O-256-point" in html
    assert "SSFormer-L" in html
    assert "table1_monuseg" in html


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (5, "table5_selection"),
        ("1", "table1_monuseg"),
        ("figure4", "figure4_convergence"),
        ("ablation_lora", "ablation_lora"),
        ("table3_prompts", "table3_prompts"),
        ("ablation_prompts", "table3_prompts"),
        ("ablation_experts", "table4_experts"),
        ("ablation_points", "table5_selection"),
        ("ablation_backbone", "table7_backbone"),
    ],
)
def test_a_table_goes_by_its_number_or_its_name(table: str | int, name: str) -> None:
    assert find_experiments(table) == (name,)


@pytest.mark.parametrize("table", [9, 0, "ablation", "nonsense"])
def test_another_table_is_refused(table: str | int) -> None:
    with pytest.raises(UserError, match="is no experiment: choose 1 to 8, or one of table1_monuseg"):
        find_experiments(table)


def test_an_instance_table_has_its_figures_and_below_them_what_others_published(tmp_path: Path) -> None:
    config = next(job for job in jobs("instances_monuseg") if job["row"] == "SAC separating")
    record = record_of(config, 0.8)
    record["metrics"] |= {
        "aji": 0.6,
        "aji_plus": 0.59,
        "pq": 0.55,
        "f1_50": 0.7,
        "f1_70": 0.5,
        "f1_90": 0.1,
        "map": 0.4,
    }
    record["prompt_quality"] |= {"precision": 0.81, "recall": 0.82, "exactly_once": 0.8, "f1": 0.815}
    record["prompt_quality"]["regions_per_nucleus"] = 1.01
    write_run(tmp_path / "runs", record)
    run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=instances_monuseg")
    page = (tmp_path / "out" / "instances_monuseg" / "README.md").read_text()
    assert cells(page, "SAC separating")[1:9] == [
        "60.00",
        "59.00",
        "55.00",
        "70.00",
        "50.00",
        "10.00",
        "40.00",
        "80.00",
    ]
    assert cells(page, "U-Net with heads")[1:3] == ["not run", "not run"]
    prompts, published = page.split("### Prompts")[1].split("### Published")
    assert cells(prompts, "SAC separating")[5:] == ["81.0", "82.0", "80.0", "81.5", "1.01"]
    assert "**theirs, not measured here**" in published
    assert cells(published, "CellViT-SAM-H")[1:4] == ["-", "67.16", "83.26"]
    part = collect_part("instances_monuseg", "cpu", [], {})
    notes = section(part, "", tmp_path).notes
    assert all(note.startswith("Theirs, not measured here: ") and "source: " in note for note in notes)
    assert len(notes) == len(published_rows("instances_monuseg"))


def test_a_table_of_the_paper_has_nothing_that_others_published(runs: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", f"runs={runs}", "table=5")
    page = (tmp_path / "out" / "table5_selection" / "README.md").read_text()
    assert "Published" not in page
    assert "O: F1" not in page, "its records do not have the points of whole images"
    assert published_rows("table1_monuseg") == []


def test_every_published_figure_has_its_data_and_its_source() -> None:
    rows = published_rows("instances_monuseg")
    assert {"HoVer-Net", "CellViT-SAM-H"} <= {row.system for row in rows}
    for row in rows:
        assert row.figures
        assert all(0 < figure < 1 for figure in row.figures.values())
        assert row.data
        assert row.source


def test_a_file_that_is_no_record_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "results.json").write_text("{}")
    with pytest.raises(UserError, match=r"results\.json is no record of a training run"):
        run(tmp_path / "out", f"runs={tmp_path / 'runs'}", "table=5")


def test_the_committed_pages_are_what_report_makes_of_the_committed_records(tmp_path: Path) -> None:
    listed = ["git", "ls-files", "experiments"]
    tracked = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()
    committed = {name.removeprefix("experiments/"): (REPOSITORY / name).read_bytes() for name in tracked}
    for name in tracked:
        if "/records/" in name or name.endswith(BY_HAND):
            (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, tmp_path / "out" / name)
    run(tmp_path / "out" / "experiments", "runs=nowhere")
    made = written(tmp_path / "out" / "experiments")
    assert set(committed) <= set(made)
    assert [name for name in committed if made[name] != committed[name]] == []
    assert set(made) - set(committed) == {"plotly.min.js"}
