"""Every prompt by itself: who its neighbours are, which window sees it, and what becomes of its mask."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.otsu import Otsu
from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View, Window
from sac_lightning.data.windows import nearest_windows
from sac_lightning.inference.every_prompt import (
    BATCH,
    candidates,
    refuse_given_points,
    refuse_model,
    refuse_size,
)
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.prompt_sets import NEIGHBOURS, prompt_sets
from sac_lightning.inference.separate import separate_nuclei
from sac_lightning.inference.thresholds import EveryPrompt
from sac_lightning.inference.windows import Prediction, segment
from sac_lightning.model.build import build_model
from sac_lightning.model.segment_any_cell import SAC

WINDOWS = View(64, 32, overlap=0.25)
NO_POINTS, NO_LABELS = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)


def make_sac(tiny: list[str], *overrides: str) -> SAC:
    torch.manual_seed(0)
    config = resolve_config(compose_config("train", [*tiny, "model=sac", *overrides, "output_dir=x"]))
    model = build_model(config["model"])
    assert isinstance(model, SAC)
    return model.eval()


@pytest.fixture
def sac(tiny: list[str]) -> SAC:
    """An untrained SAC."""
    return make_sac(tiny)


def squares(size: tuple[int, int], *places: tuple[int, int]) -> Tensor:
    """A probability of 0.9 on squares of 5x5 around the middles (x, y), of 0.1 elsewhere."""
    probability = torch.full(size, 0.1)
    for x, y in places:
        probability[y - 2 : y + 3, x - 2 : x + 3] = 0.9
    return probability


# Where the points are


def test_a_centroid_belongs_to_the_window_whose_middle_is_nearest() -> None:
    windows = [Window(0, 0, 10, 10), Window(6, 0, 10, 10)]  # The middles are at x = 4.5 and 10.5.
    centres = np.array([[0, 5], [7.4, 0], [7.5, 5], [7.6, 9], [15, 5]], dtype=np.float32)
    assert nearest_windows(centres, windows).tolist() == [0, 0, 0, 1, 1], "of equal ones the first"
    assert nearest_windows(centres[:0], windows).shape == (0,)


@pytest.mark.parametrize("size", [(70, 100), (20, 25), (64, 64)])
def test_the_window_of_a_centroid_holds_it(size: tuple[int, int]) -> None:
    windows = WINDOWS.windows(*size)
    y, x = np.mgrid[: size[0], : size[1]]
    centres = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    for (cx, cy), owner in zip(centres, nearest_windows(centres, windows), strict=True):
        window = windows[owner]
        assert window.left <= cx < window.left + window.width
        assert window.top <= cy < window.top + window.height


def test_a_prompt_set_is_a_centroid_and_its_nearest_neighbours() -> None:
    x = np.array([0, 1, 3, 6, 10, 15, 21, 28, 36], dtype=np.float32)  # Ever wider gaps.
    centres = np.stack([x, np.full_like(x, 5)], axis=1)
    coords, labels = prompt_sets(centres, np.zeros(9, dtype=int), [Window(0, 0, 40, 10)])
    assert NEIGHBOURS == 6
    assert labels.tolist() == [[1, 0, 0, 0, 0, 0, 0]] * 9
    assert coords[0, :, 0].tolist() == [0, 1, 3, 6, 10, 15, 21]
    assert coords[8, :, 0].tolist() == [36, 28, 21, 15, 10, 6, 3]
    assert (coords[:, :, 1] == 5).all()


def test_points_are_in_pixels_of_the_window_and_what_lies_outside_is_padding() -> None:
    centres = np.array([[12, 7], [15, 7], [40, 7]], dtype=np.float32)
    coords, labels = prompt_sets(centres, np.array([0, 0, 1]), [Window(10, 5, 10, 10), Window(35, 5, 10, 10)])
    assert coords[0, :2].tolist() == [[2, 2], [5, 2]]
    assert labels[0].tolist() == [1, 0, -1, -1, -1, -1, -1]
    assert coords[2, 0].tolist() == [5, 2]
    assert labels[2].tolist() == [1, -1, -1, -1, -1, -1, -1]
    assert (coords[labels == -1] == 0).all()


def test_no_centroids_are_no_prompts() -> None:
    coords, labels = prompt_sets(np.zeros((0, 2), np.float32), np.zeros(0, int), WINDOWS.windows(40, 50))
    assert coords.shape == (0, 7, 2)
    assert labels.shape == (0, 7)


# What is decoded


class Recording:
    """Stands for SAC.decode: says three by three pixels of the low resolution around the first point."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(
        self, embeddings: Tensor, coords: Tensor, labels: Tensor, generator_logits: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        self.calls.append((embeddings, coords, labels))
        logits = torch.full((len(coords), 1, 16, 16), -5.0)
        for i, (x, y) in enumerate(((coords[:, 0] + 0.5) / 4 - 0.5).round().long().tolist()):
            logits[i, 0, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = 5.0
        return logits, torch.linspace(0.5, 0.9, len(coords))


def recorded(sac: SAC, prediction: Prediction, monkeypatch: pytest.MonkeyPatch) -> tuple[Recording, list]:
    decoder = Recording()
    monkeypatch.setattr(sac, "decode", decoder)
    return decoder, candidates(sac, prediction, WINDOWS)


def test_each_centroid_is_decoded_once_on_its_windows_embedding(sac: SAC, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (50, 80)
    places = [(x, y) for y in (5, 20, 35, 45) for x in range(5, 78, 8)]
    windows = WINDOWS.windows(*size)
    embeddings = torch.arange(len(windows)).float().view(-1, 1, 1, 1).expand(-1, 256, 4, 4)
    prediction = Prediction(torch.zeros(size), squares(size, *places)[None], NO_POINTS, NO_LABELS, embeddings)
    decoder, found = recorded(sac, prediction, monkeypatch)
    assert len(places) == 40 > BATCH
    assert [len(coords) for _, coords, _ in decoder.calls] == [BATCH, 40 - BATCH], "in batches"
    seen = []
    for owners, coords, labels in decoder.calls:
        assert (labels[:, 0] == 1).all()
        assert (labels[:, 1:] <= 0).all()
        for owner, point in zip(owners[:, 0, 0, 0].long().tolist(), coords[:, 0], strict=True):
            local = (point + 0.5) / 2 - 0.5  # Windows of 32 pixels, an input of 64.
            seen.append(
                (round(float(local[0])) + windows[owner].left, round(float(local[1])) + windows[owner].top)
            )
    assert sorted(seen) == sorted(places)
    assert len(found) == 40
    for candidate, (x, y) in zip(found, seen, strict=True):
        rows, columns = candidate.box
        assert rows.start <= y < rows.stop
        assert columns.start <= x < columns.stop


def test_a_nucleus_is_what_is_connected_to_its_point(sac: SAC, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_of_it(embeddings: Tensor, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = torch.full((len(coords), 1, 16, 16), -5.0)
        logits[:, :, 2:6, 2:6] = logits[:, :, 10:14, 10:14] = 5.0  # Two nuclei, whichever was asked for.
        return logits, torch.full((len(coords),), 0.8)

    size = (32, 32)
    embeddings = torch.zeros(1, 256, 4, 4)
    generated = squares(size, (8, 8), (24, 24), (24, 8))[None]
    monkeypatch.setattr(sac, "decode", lambda e, c, s, g=None: all_of_it(e, c, s))
    found = candidates(sac, Prediction(torch.zeros(size), generated, NO_POINTS, NO_LABELS, embeddings), WINDOWS)
    assert len(found) == 2, "the third point is background in its own mask"
    assert [(c.left < 8 < c.left + c.mask.shape[1], c.score) for c in found] == [
        (True, pytest.approx(0.8)),
        (False, pytest.approx(0.8)),
    ]
    labels = separate_nuclei(
        sac,
        Prediction(torch.zeros(size), generated, NO_POINTS, NO_LABELS, embeddings),
        WINDOWS,
        EveryPrompt(0.5, 0.5, 0),
    )
    assert labels.max() == 2
    assert labels[8, 8] != labels[24, 24] != 0


def test_the_numbers_are_those_of_the_model_asked_by_a_person(tiny: list[str]) -> None:
    """One centroid by itself is a click on it: the same model without a generator, given that point."""
    torch.manual_seed(0)
    model = make_sac(tiny)
    image = torch.rand(3, 32, 32) * 255
    prediction = segment(model, image, WINDOWS, keep_embeddings=True)
    assert prediction.image_embeddings is not None
    assert prediction.image_embeddings.shape == (1, 256, 4, 4)
    point, label = torch.tensor([[[20.5, 31.0]]]), torch.ones(1, 1, dtype=torch.long)
    ours, score = model.decode(prediction.image_embeddings, point, label)
    model.prompt_generator = None
    upsampled = nn.functional.interpolate(image[None], (64, 64), mode="bilinear", antialias=True)
    clicked = model(upsampled, point, label)
    assert torch.allclose(nn.functional.interpolate(ours, (64, 64), mode="bilinear"), clicked.logits, atol=1e-5)
    assert torch.allclose(score, clicked.iou, atol=1e-6)


def test_the_encoder_runs_once_per_window(sac: SAC) -> None:
    seen = []
    sac.image_encoder.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    nuclei = Predictor(sac, WINDOWS, separation=EveryPrompt(0.0, 0.5, 0)).segment(image)
    assert sum(seen) == len(WINDOWS.windows(50, 80))
    assert nuclei.instances.shape == (50, 80)
    assert nuclei.instances.dtype == np.int32


def test_an_image_without_centroids_has_no_nuclei(sac: SAC) -> None:
    empty = Prediction(
        torch.zeros(20, 25), torch.zeros(1, 20, 25), NO_POINTS, NO_LABELS, torch.zeros(1, 256, 4, 4)
    )
    assert candidates(sac, empty, WINDOWS) == []
    assert not separate_nuclei(sac, empty, WINDOWS, EveryPrompt(0.5, 0.5, 0)).any()


def test_without_a_generator_the_models_own_probability_has_the_centroids(
    sac: SAC, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Prediction(squares((30, 30), (10, 10)), None, NO_POINTS, NO_LABELS, torch.zeros(1, 256, 4, 4))
    decoder, _ = recorded(sac, own, monkeypatch)
    assert len(decoder.calls[0][1]) == 1
    decoder, _ = recorded(sac, replace(own, generator_maps=torch.zeros(1, 30, 30)), monkeypatch)
    assert decoder.calls == []


# What is refused


def test_a_model_without_points_is_refused(tiny: list[str]) -> None:
    with pytest.raises(UserError, match="watershed"):
        Predictor(Otsu(), View(None), separation=EveryPrompt(0.5, 0.5, 0))
    with pytest.raises(UserError, match="dense"):
        refuse_model(make_sac(tiny, "prompts.dense=true"))


def test_a_large_image_is_refused_before_it_is_predicted(sac: SAC) -> None:
    refuse_size(4096, 4096)
    predictor = Predictor(sac, WINDOWS, separation=EveryPrompt(0.5, 0.5, 0))
    large = np.broadcast_to(np.uint8(0), (4097, 4096, 3))
    with pytest.raises(UserError, match="16,777,216 pixels, not 16,781,312"):
        predictor.segment(large)


def test_expert_points_are_refused(sac: SAC) -> None:
    refuse_given_points(0)
    predictor = Predictor(sac, WINDOWS, separation=EveryPrompt(0.5, 0.5, 0))
    with pytest.raises(UserError, match="no expert points"):
        predictor.segment(np.zeros((20, 25, 3), np.uint8), [(3, 4)])
