"""A decoder that has come to be worth nothing is not asked for the mask, which stays as it is."""

import numpy as np
import pytest
import torch
from tests.commands import settings_of

from sac_lightning.core.view import View
from sac_lightning.inference.predictor import Nuclei, Predictor
from sac_lightning.model.build import build_model
from sac_lightning.model.lora import lora_layers
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.use import prepare_for_use

POINTS = [(10.0, 20.0), (70.0, 30.0)]


def make_model(tiny: list[str], weight: float) -> SAC:
    torch.manual_seed(0)
    model = build_model(settings_of(*tiny, "model=sac", "prompts.refine=true", "prompts.points=2")["model"])
    assert isinstance(model, SAC)
    model.weigh_decoder()
    assert model.decoder_weight is not None
    with torch.no_grad():
        model.decoder_weight.fill_(weight)
    return model.eval()


def encoded_images(model: SAC) -> list[int]:
    """The numbers of images that go through the image encoder from now on."""
    numbers: list[int] = []
    model.image_encoder.register_forward_hook(lambda module, images, output: numbers.append(len(output)))
    return numbers


def segment(model: SAC, points: list[tuple[float, float]] | None = None) -> Nuclei:
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    return Predictor(model, View(64, 32, overlap=0.25)).segment(image, points)


@pytest.mark.parametrize("points", [None, [], POINTS])
@pytest.mark.parametrize("weight", [0.0, -4e-6])
def test_the_answer_is_the_same(weight: float, points: list[tuple[float, float]] | None, tiny: list[str]) -> None:
    model = make_model(tiny, weight)
    expected = segment(model, points)
    prepare_for_use(model)
    encoded = encoded_images(model)
    found = segment(model, points)
    assert bool(encoded) == bool(points), "a person's points are to be among the answer's"
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4)
    assert np.array_equal(found.points, expected.points)
    assert np.array_equal(found.labels, expected.labels)


def test_a_decoder_that_has_learnt_is_asked(tiny: list[str]) -> None:
    model = make_model(tiny, 0.01)
    prepare_for_use(model)
    encoded = encoded_images(model)
    assert not model.is_silent
    segment(model)
    assert encoded


def test_lora_is_merged(tiny: list[str]) -> None:
    model = make_model(tiny, 0.0)
    prepare_for_use(model)
    assert all(layer.merged for layer in lora_layers(model))
    assert list(lora_layers(model))
