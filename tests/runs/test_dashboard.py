"""The dashboard as code: which curves, figures and pictures of which runs, without any network."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.runs import dashboard as module
from sac_lightning.runs.dashboard import dashboard, make_workspace


def cfg(*overrides: str) -> DictConfig:
    return compose_config("dashboard", overrides)


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Any]:
    """The specification of a dashboard."""
    path = tmp_path / "dashboard.json"
    dashboard(cfg("group=table5_selection", "entity=lab", f"output={path}"))
    specification: dict[str, Any] = json.loads(path.read_text())
    return specification


def sections(specification: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = specification["spec"]["section"]["panelBankConfig"]["sections"]
    assert all(section["isOpen"] for section in found)
    return {section["name"]: section["panels"] for section in found}


def test_it_shows_the_runs_of_one_experiment(written: dict[str, Any]) -> None:
    assert (written["entity"], written["project"]) == ("lab", "sac_lightning")
    assert written["displayName"] == "table5_selection"
    (runs,) = written["spec"]["section"]["runSets"]
    (condition,) = runs["filters"]["filters"]
    assert condition["key"] == {"section": "run", "name": "group"}
    assert (condition["op"], condition["value"], condition["disabled"]) == ("=", "table5_selection", False)


def test_the_curves_of_all_methods_share_a_panel_with_the_epoch_as_x_axis(written: dict[str, Any]) -> None:
    panels = [panel["config"] for panel in sections(written)["Convergence"]]
    assert [panel["metrics"] for panel in panels] == [["val/dice"], ["val/iou"], ["train/loss"]]
    for panel in panels:
        assert panel["xAxis"] == "epoch"
        # One line per row of the table, whatever the number of its seeds; W&B calls a run's name so.
        assert (panel["groupBy"], panel["groupAgg"], panel["groupArea"]) == ("displayName", "mean", "minmax")
        assert panel["limit"] >= 50, "W&B shows ten lines unless told otherwise"


def test_the_table_has_the_figures_of_the_paper(written: dict[str, Any]) -> None:
    figures = ["test/dice", "test/iou", "test/f1", "seconds_per_epoch"]
    *bars, comparer = sections(written)["Table"]
    assert [bar["config"]["metrics"] for bar in bars] == [[figure] for figure in figures]
    assert comparer["viewType"] == "Run Comparer"
    (runs,) = written["spec"]["section"]["runSets"]
    assert runs["runFeed"]["columnOrder"] == ["run:displayName", *(f"summary:{figure}" for figure in figures)]


def test_the_overlays_of_validation_and_test_are_shown(written: dict[str, Any]) -> None:
    panels = sections(written)["Overlays"]
    assert {panel["viewType"] for panel in panels} == {"Media Browser"}
    assert [panel["config"]["mediaKeys"] for panel in panels] == [["val/overlays"], ["test/overlays"]]


def test_w_and_b_reads_it_back_as_it_was(written: dict[str, Any]) -> None:
    # Imported by now, without the warning that this raises.
    from wandb_workspaces.workspaces import Workspace
    from wandb_workspaces.workspaces.internal import View, WorkspaceViewspec

    spec = WorkspaceViewspec.model_validate(written["spec"])
    view = View(entity="lab", project="p", display_name="n", name="n", id="i", spec=spec)
    workspace = Workspace._from_model(view)
    assert [section.name for section in workspace.sections] == ["Convergence", "Table", "Overlays"]
    assert workspace.runset_settings.filters == "Metric(\"Group\") == 'table5_selection'"
    assert workspace._to_model().spec.model_dump(mode="json", by_alias=True, exclude_none=True) == written["spec"]


def test_the_same_dashboard_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        dashboard(cfg("group=dsb2018", f"output={tmp_path / name}"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dashboard.json"
    path.write_text("before")

    def full(self: Path, *_: Any, **__: Any) -> None:
        self.write_bytes(b"{")
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        dashboard(cfg("group=glas", f"output={path}"))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["dashboard.json"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["project=p"], "group is None: give the name of an experiment"),
        (["group='two words'"], "give the name of an experiment"),
        (["group=\"a' or Metric('Group') == 'b\""], "give the name of an experiment"),
        (["group=glas", "output=no_such_folder/d.json"], "no_such_folder does not exist"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        dashboard(cfg(*overrides))


def test_without_a_login_the_remedy_is_named(tmp_path: Path, light_processes: Processes) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "NETRC"))}
    environment |= {"HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path)}
    arguments = ["group=table5_selection", "entity=lab"]
    answer = light_processes.run("sac_lightning.dashboard", *arguments, folder=tmp_path, environment=environment)
    assert answer.returncode == 1
    (sentence,) = [line for line in answer.stderr.splitlines() if not line.startswith("wandb:")]
    assert sentence.startswith("error: nobody is logged in to W&B: run wandb login, or write a file")


def test_with_a_login_it_is_saved_and_its_address_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = []

    class Saved:
        url = "https://wandb.example/lab/sac_lightning?nw=1"

    monkeypatch.setattr(module.wandb, "login", lambda prompt: True)
    monkeypatch.setattr(type(make_workspace("any", "", "p")), "save", lambda self: saved.append(self) or Saved)
    dashboard(cfg("group=glas", "entity=lab"))
    assert capsys.readouterr().out == f"{Saved.url}\n"
    (workspace,) = saved
    assert (workspace.entity, workspace.name) == ("lab", "glas")


def test_a_refusal_of_w_and_b_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise ValueError("project not found")

    monkeypatch.setattr(module.wandb, "login", lambda prompt: True)
    monkeypatch.setattr(type(make_workspace("any", "", "p")), "save", refuse)
    with pytest.raises(UserError, match=r"did not take the dashboard \(project not found\): check login"):
        dashboard(cfg("group=glas", "entity=lab"))


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'sac-lightning\[dashboard\]'"):
        dashboard(cfg("group=glas", f"output={tmp_path / 'd.json'}"))
    assert not list(tmp_path.iterdir())
