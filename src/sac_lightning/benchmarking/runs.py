"""Sides that need data or a whole configuration: steps and loading at scale=cpu, tests under prompt settings.

They are separate from sides.py because its processes, whose memory is measured, must import as little as possible.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sac_lightning.benchmarking.side import Run
from sac_lightning.benchmarking.sides import build_random_sac, prepare_model_step, resize_backbone
from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.view import View
from sac_lightning.data.build import make_data
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.sample import LoadedSample, WholeImages
from sac_lightning.data.scene import render_scene
from sac_lightning.inference.windows import segment
from sac_lightning.model.build import build_model
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.trunk_features import TrunkFeatures
from sac_lightning.training.metrics.scores import Scores


def prepare_step_o() -> Run:
    """Prepare a training step at scale=cpu with 256 pairs of points chosen by O."""
    return _prepare_step(_compose_scale_cpu("prompts.points=256", "prompts.selection=O"))


def prepare_step_r() -> Run:
    """Prepare a training step at scale=cpu with 256 pairs of points chosen by R."""
    return _prepare_step(_compose_scale_cpu("prompts.points=256", "prompts.selection=R"))


def prepare_batch() -> Run:
    """Prepare loading the next batch of training windows at scale=cpu, from images in memory."""
    data = make_data(_compose_scale_cpu("data.workers=0"))
    batches = itertools.chain.from_iterable(itertools.repeat(data.train_dataloader()))

    def run() -> dict[str, Tensor]:
        next(batches)
        return {}

    return run


def prepare_one_test(backbone: Mapping[str, Any], image_size: int) -> Run:
    """Prepare a test of SAC on two images with one expert point: segmentation and scores."""
    return _prepare_tests(resize_backbone(backbone, image_size), image_size, expert_counts=(1,))


def prepare_tests_from_disk(backbone: Mapping[str, Any], image_size: int) -> Run:
    """Prepare tests of SAC on two images with 0, 1, 2 and 3 expert points, the trunk's tokens kept on disk."""
    return _prepare_tests(resize_backbone(backbone, image_size), image_size, expert_counts=(0, 1, 2, 3))


def _prepare_tests(backbone: Backbone, image_size: int, expert_counts: Sequence[int]) -> Run:
    """Prepare tests that start with an empty folder and with a model as loaded from a checkpoint."""
    model = build_random_sac(backbone, image_size).eval().requires_grad_(False)
    view, side = View(image_size), image_size
    samples = [
        LoadedSample(f"scene {seed}", *render_scene(np.random.default_rng(seed), side, side, "histology"))
        for seed in range(2)
    ]

    def run() -> dict[str, Tensor]:
        dice = {}
        with TemporaryDirectory() as folder:
            for count in expert_counts:
                model.image_encoder.features = TrunkFeatures(Path(folder)) if len(expert_counts) > 1 else None
                scores = Scores(generator=True, instances=True, prompts=True)
                images = WholeImages(samples, view, ExpertPoints(count), seed=0)
                for index in range(len(samples)):
                    image = images[0, index]
                    scores.update(segment(model, image.image, view, image.expert_points, image.seed), image)
                dice[f"dice with {count}"] = scores.compute()["dice"]
        return dice

    return run


def _compose_scale_cpu(*overrides: str) -> dict[str, Any]:
    return resolve_config(compose_config("train", ["scale=cpu", "output_dir=.", *overrides]))


def _prepare_step(config: Mapping[str, Any]) -> Run:
    """Prepare a training step according to a configuration, but with random weights."""
    torch.manual_seed(0)
    model = build_model(config["model"]).train()
    return prepare_model_step(model, config["view"]["image_size"], config["data"]["batch_size"], bfloat16=True)
