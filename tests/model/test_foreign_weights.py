"""SAM in the files of other projects: it answers as it does there, or one sentence says what is wrong."""

import copy
import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from segment_anything.modeling import Sam
from tests.model import foreign_files as files
from torch import Tensor, nn

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.model.adapter import AdaptedBlock
from sac_lightning.model.build import build_model, load_base
from sac_lightning.model.foreign.sam import read_sam
from sac_lightning.model.preparation import convert_weights, prepare_weights
from sac_lightning.model.segment_any_cell import SAC

SIZE = 64  # Of conftest's tiny backbone.
IMAGE = torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255
POINTS = torch.tensor([[10.0, 20.0], [50.5, 3.0]])
LABELS = torch.tensor([1, 0])
MakeSam = Callable[..., Sam]


@cache
def composed_model(overrides: tuple[str, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = resolve_config(compose_config("train", [*overrides, "output_dir=x"]))["model"]
    return settings


def load(tiny: list[str], path: Path, method: str = "sam", *overrides: str) -> SAC:
    settings = copy.deepcopy(composed_model((*tiny, f"model={method}", "prompts=none", *overrides)))
    settings["backbone"]["weights"] = str(path)
    model = build_model(settings)
    assert isinstance(model, SAC)
    load_base(model, settings)
    return model.eval()


def save(content: Any, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


@torch.no_grad()
def answer(model: SAC) -> tuple[Tensor, Tensor]:
    """The low-resolution logits (1, 1, S/4, S/4) and the IoU of the model for an image and two points."""
    embeddings, _ = model.encode(IMAGE[None])
    return model.decode(embeddings, POINTS[None], LABELS[None])


@torch.no_grad()
def official_answer(sam: Sam) -> tuple[Tensor, Tensor]:
    record = {
        "image": IMAGE,
        "original_size": (SIZE, SIZE),
        "point_coords": POINTS[None],
        "point_labels": LABELS[None],
    }
    answered = sam([record], multimask_output=False)[0]
    return answered["low_res_logits"], answered["iou_predictions"]


def assert_same(model: SAC, sam: Sam) -> None:
    logits, iou = answer(model)
    expected, expected_iou = official_answer(sam)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits.reshape(expected.shape), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(iou.reshape(expected_iou.shape), expected_iou, rtol=1e-3, atol=1e-4)


def refusal(call: Callable[[], object], path: Path) -> str:
    with pytest.raises(UserError) as refused:
        call()
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    assert ". " not in sentence, "one sentence"
    return sentence


LOADED: dict[str, tuple[str, files.Writer]] = {
    "segment-anything": ("pth", files.state_of),
    "DistributedDataParallel": ("pth", lambda sam: files.under("module.", files.state_of(sam))),
    "micro-sam, sam. before each name": ("pth", lambda sam: files.under("sam.", files.state_of(sam))),
    "several prefixes": ("pth", lambda sam: files.under("module.model._orig_mod.sam.", files.state_of(sam))),
    "a compiled encoder": (
        "pth",
        lambda sam: {n.replace("encoder.", "encoder._orig_mod.", 1): t for n, t in files.state_of(sam).items()},
    ),
    "in a list": ("pth", lambda sam: {"model": [files.state_of(sam)]}),
    "in a tuple": ("pth", lambda sam: (files.state_of(sam), 3)),
    "part by part": ("pth", lambda sam: {n: files.state_of(part) for n, part in sam.named_children()}),
    "micro-sam's export": ("pt", files.micro_sam),
    "torch_em's best.pt": ("pt", files.torch_em),
    "torch_em's best.pt, compiled": ("pt", partial(files.torch_em, prefix="_orig_mod.sam.", decoder=False)),
    "MedSAM's training": ("pth", files.medsam),
    "MedSAM's training on several GPUs": ("pth", partial(files.medsam, wrapped=True)),
    "Lightning": ("ckpt", files.lightning),
    "transformers' pytorch_model.bin": ("bin", files.hugging_face),
    "transformers' model.safetensors": ("safetensors", partial(files.hugging_face, tied=False)),
    "attn.qkv.qkv without LoRA": (
        "pth",
        lambda sam: {n.replace("attn.qkv.", "attn.qkv.qkv."): t for n, t in files.state_of(sam).items()},
    ),
    "finetune-SAM's LoRA in the encoder": ("pth", files.samed_network),
    "finetune-SAM's LoRA in both": ("pth", partial(files.samed_network, decoder=True)),
    "micro-sam's LoRA": ("pt", files.micro_sam_lora),
    "micro-sam's LoRA on q, k, v and the MLP": ("pt", partial(files.micro_sam_lora, slices="qkv", mlp=True)),
    "half precision": ("pth", partial(files.rounded, dtype=torch.float16)),
    "bfloat16": ("pth", partial(files.rounded, dtype=torch.bfloat16)),
}


@pytest.mark.parametrize(("ending", "write"), LOADED.values(), ids=LOADED)
def test_it_answers_as_it_does_where_it_was_trained(
    ending: str, write: files.Writer, tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    sam = official_sam()
    path = save(write(sam), tmp_path / f"weights.{ending}")
    model = load(tiny, path)
    assert_same(model, sam.eval())
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_what_is_beside_sam_is_named(
    tiny: list[str], tmp_path: Path, official_sam: MakeSam, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(files.torch_em(official_sam()), tmp_path / "best.pt")
    optimizer = f"optimizer_state ({3 * len(list(official_sam().parameters()))} tensors)"
    with caplog.at_level(logging.WARNING):
        load(tiny, path)
    assert caplog.messages == [f"{path}: left out {optimizer}, decoder_state (3 tensors): no part of SAM"]
    caplog.clear()
    load(tiny, save(files.lightning(official_sam()), tmp_path / "net.ckpt"))
    assert "left out loss (1 tensor), optimizer_states" in caplog.text
    caplog.clear()
    load(tiny, save(files.state_of(official_sam()), tmp_path / "sam.pth"))
    assert not caplog.messages


@pytest.mark.parametrize("positions", ["rel_", "rel_pos_"])
def test_adapters_of_medical_sam_adapter_become_ours(
    positions: str, tiny: list[str], tmp_path: Path, official_sam: MakeSam, caplog: pytest.LogCaptureFixture
) -> None:
    content = files.medical_sam_adapter(official_sam(), positions)
    model = load(tiny, save(content, tmp_path / "msa.pth"), "msa")
    for index, block in enumerate(model.image_encoder.blocks):
        assert isinstance(block, AdaptedBlock)
        for ours, theirs in ((block.attention_adapter, "Space_Adapter"), (block.mlp_adapter, "MLP_Adapter")):
            for layer, name in ((ours.down, "D_fc1"), (ours.up, "D_fc2")):
                given = f"image_encoder.blocks.{index}.{theirs}.{name}"
                assert torch.equal(layer.weight, content["state_dict"][f"{given}.weight"])
                assert torch.equal(layer.bias, content["state_dict"][f"{given}.bias"])
        given = f"image_encoder.blocks.{index}.attn.{positions}h"
        assert torch.equal(block.base.attn.rel_pos_h, content["state_dict"][given])
    assert "took over its adapters (16 tensors)" in caplog.text
    assert "Depth_Adapter (8 tensors)" in caplog.text


MORE: dict[str, tuple[str, files.Writer, list[str]]] = {
    "adapters, for SAM": (
        "sam",
        files.medical_sam_adapter,
        ["MLP_Adapter (8 tensors)", "Space_Adapter", "model=msa"],
    ),
    "adapters, for SAC": ("sac", files.medical_sam_adapter, ["Space_Adapter (8 tensors)", "model=msa"]),
    "adapters in the decoder": (
        "sam",
        files.finetune_sam_adapters,
        ["MLP_Adapter (8 tensors), Adapter (8 tensors)"],
    ),
    "adapters in the decoder, for MSA": ("msa", files.finetune_sam_adapters, ["Adapter (8 tensors)"]),
    "LoRA beside SAM": (
        "sam",
        lambda sam: {"sam": files.state_of(sam), "lora": {"blocks.0.A": torch.ones(2), "rank": 2}},
        ["lora (1 tensor)"],
    ),
    "LoRA's layers beside SAM": (
        "sac",
        lambda sam: files.under("sam.", files.state_of(sam)) | {"w_As.0.weight": torch.ones(2)},
        ["w_As (1 tensor)"],
    ),
    "adapters beside SAM": (
        "sam",
        lambda sam: files.under("net.sam.", files.state_of(sam)) | {"net.Adapter_2.weight": torch.ones(2)},
        ["Adapter_2 (1 tensor)"],
    ),
    "SAM-HQ": ("sam", files.sam_hq, ["hf_token (1 tensor)", "hf_mlp", "compress_vit_feat", "embedding_encoder"]),
}


@pytest.mark.parametrize(("method", "write", "named"), MORE.values(), ids=MORE)
def test_parts_that_the_model_has_not_are_named_and_refused(
    method: str, write: files.Writer, named: list[str], tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    path = save(write(official_sam()), tmp_path / "more.pth")
    sentence = refusal(lambda: load(tiny, path, method), path)
    for part in named:
        assert part in sentence
    assert f"prepare weights={path}" in sentence
    # It leaves them out, and says so.
    output = tmp_path / "plain.safetensors"
    told = "\n".join(prepare_weights(path, output))
    assert named[0] in told
    assert "without them SAM is not what was trained" in told
    assert_same(load(tiny, output), official_sam())


def test_adapters_of_some_blocks_alone_are_refused(tiny: list[str], tmp_path: Path, official_sam: MakeSam) -> None:
    content = files.medical_sam_adapter(official_sam())
    content["state_dict"] = {n: t for n, t in content["state_dict"].items() if "blocks.1.MLP_Adapter" not in n}
    path = save(content, tmp_path / "msa.pth")
    assert "blocks.1.mlp_adapter" in refusal(lambda: load(tiny, path, "msa"), path)


REFUSED: dict[str, tuple[files.Writer, str]] = {
    "MobileSAM": (files.mobile_sam, "TinyViT"),
    "SAM 2": (files.sam2, "SAM 2, which is another architecture"),
    "SAM 3": (
        lambda sam: {"model": {"detector.backbone.vision_backbone.trunk.pos_embed": torch.zeros(2)}},
        "SAM 3, which is another architecture",
    ),
    "a ResNet": (
        lambda sam: {"layer1.0.conv1.weight": torch.zeros(2)},
        "holds no SAM weights but layer1 (1 tensor)",
    ),
    "peft's LoRA, whose scale it does not say": (
        files.peft,
        "base_layer (4 tensors), lora_A (2 tensors), lora_B (2",
    ),
    "micro-sam's AdaptFormer": (
        files.adapt_former,
        "mlp_proj (8 tensors), down_proj (2 tensors), alpha (2 tensors)",
    ),
    "nothing": (lambda sam: {"epoch": 3}, "holds no SAM weights"),
    "one tensor": (lambda sam: torch.zeros(2), "holds no SAM weights"),
    "a mask per class": (files.classes, "mask_tokens.weight of shape (9, 256) and SAM's is (4, 256)"),
    "SAMed's LoRA alone": (files.samed, "LoRA without the layers that it belongs to"),
    "a prefix twice, different": (
        lambda sam: {"model": files.state_of(sam), "ema": {n: t + 1 for n, t in files.state_of(sam).items()}},
        "two different SAMs, below model. and ema.",
    ),
    "a number that is none": (
        lambda sam: files.state_of(sam) | {"mask_decoder.iou_token.weight": torch.full((1, 256), torch.nan)},
        "NaN or infinite numbers in mask_decoder.iou_token.weight",
    ),
    "an infinite number": (
        lambda sam: files.state_of(sam) | {"image_encoder.neck.1.bias": torch.full((256,), -torch.inf).half()},
        "NaN or infinite numbers in image_encoder.neck.1.bias",
    ),
    "integers": (
        lambda sam: {n: t.to(torch.int8) for n, t in files.state_of(sam).items()},
        "as int8, that is, quantised",
    ),
    "float8": (
        lambda sam: {n: t.to(torch.float8_e4m3fn) for n, t in files.state_of(sam).items()},
        "as float8_e4m3fn, that is, quantised",
    ),
    "two different SAMs in a list": (
        lambda sam: [files.state_of(sam), {n: t + 1 for n, t in files.state_of(sam).items()}],
        "two different SAMs, below 0. and 1.",
    ),
    "a list of whole networks": (lambda sam: [sam], "holds a whole segment_anything.modeling.sam.Sam"),
    "a list of tensors": (lambda sam: list(files.state_of(sam).values()), "holds no SAM weights"),
    "a checkpoint of ours": (
        lambda sam: {"sac_lightning": {}, "state_dict": {}},
        "is a checkpoint of this package",
    ),
    "a whole network": (lambda sam: sam, "holds a whole segment_anything.modeling.sam.Sam"),
    "an object for a tensor": (
        lambda sam: files.state_of(sam) | {"image_encoder.pos_embed": files.Dataset([])},
        "in place of the tensor image_encoder.pos_embed",
    ),
}


@pytest.mark.parametrize(("write", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_loaded_is_one_sentence(
    write: files.Writer, said: str, tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    path = save(write(official_sam()), tmp_path / "other.pth")
    with pytest.raises(UserError) as refused:
        load(tiny, path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_wrapped_sam_that_is_there_twice_is_loaded_once(
    tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    sam = official_sam()
    wrapper = nn.Module()
    wrapper.sam, wrapper.image_encoder = sam, sam.image_encoder
    assert_same(load(tiny, save(wrapper.state_dict(), tmp_path / "twice.pth")), sam)


@pytest.mark.parametrize("decoder", [False, True], ids=["encoder", "encoder and decoder"])
def test_lora_alone_is_merged_into_its_base(
    decoder: bool, tiny: list[str], tmp_path: Path, official_sam: MakeSam
) -> None:
    sam = official_sam()
    base = save(files.state_of(sam), tmp_path / "base.pth")
    path, output = save(files.samed(sam, decoder), tmp_path / "epoch_199.pth"), tmp_path / "merged.safetensors"
    told = prepare_weights(path, output, str(base))
    assert "what it lacks from" in told[0]
    assert_same(load(tiny, output), sam)


def test_lora_of_another_sam_is_refused(tmp_path: Path, official_sam: MakeSam) -> None:
    path = save(files.samed(official_sam()), tmp_path / "lora.pth")
    for said, sizes in (("LoRA of 2 blocks", {"depth": 3}), ("LoRA of 32 channels", {"dim": 48})):
        base = save(files.state_of(official_sam(**sizes)), tmp_path / "base.pth")
        call = partial(prepare_weights, path, tmp_path / "out.safetensors", str(base))
        assert said in refusal(call, path)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_decoder_alone_is_completed(tiny: list[str], tmp_path: Path, official_sam: MakeSam) -> None:
    sam, other = official_sam(), official_sam(seed=5)
    base = save(files.state_of(sam), tmp_path / "base.pth")
    decoder = {n: t for n, t in files.state_of(other).items() if n.startswith("mask_decoder.")}
    path = save(decoder, tmp_path / "decoder.pth")
    assert "base=vit_b" in refusal(lambda: load(tiny, path), path)
    prepare_weights(path, tmp_path / "whole.safetensors", str(base))
    sam.mask_decoder = other.mask_decoder
    assert_same(load(tiny, tmp_path / "whole.safetensors"), sam)


def test_another_size_of_image_names_the_option(tiny: list[str], tmp_path: Path, official_sam: MakeSam) -> None:
    path = save(files.state_of(official_sam(size=128)), tmp_path / "large.pth")
    sentence = refusal(lambda: load(tiny, path), path)
    assert "made for images of 128 px" in sentence
    assert sentence.endswith("add backbone.native_size=128")
    load(tiny, path, "sam", "backbone.native_size=128")


def test_the_backbone_that_it_is_is_named(tmp_path: Path, official_sam: MakeSam) -> None:
    path = save(files.state_of(official_sam()), tmp_path / "tiny.pth")
    sentence = refusal(lambda: load(["backbone=vit_t"], path), path)
    assert "2 blocks, 32 channels and 4x4 positions, which is not vit_t" in sentence
    shipped = tmp_path / "t.safetensors"
    prepare_weights(path=_shipped(), output=shipped)
    sentence = refusal(lambda: load(["backbone=vit_b"], shipped), shipped)
    assert "which is vit_t and not vit_b: add backbone=vit_t" in sentence


def _shipped() -> Path:
    from sac_lightning.model.weights import locate

    return locate("vit_t")


def test_prepare_says_what_to_use_it_with(tmp_path: Path, official_sam: MakeSam) -> None:
    output = tmp_path / "out.safetensors"
    told = prepare_weights(_shipped(), output)
    assert told[0] == "took over  vit_t (8 blocks, 160 channels, made for 256 px), 258 tensors"
    assert told[-1] == f"use        backbone=vit_t backbone.weights={output}"
    path = save(files.micro_sam(official_sam()), tmp_path / "micro.pt")
    told = prepare_weights(path, output, overwrite=True)
    assert told[1] == "left out   decoder_state (3 tensors): beside SAM"
    assert "backbone.dim=32 backbone.depth=2 backbone.heads=2 backbone.global_blocks=[1]" in told[-1]
    state = read_sam(output).state
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert state.keys() == files.state_of(official_sam()).keys()


def test_prepare_refuses_what_it_must(
    tmp_path: Path, official_sam: MakeSam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(files.state_of(official_sam()), tmp_path / "sam.pth")
    convert_weights(compose_config("prepare", [f"weights={path}"]))
    assert "weights    sam.safetensors" in capsys.readouterr().out
    for overrides, said in (
        ([], "sam.safetensors is there already"),
        (["output=sam.pth"], "call it sam.safetensors"),
        (["dataset=glas"], "give one of them"),
        (["base=vit_x", "output=other.safetensors"], "There are no weights 'vit_x'"),
    ):
        with pytest.raises(UserError, match=said):
            convert_weights(compose_config("prepare", [f"weights={path}", *overrides]))
    convert_weights(compose_config("prepare", [f"weights={path}", "overwrite=true"]))


def test_what_else_a_file_holds_does_not_run(
    tiny: list[str], tmp_path: Path, official_sam: MakeSam, harm: Callable[[Path], object]
) -> None:
    content = files.torch_em(official_sam())
    content["init"]["harm"] = harm(tmp_path / "harm")
    path = save(content, tmp_path / "best.pt")
    with pytest.raises(UserError, match="would run code"):
        load(tiny, path)
    content["init"]["harm"] = Calls()
    load(tiny, save(content, path))
    assert not Calls.called, "the object was made"


class Calls:
    """Counts that it is made."""

    called = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle is told to call."""
        return _call, ()


def _call() -> Calls:
    Calls.called += 1
    return Calls()
