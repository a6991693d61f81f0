"""Checkpoints: restored bit for bit, tied to their base weights, loaded with other prompts on request."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.commands import settings_of
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.model.build import base_weights, build_model, load_base
from sac_lightning.model.checkpoint import Loaded, load_checkpoint, read_checkpoint
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.task import SegmentationTask

SIZE = 64
METHODS = ("sam", "sam_ft", "msa", "lora", "sac")
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
every_method = pytest.mark.parametrize("method", METHODS)


def make_settings(tiny: list[str], method: str, *overrides: str, weights: Path | None = None) -> dict[str, Any]:
    """What train keeps of a configuration."""
    settings = settings_of(*tiny, f"model={method}", *overrides)
    if weights is not None:
        settings["model"]["backbone"]["weights"] = str(weights)
    return settings


def as_if_trained(settings: dict[str, Any]) -> SegmentationTask:
    """A task whose trained parameters and running statistics are like nothing that building would give."""
    torch.manual_seed(0)
    model = build_model(settings["model"])
    base = None
    if base_weights(settings["model"]) is not None:
        assert isinstance(model, SAC)
        base = load_base(model, settings["model"])
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.1)
    for name, buffer in model.named_buffers():
        if name.endswith(RUNNING):
            buffer.copy_(torch.rand(buffer.shape) * 5 + 1)
    return SegmentationTask(model.eval(), View(**settings["view"]), settings, base, batch_size=2)


def content_of(task: SegmentationTask) -> dict[str, Any]:
    """What Lightning writes into a file."""
    content: dict[str, Any] = {"epoch": 1, "state_dict": task.state_dict()}
    task.on_save_checkpoint(content)
    return content


def save(task: SegmentationTask, path: Path) -> Path:
    torch.save(content_of(task), path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a checkpoint file by hand."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def changed_base(path: Path, by: float = 1.0) -> None:
    """Makes a file of base weights another one."""
    state = torch.load(path, weights_only=True)
    torch.save({name: tensor + by for name, tensor in state.items()}, path)


@cache
def content_as_if_trained(method: str, tiny: tuple[str, ...]) -> dict[str, Any]:
    return content_of(as_if_trained(make_settings(list(tiny), method)))


@pytest.fixture
def sac_file(tiny: list[str], tmp_path: Path) -> Path:
    """A checkpoint of SAC: one automatic pair of points."""
    torch.save(content_as_if_trained("sac", tuple(tiny)), tmp_path / "sac.ckpt")
    return tmp_path / "sac.ckpt"


@pytest.fixture
def lora_file(tiny: list[str], tmp_path: Path) -> Path:
    """A checkpoint without a prompt generator."""
    torch.save(content_as_if_trained("lora", tuple(tiny)), tmp_path / "lora.ckpt")
    return tmp_path / "lora.ckpt"


def answer(model: nn.Module) -> Tensor:
    """Logits for a picture of noise and one expert point."""
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        logits: Tensor = model(images, torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1]])).logits
    return logits


def assert_same(model: nn.Module, other: nn.Module) -> None:
    ours, theirs = model.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), f"{name} is not what was saved"
    assert torch.equal(answer(model), answer(other))


def refusal(path: Path, **arguments: Any) -> str:
    """The one sentence that loading ends with."""
    with pytest.raises(UserError) as refused:
        load_checkpoint(path, **arguments)
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


# What comes back


@every_method
def test_a_round_trip_is_bit_exact(method: str, tiny: list[str], tmp_path: Path) -> None:
    settings = make_settings(tiny, method)
    task = as_if_trained(settings)
    loaded = load_checkpoint(save(task, tmp_path / "best.ckpt"))
    assert_same(task.model, loaded.model)
    assert loaded.settings == settings
    assert loaded.base is None
    assert not any(module.training for module in loaded.model.modules())


@every_method
def test_a_round_trip_with_base_weights_is_bit_exact(
    method: str, tiny: list[str], tiny_weights: Path, tmp_path: Path
) -> None:
    settings = make_settings(tiny, method, weights=tiny_weights)
    task = as_if_trained(settings)
    loaded = load_checkpoint(save(task, tmp_path / "best.ckpt"))
    assert_same(task.model, loaded.model)
    assert loaded.settings == settings
    assert loaded.base == task.base
    assert loaded.base is not None
    assert loaded.base["name"] == str(tiny_weights)


def test_every_projection_of_lora_comes_back(tiny: list[str], tiny_weights: Path, tmp_path: Path) -> None:
    settings = make_settings(tiny, "lora", "model.projections=[q,k,v,o]", weights=tiny_weights)
    task = as_if_trained(settings)
    path = save(task, tmp_path / "best.ckpt")
    kept = [name.rpartition(".")[2] for name in read_checkpoint(path)["state_dict"] if ".attn." in name]
    assert sorted(kept) == sorted([f"{name}_{factor}" for name in "qkvo" for factor in "ab"] * 2), "of two blocks"
    assert_same(task.model, load_checkpoint(path).model)


def test_a_checkpoint_from_before_the_choice_of_projections_comes_back(lora_file: Path) -> None:
    model = load_checkpoint(lora_file).model
    rewrite(lora_file, lambda content: content["sac_lightning"]["settings"]["model"].pop("projections"))
    assert_same(model, load_checkpoint(lora_file).model)


def test_a_plain_network_comes_back_too(tiny: list[str], tmp_path: Path) -> None:
    settings = make_settings(tiny, "otsu")
    loaded = load_checkpoint(save(as_if_trained(settings), tmp_path / "otsu.ckpt"))
    assert type(loaded.model).__name__ == "Otsu"
    assert loaded.settings == settings


def trained_part(method: str, name: str) -> bool:
    """Whether a tensor of a method's model belongs into its checkpoint beside base weights."""
    if method == "sam":
        return False
    own = {
        "sam_ft": name.startswith("image_encoder.neck."),
        "msa": "_adapter." in name,
        "lora": name.endswith(("q_a", "q_b", "v_a", "v_b")),
        "sac": name.endswith(("q_a", "q_b", "v_a", "v_b")),
    }
    return own[method] or name.startswith(("mask_decoder.", "prompt_generator."))


@every_method
def test_holds_what_trained_and_not_the_frozen_encoder(
    method: str, tiny: list[str], tiny_weights: Path, tmp_path: Path
) -> None:
    task = as_if_trained(make_settings(tiny, method, weights=tiny_weights))
    state = read_checkpoint(save(task, tmp_path / "best.ckpt"))["state_dict"]
    expected = {f"model.{name}" for name in task.model.state_dict() if trained_part(method, name)}
    assert state.keys() == expected
    if method == "sac":
        assert sum(name.endswith(RUNNING) for name in state) == 3 * 10  # two BatchNorms at each of five levels


def test_holds_everything_where_there_is_no_base(tiny: list[str], tmp_path: Path) -> None:
    task = as_if_trained(make_settings(tiny, "sam"))
    state = read_checkpoint(save(task, tmp_path / "best.ckpt"))["state_dict"]
    assert state.keys() == {f"model.{name}" for name in task.model.state_dict()}


def test_needs_nothing_beside_the_file(tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = as_if_trained(make_settings(tiny, "lora"))
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    save(task, tmp_path / "best.ckpt").rename(moved / "mine.ckpt")
    monkeypatch.chdir(moved)
    assert_same(task.model, load_checkpoint(Path("mine.ckpt")).model)


# Base weights


def test_other_base_weights_are_refused_by_name(tiny: list[str], tiny_weights: Path, tmp_path: Path) -> None:
    task = as_if_trained(make_settings(tiny, "lora", weights=tiny_weights))
    path = save(task, tmp_path / "best.ckpt")
    changed_base(tiny_weights)
    sentence = refusal(path)
    assert task.base is not None
    assert task.base["sha256"][:12] in sentence
    assert str(tiny_weights) in sentence


def test_base_weights_may_lie_elsewhere(tiny: list[str], tiny_weights: Path, tmp_path: Path) -> None:
    task = as_if_trained(make_settings(tiny, "sac", weights=tiny_weights))
    path = save(task, tmp_path / "best.ckpt")
    moved = tiny_weights.rename(tmp_path / "moved.pth")
    with pytest.raises(UserError, match=r"tiny_sam\.pth"):
        load_checkpoint(path)
    assert_same(task.model, load_checkpoint(path, weights=str(moved)).model)


# Tensors that do not fit


@pytest.mark.parametrize(
    "name",
    [
        "model.image_encoder.blocks.0.attn.qkv.q_a",
        "model.mask_decoder.iou_token.weight",
        "model.prompt_generator.encoders.0.0.weight",
        "model.prompt_generator.encoders.0.1.running_mean",
    ],
)
def test_a_missing_tensor_is_named(name: str, tiny: list[str], tiny_weights: Path, tmp_path: Path) -> None:
    path = save(as_if_trained(make_settings(tiny, "sac", weights=tiny_weights)), tmp_path / "best.ckpt")
    rewrite(path, lambda content: content["state_dict"].pop(name))
    assert name.removeprefix("model.") in refusal(path)


@pytest.mark.parametrize("name", ["model.image_encoder.pos_embed", "model.prompt_encoder.no_mask_embed.weight"])
def test_without_base_weights_a_missing_frozen_tensor_is_named_too(
    name: str, tiny: list[str], tmp_path: Path
) -> None:
    path = save(as_if_trained(make_settings(tiny, "sam")), tmp_path / "best.ckpt")
    rewrite(path, lambda content: content["state_dict"].pop(name))
    assert name.removeprefix("model.") in refusal(path), "it would be left at random"


def test_a_tensor_too_many_is_named(lora_file: Path) -> None:
    rewrite(lora_file, lambda content: content["state_dict"].update({"model.surplus": torch.zeros(1)}))
    assert "surplus" in refusal(lora_file)


def test_a_tensor_of_another_shape_is_named(lora_file: Path) -> None:
    name = "model.mask_decoder.iou_token.weight"
    rewrite(lora_file, lambda content: content["state_dict"].update({name: torch.zeros(1)}))
    assert name.removeprefix("model.") in refusal(lora_file), "it must not be broadcast"


# Other prompts than in training


def points_of(loaded: Loaded) -> int:
    """How many points the model prompts itself with."""
    with torch.no_grad():
        output = loaded.model(torch.rand(1, 3, SIZE, SIZE) * 255)
    return int(output.point_coords.shape[1])


def test_prompts_are_those_of_the_training_by_default(sac_file: Path) -> None:
    loaded = load_checkpoint(sac_file)
    assert points_of(loaded) == 2
    assert loaded.settings["model"]["prompts"]["selection"] == "O"


def test_points_selection_and_experts_can_be_replaced(sac_file: Path) -> None:
    loaded = load_checkpoint(sac_file, prompts={"points": 3, "selection": "R", "experts": 2})
    assert points_of(loaded) == 6
    prompts = loaded.settings["model"]["prompts"]
    assert (prompts["points"], prompts["selection"], prompts["experts"]) == (3, "R", 2)
    assert prompts["map_size"] == load_checkpoint(sac_file).settings["model"]["prompts"]["map_size"]


def test_points_can_be_left_out(sac_file: Path) -> None:
    loaded = load_checkpoint(sac_file, prompts={"points": 0})
    assert points_of(loaded) == 0
    assert loaded.model.prompt_generator is None
    plain_state, state = load_checkpoint(sac_file).model.state_dict(), loaded.model.state_dict()
    assert all(torch.equal(tensor, plain_state[name]) for name, tensor in state.items())


def test_dense_prompts_come_back_and_can_be_switched_off(tiny: list[str], tmp_path: Path, sac_file: Path) -> None:
    task = as_if_trained(make_settings(tiny, "sac", "prompts.dense=true"))
    path = save(task, tmp_path / "dense.ckpt")
    assert_same(task.model, load_checkpoint(path).model)
    off = load_checkpoint(path, prompts={"dense": False}).model
    assert not torch.equal(answer(off), answer(task.model))
    assert_same(off, load_checkpoint(sac_file).model)


def test_experts_need_no_generator(lora_file: Path) -> None:
    loaded = load_checkpoint(lora_file, prompts={"experts": 5})
    assert loaded.settings["model"]["prompts"]["experts"] == 5
    assert points_of(loaded) == 0


def test_automatic_points_need_a_generator(lora_file: Path) -> None:
    assert "prompts.points=0" in refusal(lora_file, prompts={"points": 1})


def test_a_plain_network_takes_no_prompts(tiny: list[str], tmp_path: Path) -> None:
    path = save(as_if_trained(make_settings(tiny, "otsu")), tmp_path / "otsu.ckpt")
    assert "otsu" in refusal(path, prompts={"experts": 1}).removeprefix(str(path))
