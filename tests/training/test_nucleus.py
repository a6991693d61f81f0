"""A training of a decoder of single nuclei, from the command to its checkpoint under every reading."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.commands import record_of, rerun, run, saved, untrained

from sac_lightning.core.errors import UserError
from sac_lightning.inference.predictor import load
from sac_lightning.inference.thresholds import EveryNucleus, Watershed
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.losses import FocalDice
from sac_lightning.training.nucleus_loss import nucleus_losses
from sac_lightning.training.prompted import PROMPTED, find_boxed, find_middles, shift_points
from sac_lightning.training.tuning import store_thresholds

NUCLEUS = ["prompts=nucleus", "prompts.field=3", "prompts.generator.widths=[4,8]"]
QUIET = "logger=none"


@pytest.fixture(scope="module")
def trained(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training."""
    folder = tmp_path_factory.mktemp("nucleus")
    run([*tiny, *NUCLEUS, "trainer.max_epochs=1", QUIET], folder)
    return folder


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    """Its checkpoint, to be written to."""
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes((trained / "checkpoints" / "best.ckpt").read_bytes())
    return copy


def test_a_training_learns_masks_ious_and_the_generator_and_tunes_both_ways(trained: Path) -> None:
    [epoch] = record_of(trained)["history"]
    assert {"train/mask_loss", "train/iou_loss", "train/generator_loss"} <= epoch.keys()
    path = trained / "checkpoints" / "best.ckpt"
    prompts, watershed = load(path, instances="prompts").separation, load(path).separation
    assert isinstance(prompts, EveryNucleus)
    assert isinstance(watershed, Watershed), "what predict takes unless it is told otherwise"


def test_a_checkpoint_keeps_the_refinement_and_what_it_sees(checkpoint: Path) -> None:
    model = load(checkpoint).model
    assert isinstance(model, SAC)
    assert model.nucleus_field == 3
    assert model.refinement is not None
    content = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name, parameter in model.refinement.named_parameters():
        assert torch.equal(content[f"model.refinement.{name}"], parameter)
    assert any(parameter.abs().sum() > 0 for parameter in model.refinement.layers[-1].parameters()), (
        "it has learnt"
    )


def test_a_checkpoint_of_before_answers_all_points_with_one_mask(tiny: list[str], tmp_path: Path) -> None:
    task = untrained(*tiny)
    for option in ("objective", "field"):
        del task.settings["model"]["prompts"][option]
    model = load(saved(task, tmp_path / "old.ckpt")).model
    assert isinstance(model, SAC)
    assert not model.decodes_nuclei
    assert model.refinement is None


def test_every_reading_is_scored_and_stands_in_the_record(checkpoint: Path, tmp_path: Path) -> None:
    store_thresholds(checkpoint, EveryNucleus(0.0, 0.5, 0, 0.0))
    found = {}
    for prompted in PROMPTED:
        record = rerun(tmp_path / prompted, checkpoint, "instances=prompts", f"prompted={prompted}", QUIET)
        assert record["instances"]["method"] == "prompts"
        assert record["config"].get("prompted", "own") == prompted
        found[prompted] = record["metrics"]["aji"], record["prompt_quality"]["positives_on_nucleus"]
    assert found["exact"][1] == 1
    assert found["boxes"] != found["exact"]
    assert found["shifted"][1] < 1
    assert len(set(found.values())) > 2, "points make a difference"


def test_experts_points_are_prompts(checkpoint: Path, tmp_path: Path) -> None:
    store_thresholds(checkpoint, EveryNucleus(0.0, 0.5, 0, 0.3))
    record = rerun(tmp_path / "experts", checkpoint, "instances=prompts", "prompts.experts=2", QUIET)
    assert record["prompt_quality"]["positives_on_nucleus"] > 0


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["instances=prompts", "prompted=none"], "prompted is none: choose own, exact, boxes, shifted or hidden"),
        (["instances=watershed", "prompted=exact"], "prompted=exact is for instances=prompts"),
        (["prompted=exact"], "prompted=exact is for instances=prompts"),
    ],
)
def test_other_readings_are_refused(overrides: list[str], sentence: str, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        rerun(tmp_path / "out", checkpoint, *overrides, QUIET)


def test_thresholds_of_the_other_objective_are_refused(checkpoint: Path, tiny: list[str], tmp_path: Path) -> None:
    other = saved(untrained(*tiny), tmp_path / "mask.ckpt")
    store_thresholds(other, EveryNucleus(0.0, 0.5, 0, 0.3))
    with pytest.raises(UserError, match=r"another prompts.objective: .*tune=true"):
        load(other, instances="prompts")


def test_middles_lie_on_their_nuclei_and_are_moved_by_the_radius() -> None:
    y, x = np.mgrid[:60, :60]
    truth = np.zeros((60, 60), np.int32)
    for number, (px, py) in enumerate([(15, 20), (42, 30)], start=3):
        truth[np.hypot(x - px, y - py) <= 8] = number
    points, radii = find_middles(truth)
    assert np.allclose(points, [[15, 20], [42, 30]], atol=1.5)
    assert radii == pytest.approx([8, 8], abs=0.3)
    moved = shift_points(points, radii, truth.shape, np.random.default_rng(0))
    assert np.hypot(*(moved - points).T) == pytest.approx(radii)
    assert shift_points(points, radii * 99, truth.shape, np.random.default_rng(0)).max() <= 59


def test_boxes_are_around_the_nuclei_of_the_truth() -> None:
    truth = np.zeros((30, 40), np.int32)
    truth[4:9, 10:20], truth[20, 3] = 7, 2
    middles, sizes = find_boxed(truth)
    assert middles.tolist() == [[3, 20], [14.5, 6]]
    assert sizes.tolist() == [[1, 1], [10, 5]]


def test_a_prompt_matters_to_what_has_learnt(tiny: list[str]) -> None:
    torch.manual_seed(0)
    model = untrained(*tiny, *NUCLEUS).model.train()
    assert isinstance(model, SAC)
    y, x = np.mgrid[:64, :64]
    labels = np.where(((y % 16) < 12) & ((x % 16) < 12), (y // 16) * 4 + x // 16 + 1, 0)
    image = torch.from_numpy(np.where(labels > 0, 60.0, 200.0)).float().expand(1, 3, 64, 64)
    instances = torch.from_numpy(labels)[None, None].int()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 2e-3)
    for step in range(60):
        batch = {"images": image, "instances": instances, "seeds": torch.tensor([step]), "names": ["a"]}
        losses = nucleus_losses(model, batch, FocalDice())
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    model.eval()
    middles = torch.tensor([[[16.0 * column + 5.5, 16.0 * row + 5.5]] for row in range(4) for column in range(4)])
    signs = torch.ones(16, 1, dtype=torch.long)

    @torch.no_grad()
    def overlap(points: torch.Tensor) -> float:
        embeddings, maps = model.encode(image)
        masks = model.decode_nuclei(embeddings, maps, torch.zeros(16, dtype=torch.long), points, signs)
        cells = torch.nn.functional.interpolate(instances.float(), (32, 32), mode="nearest-exact")[0, 0]
        ious = []
        for number, (mask, (left, top)) in enumerate(
            zip(masks.logits[:, 0] > 0, masks.corners * 8, strict=True), 1
        ):
            truth = cells[top : top + 24, left : left + 24] == number
            ious.append(float((mask & truth).sum() / (mask | truth).sum().clamp(min=1)))
        return float(np.mean(ious))

    right, wrong = overlap(middles), overlap((middles + 8).clamp(max=63))
    assert right > 0.5
    assert right > wrong + 0.1
