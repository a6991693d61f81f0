"""Exported models that decode nuclei: onnxruntime finds the nuclei that torch finds."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tests.commands import saved, untrained

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.inference.encoded_nuclei import EncodedNuclei
from sac_lightning.inference.onnx import export as run
from sac_lightning.inference.onnx.description import KEY
from sac_lightning.inference.onnx.model import OnnxSAC
from sac_lightning.inference.predictor import Predictor, load
from sac_lightning.inference.thresholds import EveryNucleus
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.tuning import store_thresholds

SIDE, TOLERANCE = 64, 1e-4
SEPARATION = EveryNucleus(0.0, 0.5, 0, 0.1)


def call(checkpoint: Path, output: Path) -> None:
    run.export(compose_config("export", [f"checkpoint={checkpoint}", f"output={output}"]))


@pytest.fixture(scope="module")
def folder(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with best.ckpt, whose refinement is not nothing, and model.onnx."""
    folder = tmp_path_factory.mktemp("nuclei")
    torch.manual_seed(0)
    task = untrained(*tiny, "prompts=nucleus", "prompts.field=3", "prompts.generator.widths=[4,8]")
    assert isinstance(task.model, SAC)
    assert task.model.refinement is not None
    for parameter in task.model.refinement.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    checkpoint = saved(task, folder / "best.ckpt")
    store_thresholds(checkpoint, SEPARATION)
    call(checkpoint, folder / "model.onnx")
    return folder


def both(folder: Path) -> list[Predictor]:
    """The predictors by torch and by onnxruntime."""
    return [load(folder / file, instances="prompts", precision="32-true") for file in ("best.ckpt", "model.onnx")]


def picture(height: int, width: int) -> np.ndarray:
    """An image with large smooth squares, and so with interiors."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width]


@pytest.mark.parametrize(("images", "prompts", "points"), [(1, 1, 1), (1, 5, 7), (3, 1, 2), (2, 2, 2), (4, 40, 1)])
def test_the_decoder_takes_any_number_of_images_prompts_and_points(
    images: int, prompts: int, points: int, folder: Path
) -> None:
    torchs, onnxs = (predictor.model for predictor in both(folder))
    assert isinstance(torchs, SAC)
    assert isinstance(onnxs, OnnxSAC)
    assert onnxs.decodes_nuclei
    assert onnxs.nucleus_field == torchs.nucleus_field == 3
    generator = torch.Generator().manual_seed(prompts)
    embeddings = torch.randn(images, 256, SIDE // 16, SIDE // 16, generator=generator)
    maps = torch.randn(images, 4, 32, 32, generator=generator)
    owners = torch.randint(0, images, (prompts,), generator=generator)
    coords = torch.rand(prompts, points, 2, generator=generator) * SIDE - 0.5
    labels = torch.randint(-1, 2, (prompts, points), generator=generator)
    if points > 1:
        labels[-1, :2] = torch.tensor([2, 3])  # A box.
    with torch.no_grad():
        wanted = torchs.decode_nuclei(embeddings, maps, owners, coords, labels)
    given = onnxs.decode_nuclei(embeddings, maps, owners, coords, labels)
    assert torch.equal(given.corners, wanted.corners)
    for name in ("logits", "coarse", "iou"):
        ours, theirs = getattr(given, name), getattr(wanted, name)
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < TOLERANCE
    assert wanted.logits.std() > 100 * TOLERANCE, "constant answers test little"


@pytest.mark.parametrize("experts", [0, 3])
def test_the_predictor_finds_the_same_nuclei(experts: int, folder: Path) -> None:
    predictors = both(folder)
    assert [predictor.separation for predictor in predictors] == [SEPARATION] * 2
    image = picture(100, 130)
    points = np.random.default_rng(1).uniform(0, (130, 100), (experts, 2))
    for predictor in predictors:
        predictor.model.point_selection.threshold = interior_threshold(predictors[0], image)
    torchs, onnxs = (predictor.segment(image, points, np.arange(experts) % 2) for predictor in predictors)
    assert torchs.instances.max() > 1
    assert np.allclose(onnxs.points, torchs.points)
    assert (onnxs.instances == torchs.instances).mean() > 0.999
    assert np.abs(onnxs.probability - torchs.probability).max() < TOLERANCE


def test_a_click_on_the_page_is_answered_by_the_same_nucleus(folder: Path) -> None:
    image = picture(100, 130)
    predictors = both(folder)
    for predictor in predictors:
        predictor.model.point_selection.threshold = interior_threshold(predictors[0], image)
    torchs, onnxs = (EncodedNuclei(each, image).segment([[40, 50]], [1]).instances for each in predictors)
    assert torchs.any()
    assert (onnxs == torchs).mean() > 0.999


def interior_threshold(predictor: Predictor, image: np.ndarray) -> float:
    """What a tenth of an untrained generator's interior map is above."""
    pixels = torch.from_numpy(image[:SIDE, :SIDE]).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        maps = predictor.model.generate(pixels)
    return float(maps[:, 1].sigmoid().quantile(0.9))


def test_an_export_that_answers_otherwise_is_not_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = OnnxSAC.decode_nuclei

    def decode_wrongly(self: OnnxSAC, *inputs: torch.Tensor) -> object:
        masks = decode(self, *inputs)
        masks.iou += 0.1
        return masks

    monkeypatch.setattr(OnnxSAC, "decode_nuclei", decode_wrongly)
    with pytest.raises(UserError, match="differ from torch's by"):
        call(folder / "best.ckpt", tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


@pytest.mark.parametrize("field", ["3", 0, 2.5, True, None])
def test_a_field_that_means_nothing_is_refused(field: object, folder: Path, tmp_path: Path) -> None:
    for name in ("encoder", "decoder"):
        model = onnx.load(folder / "model.onnx" / f"{name}.onnx")
        for entry in model.metadata_props:
            if entry.key == KEY:
                entry.value = json.dumps({**json.loads(entry.value), "nucleus_field": field})
        onnx.save(model, tmp_path / f"{name}.onnx")
    with pytest.raises(UserError, match="was not exported by this version"):
        load(tmp_path)
