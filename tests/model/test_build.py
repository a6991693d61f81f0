"""Models built from settings, and segment_anything's own state dicts loaded into them."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor, nn

from sac_lightning.baselines.otsu import Otsu
from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.model.adapter import Adapter
from sac_lightning.model.build import base_weights, build_model, load_base, load_official_state
from sac_lightning.model.register import REGISTER
from sac_lightning.model.segment_any_cell import SAC

SIZE = 64  # Of conftest's tiny backbone.
MakeSam = Callable[..., Sam]
METHODS = ("sam", "sam_ft", "msa", "lora", "sac")
ALL_PROJECTIONS = "model.projections=[q,k,v,o]"


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path


@cache
def composed_model(overrides: tuple[str, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = resolve_config(compose_config("train", [*overrides, "output_dir=x"]))["model"]
    return settings


def model_settings(
    tiny: list[str], method: str, weights: Path | str | None = None, *overrides: str
) -> dict[str, Any]:
    settings = copy.deepcopy(composed_model((*tiny, f"model={method}", *overrides)))
    settings["backbone"]["weights"] = None if weights is None else str(weights)
    return settings


def silenced(model: nn.Module) -> nn.Module:
    """A model whose MSA adapters add nothing; LoRA starts like that by itself."""
    for module in model.modules():
        if isinstance(module, Adapter):
            nn.init.zeros_(module.up.weight)
            nn.init.zeros_(module.up.bias)
    return model


def official_answer(sam: Sam, image: Tensor, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (1, 1, S, S) and IoU (1,) of the official Sam on an image (3, S, S) and its points (N, 2)."""
    record = {"image": image, "original_size": (SIZE, SIZE)}
    if len(coords):
        record |= {"point_coords": coords[None], "point_labels": labels[None]}
    answer = sam([record], multimask_output=False)[0]
    logits = F.interpolate(answer["low_res_logits"], (SIZE, SIZE), mode="bilinear", align_corners=False)
    return logits, answer["iou_predictions"][0]


@pytest.mark.parametrize(
    ("method", "overrides"), [*((method, ()) for method in METHODS), ("sac", (ALL_PROJECTIONS,))]
)
def test_an_official_state_dict_gives_the_official_outputs(
    method: str, overrides: tuple[str, ...], tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    sam = official_sam()
    settings = model_settings(tiny, method, saved(tmp_path / "sam.pth", sam.state_dict()), *overrides)
    model = build_model(settings)
    assert isinstance(model, SAC)
    load_base(model, settings)
    silenced(model).eval()
    image = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255
    for expert_points in ([], [[10.0, 20.0, 1], [50.5, 3.0, 0]]):
        given = torch.tensor(expert_points).reshape(1, -1, 3)
        with torch.no_grad():
            ours = model(image[None], given[..., :2], given[..., 2].long())
        logits, iou = official_answer(sam, image, ours.point_coords[0], ours.point_labels[0])
        assert logits.std() > 0.01
        torch.testing.assert_close(ours.logits, logits, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(ours.iou, iou, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "overrides"), [("sam", ()), ("msa", ()), ("sac", ()), ("sac", (ALL_PROJECTIONS,))]
)
def test_every_official_tensor_arrives_unchanged(
    method: str, overrides: tuple[str, ...], tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    state = official_sam().state_dict()
    settings = model_settings(tiny, method, saved(tmp_path / "sam.pth", state), *overrides)
    model = build_model(settings)
    assert isinstance(model, SAC)
    load_base(model, settings)
    own = {name.replace(".base.", "."): tensor for name, tensor in model.state_dict().items()}
    assert state.keys() <= own.keys()
    for name, tensor in state.items():
        assert torch.equal(own[name], tensor), f"{name} is not what the file holds"


def test_weights_in_half_precision_become_single_precision(
    tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    state = {name: tensor.half() for name, tensor in official_sam().state_dict().items()}
    settings = model_settings(tiny, "sam", saved(tmp_path / "half.pth", state))
    model = build_model(settings)
    assert isinstance(model, SAC)
    load_base(model, settings)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model.image_encoder.pos_embed.half(), state["image_encoder.pos_embed"])


WRONG: dict[str, Any] = {
    "more channels": {"dim": 48, "heads": 2},
    "more heads": {"heads": 4},
    "one block less": {"depth": 1, "global_blocks": (0,)},
    "one block more": {"depth": 3},
    "global attention elsewhere": {"global_blocks": (0,)},
    "smaller patches, as many of them": {"patch": 8, "size": 32},
    "a larger native size": {"size": 128},
}


def refusal(method: str, tiny: list[str], state: dict[str, Tensor]) -> str:
    """The sentence that loading a file ends with; the model is asserted to be as it was before."""
    model, path = build_model(model_settings(tiny, method, "other.pth")), Path("folder") / "other.pth"
    assert isinstance(model, SAC)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as refused:
        load_official_state(model, state, path, "vit_t")
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert not changed, f"refused, but already copied: {changed}"
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("sizes", WRONG.values(), ids=WRONG)
def test_weights_of_another_backbone_are_refused_whole(
    sizes: dict[str, Any], tiny: list[str], official_sam: MakeSam
) -> None:
    assert "vit_t" in refusal("lora", tiny, official_sam(**sizes).state_dict())


@pytest.mark.parametrize("method", ["sam", "msa"])
def test_other_methods_refuse_them_too(method: str, tiny: list[str], official_sam: MakeSam) -> None:
    assert "vit_t" in refusal(method, tiny, official_sam(depth=3).state_dict())


def test_the_sentence_says_what_the_file_holds(tiny: list[str], official_sam: MakeSam) -> None:
    sentence = refusal("sam", tiny, official_sam(dim=48, depth=3, size=128).state_dict())
    assert "3 blocks" in sentence
    assert "48 channels" in sentence
    assert "8x8 positions" in sentence


def test_weights_of_something_else_are_refused(tiny: list[str], tmp_path: Path) -> None:
    state = nn.Linear(2, 2).state_dict()
    assert "no SAM weights" in refusal("sam", tiny, state)
    settings = model_settings(tiny, "sam", saved(tmp_path / "linear.pth", state))
    model = build_model(settings)
    assert isinstance(model, SAC)
    with pytest.raises(UserError, match=r"linear\.pth holds no SAM weights"):
        load_base(model, settings)


@pytest.mark.parametrize("part", ["mask_decoder", "prompt_encoder"])
def test_an_image_encoder_alone_is_refused_for_what_it_lacks(
    part: str, tiny: list[str], official_sam: MakeSam
) -> None:
    state = {name: t for name, t in official_sam().state_dict().items() if not name.startswith(part)}
    assert part in refusal("sac", tiny, state), "the image encoder fits: the sentence must name what is missing"


def test_weights_by_path_are_recorded_with_the_hash_of_their_file(
    tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    path = saved(tmp_path / "sam.pth", official_sam().state_dict())
    settings = model_settings(tiny, "lora", path)
    model = build_model(settings)
    assert isinstance(model, SAC)
    expected = {"name": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert load_base(model, settings) == expected


def test_registered_weights_are_recorded_with_the_registered_hash(
    tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, official_sam: MakeSam
) -> None:
    path = saved(tmp_path / "vit_x.pth", official_sam().state_dict())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    size = path.stat().st_size
    registered = replace(REGISTER["vit_b"], name="vit_x", file="vit_x.pth", size=size, sha256=sha256)
    monkeypatch.setitem(REGISTER, "vit_x", registered)
    monkeypatch.setenv("SAC_WEIGHTS", str(tmp_path))
    settings = model_settings(tiny, "lora", "vit_x")
    model = build_model(settings)
    assert isinstance(model, SAC)
    assert load_base(model, settings) == {"name": "vit_x", "sha256": sha256}


def test_settings_name_their_base_weights_or_none(tiny: list[str]) -> None:
    assert base_weights(model_settings(tiny, "sac", "vit_b")) == "vit_b"
    assert base_weights(model_settings(tiny, "sac")) is None
    assert base_weights({"name": "otsu", "_target_": "sac_lightning.baselines.otsu.Otsu"}) is None


def test_settings_are_left_as_they_were(tiny: list[str]) -> None:
    settings = model_settings(tiny, "sac")
    before = repr(settings)
    build_model(settings)
    assert repr(settings) == before


def test_a_plain_network_is_built_too() -> None:
    assert isinstance(build_model({"name": "otsu", "_target_": "sac_lightning.baselines.otsu.Otsu"}), Otsu)


def test_the_same_seed_builds_the_same_model(tiny: list[str]) -> None:
    settings = model_settings(tiny, "sac")
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_model(settings).state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), f"{name} differs from one build to the next"
    differing = [name for name, tensor in states[0].items() if not torch.equal(tensor, states[2][name])]
    assert len(differing) > len(states[0]) / 4


def test_positions_start_random_only_where_they_are_trained(tiny: list[str]) -> None:
    trained, frozen = (
        build_model(model_settings(tiny, "sac", weights)).state_dict()["image_encoder.pos_embed"]
        for weights in (None, "vit_b")
    )
    assert trained.std().item() == pytest.approx(0.02, rel=0.3)
    assert not frozen.any(), "the file's positions belong here"
