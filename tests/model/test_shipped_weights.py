"""The tiny SAM that the package ships: small, described, in segment-anything's format, and better than chance."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from segment_anything.modeling import Sam

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.data.build import make_data
from sac_lightning.model.build import build_model, load_base
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.weights import locate, read_weights
from sac_lightning.pretraining.data import make_held_out_scenes, make_scene_loader
from sac_lightning.pretraining.evaluation import click_on_nuclei, click_on_scenes, compute_click_metrics

FILE = locate("vit_t")
SIDE, SMALLEST = 512, 600
ONE_CLICK_FLOOR, NUCLEI_FLOOR = 0.6, 0.5


def settings(*overrides: str) -> dict[str, Any]:
    return resolve_config(compose_config("train", [*overrides, "output_dir=x"]))


@pytest.fixture(scope="module")
def shipped() -> SAC:
    model_settings = settings("model=sam", "prompts=none", f"view.image_size={SIDE}")["model"]
    model = build_model(model_settings)
    assert isinstance(model, SAC)
    load_base(model, model_settings)
    return model.eval()


def test_the_file_is_small_and_its_card_names_it() -> None:
    assert FILE.stat().st_size <= 16_000_000
    assert sha256_of(FILE) in FILE.with_suffix(".md").read_text(encoding="utf-8")


def test_segment_anything_loads_it_strictly(official_sam: Callable[..., Sam]) -> None:
    backbone = settings()["backbone"]
    sam = official_sam(
        dim=backbone["dim"],
        depth=backbone["depth"],
        heads=backbone["heads"],
        global_blocks=tuple(backbone["global_blocks"]),
        patch=backbone["patch"],
        size=backbone["native_size"],
        window=backbone["window"],
    )
    sam.load_state_dict(read_weights(FILE), strict=True)


def test_the_encoder_is_frozen_at_scale_cpu_as_at_scale_paper() -> None:
    model = build_model(settings("scale=cpu")["model"])
    assert isinstance(model, SAC)
    trained = {name for name, p in model.image_encoder.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.endswith(("q_a", "q_b", "v_a", "v_b")) for name in trained)
    assert not any(p.requires_grad for p in model.prompt_encoder.parameters())


@pytest.mark.slow
def test_a_click_finds_objects_of_scenes_that_it_has_not_seen(shipped: SAC) -> None:
    scenes = make_held_out_scenes(seed=0, number=12, side=SIDE, smallest=SMALLEST)
    clicked = [scene for scene, _ in click_on_scenes(shipped, make_scene_loader(scenes, batch_size=4, workers=0))]
    metrics = compute_click_metrics(clicked)
    assert metrics["one_click"] > ONE_CLICK_FLOOR
    assert metrics["three_clicks"] > metrics["one_click"]


@pytest.mark.slow
@pytest.mark.real_data
def test_a_click_finds_nuclei_that_it_has_not_seen(shipped: SAC, data_root: Path) -> None:
    run = settings("data=dsb2018", f"data.root={data_root}", f"view.image_size={SIDE}", "prompts=none")
    data = make_data(run)
    images = data.test_dataloader()
    clicked = [click_on_nuclei(shipped, image, data.view) for image in islice(images, 3)]
    assert compute_click_metrics(clicked)["one_click"] > NUCLEI_FLOOR


def test_it_differs_from_chance_in_what_it_answers(shipped: SAC) -> None:
    """Untrained, the same architecture finds next to nothing."""
    torch.manual_seed(0)
    untrained = ["model=sam", "prompts=none", "backbone.weights=null", f"view.image_size={SIDE}"]
    model = build_model(settings(*untrained)["model"])
    assert isinstance(model, SAC)
    scenes = make_held_out_scenes(seed=0, number=4, side=SIDE, smallest=SMALLEST)
    clicked = [scene for scene, _ in click_on_scenes(model.eval(), make_scene_loader(scenes, 4, workers=0))]
    assert compute_click_metrics(clicked)["one_click"] < 0.3 < ONE_CLICK_FLOOR
