"""An image that is encoded once answers as the predictor does, and a click costs no more than its windows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.precision import FULL, MIXED
from sac_lightning.core.view import View
from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.predictor import Nuclei, Predictor
from sac_lightning.inference.thresholds import EveryPrompt, Watershed
from sac_lightning.model.build import build_model
from sac_lightning.model.point_selection import PointSelection

MODELS = {
    "sac": ["model=sac", "prompts.points=3"],
    "random": ["model=sac", "prompts.selection=R", "prompts.points=2"],
    "dense": ["model=sam_ft", "prompts.dense=true"],
    "refined": ["model=sac", "prompts.refine=true"],
    "lora": ["model=lora"],
    "msa": ["model=msa", "prompts=auto"],
    "u_net": ["model=u_net", "model.init_features=4"],
}
SIZES = [(64, 64), (40, 90), (20, 25)]
POINTS, LABELS = [(3.0, 17.0), (18.0, 2.5), (0.0, 0.0)], [1, 0, 1]


def make(
    tiny: list[str], fill: Callable[..., nn.Module], name: str, view: View | None = None, precision: str = FULL
) -> Predictor:
    config = resolve_config(compose_config("train", [*tiny, *MODELS[name], "output_dir=x"]))
    model = fill(build_model(config["model"]), gain=0.7)
    return Predictor(model, view or View(64, stretch=True), precision=precision)


def picture(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width]


def assert_same(one: Nuclei, other: Nuclei) -> None:
    """The same points, and the same numbers but for rounding: memory is laid out differently."""
    assert one.probability == pytest.approx(other.probability, abs=1e-5)
    assert ((one.mask == other.mask) | (np.abs(other.probability - 0.5) < 1e-5)).all()
    assert np.array_equal(one.points, other.points)
    assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_is_encoded_and_decoded_in_the_precision(
    name: str, tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor = make(tiny, fill, name, precision=MIXED)
    image = picture(40, 90)
    found = EncodedImage(predictor, image).segment(POINTS, LABELS)
    full = EncodedImage(make(tiny, fill, name), image).segment(POINTS, LABELS)
    expected = predictor.segment(image, POINTS, LABELS)
    assert np.array_equal(found.points, expected.points)
    difference = np.abs(found.probability - expected.probability)
    assert difference.max() < 1e-2, "padding and layout round otherwise"
    assert not np.array_equal(found.probability, full.probability)


@pytest.mark.parametrize("name", MODELS)
def test_nuclei_are_told_apart_as_the_predictor_does(
    name: str, tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    trained, image = make(tiny, fill, name), picture(70, 100)
    middle = float(np.median(trained.segment(image).probability))
    predictor = Predictor(trained.model, View(64, 32), separation=Watershed(middle, min(middle + 0.05, 0.99), 4))
    one, other = EncodedImage(predictor, image).segment(), predictor.segment(image)
    assert one.instances.max() > 1
    assert np.array_equal(one.instances, other.instances)


def test_every_prompt_by_itself_takes_no_clicks(tiny: list[str], fill: Callable[..., nn.Module]) -> None:
    predictor = Predictor(make(tiny, fill, "sac").model, View(64), separation=EveryPrompt(0.5, 0.5, 1))
    with pytest.raises(UserError, match="watershed or components"):
        EncodedImage(predictor, picture(64, 64))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_the_answer_is_the_predictors(
    name: str, size: tuple[int, int], tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor, image = make(tiny, fill, name), picture(*size)
    encoded = EncodedImage(predictor, image)
    for count in (0, 1, 3, 2):  # clicks come, and one is taken back
        points, labels = POINTS[:count], LABELS[:count]
        assert_same(encoded.segment(points, labels, seed=5), predictor.segment(image, points, labels, seed=5))


@pytest.mark.parametrize("name", MODELS)
def test_windows_without_clicks_are_the_predictors(
    name: str, tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor, image = make(tiny, fill, name, View(64, 32)), picture(70, 100)
    assert_same(EncodedImage(predictor, image).segment(seed=2), predictor.segment(image, seed=2))


def test_points_that_every_window_holds_are_the_predictors_too(
    tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor, image = make(tiny, fill, "sac", View(64, 40, overlap=0.9)), picture(44, 44)
    given = [(20.0, 21.0), (25.0, 18.0)]
    assert len(predictor.view.windows(44, 44)) > 1
    assert_same(EncodedImage(predictor, image).segment(given), predictor.segment(image, given))


def test_a_click_changes_only_the_windows_that_hold_it(tiny: list[str], fill: Callable[..., nn.Module]) -> None:
    predictor, image = make(tiny, fill, "sac", View(64, 32)), picture(128, 128)
    encoded = EncodedImage(predictor, image)
    before = encoded.segment()
    after = encoded.segment([(5.0, 6.0)])
    assert not np.array_equal(after.probability[:32, :32], before.probability[:32, :32])
    assert np.array_equal(after.probability[32:], before.probability[32:])
    assert np.array_equal(after.probability[:, 32:], before.probability[:, 32:])
    fresh = EncodedImage(predictor, image).segment([(5.0, 6.0)])
    assert after.probability == pytest.approx(fresh.probability, abs=1e-5)
    assert_same(encoded.segment(), before)


def test_the_encoder_runs_once_and_a_click_decodes_one_window(
    tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor = make(tiny, fill, "sac", View(64, 32))
    model: Any = predictor.model
    seen: dict[str, list[int]] = {"image_encoder": [], "prompt_generator": [], "mask_decoder": []}
    for part, sizes in seen.items():
        getattr(model, part).register_forward_pre_hook(lambda _, given, sizes=sizes: sizes.append(len(given[0])))
    encoded = EncodedImage(predictor, picture(128, 128))
    encoded.segment()
    windows = len(predictor.view.windows(128, 128))
    assert all(sum(sizes) == windows for sizes in seen.values())
    encoded.segment([(5.0, 6.0)])
    encoded.segment([(5.0, 6.0), (6.0, 8.0)])
    encoded.segment([(5.0, 6.0)])
    assert {part: sum(sizes) - windows for part, sizes in seen.items()} == {
        "image_encoder": 0,
        "prompt_generator": 0,
        "mask_decoder": 2,
    }


@pytest.mark.parametrize("chosen", [PointSelection(0), PointSelection(5, "R", 0.3), PointSelection(1, "O", 0.9)])
def test_points_may_be_chosen_otherwise_than_in_training(
    chosen: PointSelection, tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor, image = make(tiny, fill, "sac"), picture(64, 64)
    encoded = EncodedImage(predictor, image)
    encoded.segment()
    answer = encoded.segment(POINTS, LABELS, selection=chosen)
    model: Any = predictor.model
    model.point_selection = chosen
    assert_same(answer, predictor.segment(image, POINTS, LABELS))


def test_each_click_by_itself_joins_what_every_one_finds_alone(
    tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    predictor, image = make(tiny, fill, "lora"), picture(64, 64)
    together = EncodedImage(predictor, image).segment_each([(20, 30), (50, 9), (3, 3)], [1, 1, 0])
    alone = [predictor.segment(image, [point, (3, 3)], [1, 0]).probability for point in ((20, 30), (50, 9))]
    assert together.probability == pytest.approx(np.maximum(*alone), abs=1e-5)
    assert sorted(map(tuple, together.points.tolist())) == [(3, 3), (20, 30), (50, 9)]
    assert sorted(together.labels.tolist()) == [0, 1, 1]


def test_each_click_by_itself_leaves_what_was_found_without(
    tiny: list[str], fill: Callable[..., nn.Module]
) -> None:
    encoded = EncodedImage(make(tiny, fill, "sac", View(64, 32)), picture(70, 100))
    before, after = encoded.segment(), encoded.segment_each([(20, 30)], [1])
    assert (after.probability >= before.probability).all()
    assert (after.probability > before.probability).any()


def test_without_points_nothing_is_found_by_clicks(tiny: list[str], fill: Callable[..., nn.Module]) -> None:
    encoded = EncodedImage(make(tiny, fill, "sac"), picture(64, 64))
    nuclei = encoded.segment_each([], [], selection=PointSelection(0))
    assert not nuclei.mask.any()
    assert nuclei.points.shape == (0, 2)


def test_what_the_predictor_refuses_is_refused(tiny: list[str], fill: Callable[..., nn.Module]) -> None:
    predictor = make(tiny, fill, "lora")
    with pytest.raises(UserError, match="8-bit RGB"):
        EncodedImage(predictor, np.zeros((8, 8), dtype=np.uint8))
    encoded = EncodedImage(predictor, picture(40, 50))
    for ask in (encoded.segment, encoded.segment_each):
        with pytest.raises(UserError, match=r"\(61, 3\).*50x40"):
            ask([(61, 3)], [1])


def test_it_tells_how_far_it_is(tiny: list[str], fill: Callable[..., nn.Module]) -> None:
    told: list[tuple[int, int]] = []
    EncodedImage(make(tiny, fill, "lora", View(64, 32)), picture(70, 100), lambda *now: told.append(now))
    assert told[-1] == (12, 12)
    assert [done for done, _ in told] == [8, 12]
    assert torch.is_grad_enabled()
