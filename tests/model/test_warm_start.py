"""A start from another run's weights: what fits is taken, layer by layer; on other base weights it is refused."""

from pathlib import Path

import pytest
import torch
from tests.commands import saved, untrained

from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.model.lora import lora_layers
from sac_lightning.model.warm_start import WarmStart, plan_warm_start
from sac_lightning.training.task import SegmentationTask

BASE = {"name": "x.pth", "sha256": "1" * 64}
OTHER = {"name": "y.pth", "sha256": "2" * 64}
ON_BASE = "backbone.weights=x.pth"  # What it holds is not read here.
NETWORK = "model=u_net"


def task_of(tiny: list[str], *overrides: str, seed: int, base: dict[str, str] | None = None) -> SegmentationTask:
    """A task with weights of its own."""
    torch.manual_seed(seed)
    task = untrained(*([] if NETWORK in overrides else tiny), *overrides)
    with torch.no_grad():
        for tensor in task.model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape))
    task.base = base
    return task


def plan(theirs: SegmentationTask, ours: SegmentationTask, folder: Path) -> WarmStart:
    path = saved(theirs, folder / "theirs.ckpt")
    return plan_warm_start(path, ours.model, ours.settings["model"]["name"], ours.base)


@pytest.mark.parametrize("name", ["sac", "lora", "msa", "sam_ft", "u_net"])
def test_the_same_model_takes_over_everything(name: str, tiny: list[str], tmp_path: Path) -> None:
    theirs, ours = (task_of(tiny, f"model={name}", seed=seed) for seed in (1, 2))
    warm = plan(theirs, ours, tmp_path)
    warm.apply(ours.model)
    assert warm.is_whole
    assert warm.unused == {}
    wanted = theirs.model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in ours.model.state_dict().items())


def test_what_is_frozen_stays_the_base_weights(tiny: list[str], tmp_path: Path) -> None:
    theirs, ours = (task_of(tiny, ON_BASE, seed=seed, base=BASE) for seed in (1, 2))
    before = {name: tensor.clone() for name, tensor in ours.model.state_dict().items()}
    warm = plan(theirs, ours, tmp_path)
    warm.apply(ours.model)
    changed = {name for name, tensor in ours.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert warm.is_whole
    assert set(warm.counts) == {"image encoder: LoRA", "prompt generator", "mask decoder"}
    assert {name.split(".")[0] for name in changed} == {"image_encoder", "prompt_generator", "mask_decoder"}
    assert all(name.endswith(("_a", "_b")) for name in changed if name.startswith("image_encoder"))


@pytest.mark.parametrize(
    ("theirs", "ours", "taken", "unused"),
    [
        # Another rank, and a generator of another width.
        ([], ["model.rank=3"], {"image encoder: LoRA": [0, 8]}, {"image encoder: LoRA": 8}),
        (
            [],
            ["prompts.generator.init_features=6"],
            {"prompt generator": [0, 66], "image encoder: LoRA": [8, 8]},
            {"prompt generator": 66},
        ),
        # A projection more: its update begins at nothing beside the others.
        ([], ["model.projections=qkv"], {"image encoder: LoRA": [8, 12]}, {}),
        # Other methods, with and without points.
        (
            [],
            ["model=msa"],
            {"image encoder: adapters": [0, 16]},
            {"image encoder: LoRA": 8, "prompt generator": 66},
        ),
        (
            ["model=msa"],
            [],
            {"image encoder: LoRA": [0, 8], "prompt generator": [0, 66]},
            {"image encoder: adapters": 16},
        ),
        (["model=sam_ft"], [], {"prompt generator": [66, 66]}, {"image encoder: neck": 6}),
        (["model=lora"], [], {"image encoder: LoRA": [8, 8], "prompt generator": [0, 66]}, {}),
    ],
)
def test_another_method_or_head_takes_what_fits(
    theirs: list[str],
    ours: list[str],
    taken: dict[str, list[int]],
    unused: dict[str, int],
    tiny: list[str],
    tmp_path: Path,
) -> None:
    one, other = (
        task_of(tiny, ON_BASE, *options, seed=seed, base=BASE) for seed, options in enumerate((theirs, ours))
    )
    warm = plan(one, other, tmp_path)
    said = warm.provenance()
    assert {part: said["taken"][part] for part in taken} == taken
    assert said["taken"]["mask decoder"] == [120, 120]
    assert said["unused"] == unused
    assert not warm.is_whole or not taken


def test_lora_does_what_it_did_under_another_alpha(tiny: list[str], tmp_path: Path) -> None:
    theirs = task_of(tiny, ON_BASE, "model.alpha=2", seed=1, base=BASE)
    ours = task_of(tiny, ON_BASE, "model.alpha=16", seed=2, base=BASE)
    plan(theirs, ours, tmp_path).apply(ours.model)
    for one, other in zip(lora_layers(theirs.model), lora_layers(ours.model), strict=True):
        assert one.scale != other.scale
        for name in one.adapted:
            a, b = one._factors(name)
            c, d = other._factors(name)
            assert torch.allclose(one.scale * b @ a, other.scale * d @ c, rtol=1e-5)


def test_a_layer_is_taken_whole_or_not_at_all(tiny: list[str], tmp_path: Path) -> None:
    theirs, ours = (task_of(tiny, "model=u_net", seed=seed) for seed in (1, 2))
    norm = next(name for name in theirs.model.state_dict() if name.endswith("running_mean"))
    layer = norm.removesuffix("running_mean")
    path = saved(theirs, tmp_path / "theirs.ckpt")
    content = torch.load(path, weights_only=True)
    del content["state_dict"][f"model.{norm}"]
    torch.save(content, path)
    taken = plan_warm_start(path, ours.model, "u_net", None).taken
    assert [name for name in taken if name.startswith(layer)] == []
    assert len(taken) > 50


@pytest.mark.parametrize(
    ("theirs", "ours", "bases", "sentence"),
    [
        ("u_net", "sac", (None, None), "weights of u_net, of which this run's sac can use 0 of"),
        ("sac", "u_net", (BASE, None), "weights of sac, of which this run's u_net can use 0 of"),
        ("sac", "sac", (BASE, OTHER), "base weights x.pth, and this run has y.pth: .* set backbone.weights=x.pth"),
        ("sac", "sac", (None, BASE), "base weights none .* this run has x.pth: .* set backbone.weights=null"),
    ],
)
def test_what_would_mean_nothing_is_refused(
    theirs: str,
    ours: str,
    bases: tuple[dict[str, str] | None, dict[str, str] | None],
    sentence: str,
    tiny: list[str],
    tmp_path: Path,
) -> None:
    one, other = (
        task_of(tiny, f"model={name}", *([ON_BASE] if base else []), seed=1, base=base)
        for name, base in zip((theirs, ours), bases, strict=True)
    )
    with pytest.raises(UserError, match=sentence):
        plan(one, other, tmp_path)


def test_a_file_of_another_kind_is_refused(tiny: list[str], tmp_path: Path) -> None:
    ours = task_of(tiny, "model=u_net", seed=1)
    path = tmp_path / "weights"
    for content, sentence in (
        (ours.model.state_dict(), "not a checkpoint of sac_lightning: give as init= .* SAM's weights as backbone"),
        ({KEY: {"settings": {}}, "state_dict": {"a": 1}}, "holds no weights: it is damaged"),
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match=sentence):
            plan_warm_start(path, ours.model, "u_net", None)
    path.write_bytes(b"no torch file")
    with pytest.raises(UserError, match="not a checkpoint of sac_lightning"):
        plan_warm_start(path, ours.model, "u_net", None)
