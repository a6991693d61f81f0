"""The Weights & Biases workspace of an experiment: its curves, its table and its overlays, as code."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb
from omegaconf import DictConfig

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

CURVES = ("val/dice", "val/iou", "train/loss")
FIGURES = ("test/dice", "test/iou", "test/f1", "seconds_per_epoch")
OVERLAYS = ("val/overlays", "test/overlays")
MAX_RUNS = 100


def make_workspace(group: str, entity: str, project: str) -> Workspace:
    """Build the workspace: sections Convergence, Table and Overlays of the runs of one group.

    A line or a bar is a row of the experiment: the mean of the runs of one name, which differ in their seeds, with
    their range.

    Args:
        group: Group of the runs: the experiment's name, or the data set's for runs outside of an experiment.
        entity: Owner of the project.
        project: Project of the runs.

    Raises:
        UserError: wandb-workspaces is not installed.
    """
    try:
        with warnings.catch_warnings():
            # wandb-workspaces declares its models as Pydantic 1 did.
            warnings.simplefilter("ignore", DeprecationWarning)
            from wandb_workspaces import workspaces
            from wandb_workspaces.reports.v2 import interface as reports
    except ImportError as error:
        raise UserError("the dashboard needs wandb-workspaces: pip install 'sac-lightning[dashboard]'") from error
    by_row: dict[str, Any] = {"groupby": "Name", "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    by_row["max_runs_to_show"] = MAX_RUNS
    panels: dict[str, list[Any]] = {
        "Convergence": [
            reports.LinePlot(title=key, x="epoch", y=[key], title_x="epoch", **by_row) for key in CURVES
        ],
        "Table": [
            *(reports.BarPlot(title=key, metrics=[key], max_bars_to_show=MAX_RUNS, **by_row) for key in FIGURES),
            reports.RunComparer(diff_only="split"),
        ],
        "Overlays": [reports.MediaBrowser(title=key, media_keys=[key], num_columns=4) for key in OVERLAYS],
    }
    for section, its_panels in panels.items():
        for number, panel in enumerate(its_panels):
            panel._id = f"{section.lower()}{number}"  # By itself a random one: the same code, another file.
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=group,
        sections=[
            workspaces.Section(name=name, panels=its_panels, is_open=True) for name, its_panels in panels.items()
        ],
        settings=workspaces.WorkspaceSettings(x_axis="epoch", max_runs=MAX_RUNS),
        runset_settings=workspaces.RunsetSettings(
            filters=workspaces.And(workspaces.Metric("Group") == group),
            pinned_columns=["run:displayName", *(f"summary:{key}" for key in FIGURES)],
        ),
    )


def specification(workspace: Workspace) -> dict[str, Any]:
    """Return what W&B stores of a workspace."""
    view = workspace._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: view[key] for key in ("displayName", "entity", "project", "spec")}


def dashboard(cfg: DictConfig) -> None:
    """Save the workspace in W&B, or write its specification to a file.

    Raises:
        UserError: No group is named, nobody is logged in, or W&B refuses.
    """
    # wandb-workspaces reads the filter back from text, in which other characters have a meaning.
    if cfg.group is None or not re.fullmatch(r"[\w.-]+", str(cfg.group)):
        raise UserError(f"group is {cfg.group}: give the name of an experiment, such as group=table5_selection")
    workspace = make_workspace(str(cfg.group), cfg.entity or "", cfg.project)
    print(_save_workspace(workspace) if cfg.output is None else _write_specification(workspace, Path(cfg.output)))


def _save_workspace(workspace: Workspace) -> str:
    """Save the workspace in W&B and return its address."""
    try:
        if not wandb.login(prompt=False):
            raise UserError("nobody is logged in to W&B: run wandb login, or write a file with output=FILE.json")
        workspace.entity = workspace.entity or str(wandb.Api().default_entity)
        return str(workspace.save().url)  # type: ignore[no-untyped-call]
    except UserError:
        raise
    except Exception as error:  # W&B's have no class in common.
        raise UserError(
            f"W&B did not take the dashboard ({error}): check login, entity and project, or give output=FILE.json"
        ) from error


def _write_specification(workspace: Workspace, path: Path) -> Path:
    if not path.parent.is_dir():
        raise UserError(f"the folder {path.parent} does not exist: make it, or give another output")
    with whole_file(path) as partial:
        partial.write_text(json.dumps(specification(workspace), indent=2) + "\n", encoding="utf-8")
    return path
