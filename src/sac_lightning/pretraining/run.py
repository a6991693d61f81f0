"""A pre-training from end to end, of a small SAM with evaluation and model card, or of another method."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from omegaconf import DictConfig
from rich.console import Console
from tqdm import tqdm

from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.files import whole_file
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.build import make_data
from sac_lightning.model.build import initialise_positions, load_base, load_official_state
from sac_lightning.model.counting import parameter_counts
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.methods import Prompts, sam
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.weights import locate, read_weights, write_weights
from sac_lightning.pretraining.card import format_model_card
from sac_lightning.pretraining.data import SceneData, make_held_out_scenes, make_scene_loader
from sac_lightning.pretraining.evaluation import (
    ClickedImage,
    click_on_nuclei,
    click_on_scenes,
    compute_click_metrics,
    compute_scene_metrics,
)
from sac_lightning.pretraining.fitting import fit
from sac_lightning.pretraining.masked_run import pretrain_masked
from sac_lightning.pretraining.pictures import write_clicks, write_curves
from sac_lightning.pretraining.task import PretrainingTask
from sac_lightning.runs.environment import environment
from sac_lightning.runs.former_record import move_former_record
from sac_lightning.runs.identity import identity_of
from sac_lightning.runs.record import RECORD_FILE, PretrainingRecord, record_provenance, write_record
from sac_lightning.training.console import quiet_lightning
from sac_lightning.training.history import History

PICTURED = 6


@quiet_lightning()
def pretrain(cfg: DictConfig) -> None:
    """Pre-train what the configuration asks for: the network under ``model``, or a small SAM if there is none."""
    if "model" in cfg:
        pretrain_masked(cfg)
    else:
        pretrain_sam(cfg)


def pretrain_sam(cfg: DictConfig) -> None:
    """Train a small SAM, write its weights, evaluate the written weights, and write a report."""
    config = resolve_config(cfg)
    identity = identity_of(config, __name__)
    output_dir = Path(cfg.output_dir)
    move_former_record(output_dir)
    backbone = instantiate(cfg.backbone, _convert_="all")
    nuclei = load_nuclei(config)
    seed_everything(cfg.seed, workers=True, verbose=False)
    model = build_sam(backbone, cfg.view.image_size)
    untrained = deepcopy(model).requires_grad_(False)
    base = load_base(model, config) if backbone.weights is not None else None
    history = History()
    trainer, resumed = fit_sam(cfg, config, model, history)
    if not trainer.is_global_zero:
        return

    weights = output_dir / f"{backbone.name}.safetensors"
    write_weights(weights, model.state_dict())
    load_official_state(model, read_weights(weights), weights, backbone.name)  # As written: rounded.
    model.requires_grad_(False).eval()
    metrics, pictures = {}, {}
    with trainer.precision_plugin.forward_context():
        for name, tested in (("", model), ("_untrained", untrained)):
            metrics[f"scenes{name}"], pictures[f"scenes{name}"] = evaluate_on_scenes(cfg, tested)
            if nuclei is not None:
                on_nuclei, clicked = f"{cfg.data.name}{name}", evaluate_on_nuclei(tested, nuclei)
                metrics[on_nuclei], pictures[on_nuclei] = compute_click_metrics(clicked), clicked
    record = {
        "weights": {
            "name": backbone.name,
            "bytes": weights.stat().st_size,
            "sha256": sha256_of(weights),
        },
        "base_weights": base,
        "metrics": metrics,
        "parameters": {name: parameter_counts(part)["total"] for name, part in model.named_children()},
        "epochs": len(history.rows),
        "history": history.rows,
        **resumed,
        **environment(torch.device("cpu")),
        **record_provenance(config, identity),
    }
    written = {"weights": weights} | write_report(output_dir, record, pictures)
    print_summary(metrics, written)


def build_sam(backbone: Backbone, image_size: int) -> SAC:
    """Build a SAM with random weights, all of which train."""
    model = sam(backbone, Prompts(points=0), image_size).requires_grad_(True)
    initialise_positions(model)
    return model


def load_nuclei(config: Mapping[str, Any]) -> NucleiDataModule | None:
    """Read the data set whose test images will be clicked on, before the training begins; None without one."""
    if "data" not in config:
        return None
    data = make_data({**config, "model": {}})  # Without expert points.
    data.read("test")
    return data


def fit_sam(
    cfg: DictConfig, config: Mapping[str, Any], model: SAC, history: History
) -> tuple[Trainer, dict[str, Any]]:
    """Train the model in place; see fit."""
    task = PretrainingTask(
        model,
        patch=cfg.backbone.patch,
        objects=cfg.objects,
        box_share=cfg.box_share,
        focus=cfg.focus,
        seed=cfg.seed,
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
    )
    return fit(cfg, config, task, SceneData(cfg.seed, cfg.view.image_size, **cfg.scenes), history)


def evaluate_on_scenes(cfg: DictConfig, model: SAC) -> tuple[dict[str, float], list[ClickedImage]]:
    """Return the mean IoU on held-out scenes, and some of these scenes for pictures."""
    scenes = make_held_out_scenes(cfg.seed, cfg.tested_scenes, cfg.view.image_size, cfg.scenes.smallest)
    batches = make_scene_loader(scenes, cfg.scenes.batch_size, workers=0)
    metrics, clicked = compute_scene_metrics(click_on_scenes(model, batches), len(scenes))
    return metrics, clicked[:PICTURED]


def evaluate_on_nuclei(model: SAC, data: NucleiDataModule) -> list[ClickedImage]:
    """Click on each nucleus of the test images of a data set."""
    images = data.test_dataloader()
    return [click_on_nuclei(model, i, data.view) for i in tqdm(images, desc="nuclei", leave=False, disable=None)]


def write_report(
    output_dir: Path, record: Mapping[str, Any], pictures: Mapping[str, list[ClickedImage]]
) -> dict[str, Path]:
    """Write the record, the model card, the curves and the pictures; return their paths."""
    written = {"record": output_dir / RECORD_FILE, "card": output_dir / f"{record['weights']['name']}.md"}
    write_record(written["record"], record, PretrainingRecord)
    with whole_file(written["card"]) as partial:
        partial.write_text(
            format_model_card(record, read_base_card(record["config"]["backbone"]["weights"])), encoding="utf-8"
        )
    if record["history"]:
        written["curves"] = output_dir / "curves.png"
        write_curves(written["curves"], record["history"])
    for name, clicked in pictures.items():
        written[name] = output_dir / f"{name}.png"
        write_clicks(written[name], clicked[:: max(1, len(clicked) // PICTURED)][:PICTURED])
    return written


def read_base_card(weights: str | None) -> str | None:
    """Read the model card beside the weights from which a pre-training started; None if there is none."""
    if weights is None:
        return None
    card = locate(weights).with_suffix(".md")
    return card.read_text(encoding="utf-8") if card.is_file() else None


def print_summary(metrics: Mapping[str, Mapping[str, float]], written: Mapping[str, Path]) -> None:
    """Print the figures and the paths of the files."""
    console = Console()
    for name, values in metrics.items():
        figures = ", ".join(
            f"{key.replace('_', ' ')} {value:.3f}" for key, value in values.items() if key != "objects"
        )
        objects = f"{values['objects']:,.0f} objects"
        console.print(f"{name.replace('_', ' ')}: mean IoU over {objects}: {figures}", soft_wrap=True)
    for name, path in written.items():
        console.print(f"{name:10} {path}", soft_wrap=True)
