"""Exported models: onnxruntime says what torch says; nothing foreign is run; what goes wrong is one sentence."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from filelock import FileLock
from onnx import TensorProto, helper
from skimage.filters import threshold_otsu
from tests.commands import saved, settings_of
from tests.processes import Processes
from torch import Tensor, nn

import sac_lightning
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale
from sac_lightning.core.view import View
from sac_lightning.inference.every_prompt import candidates
from sac_lightning.inference.onnx import export as run
from sac_lightning.inference.onnx.description import KEY, Description, read_description
from sac_lightning.inference.onnx.graphs import graphs, write_graph
from sac_lightning.inference.onnx.model import Session, load_exported
from sac_lightning.inference.thresholds import EveryPrompt, Watershed
from sac_lightning.inference.windows import segment
from sac_lightning.model.attention import plain_attention
from sac_lightning.model.build import base_weights, build_model, load_base
from sac_lightning.model.promptable import Promptable
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.task import SegmentationTask
from sac_lightning.training.tuning import store_thresholds

SIDE = 64
TOLERANCE = 1e-4
# What differs between the methods: LoRA on all projections with a scale that is not 1; adapters, and no points of
# their own; the dense prompt; points drawn at random; no part of SAM, alone and with maps that separate.
MODELS = {
    "sac": [
        "model=sac",
        "model.projections=qkvo",
        "model.rank=4",
        "model.alpha=12",
        "prompts.points=2",
        "prompts.refine=true",
    ],
    "msa": ["model=msa", "view.crop=40"],
    "dense": ["model=sam_ft", "prompts.dense=true", "prompts.selection=R", "view.crop=40", "view.stretch=true"],
    "u_net": ["model=u_net", "model.init_features=4", "view.image_size=32", "view.crop=40"],
    "heads": [
        "model=u_net",
        "model.init_features=4",
        "model.heads=separating",
        "view.image_size=32",
        "view.crop=40",
    ],
}
SAMS = ("sac", "msa", "dense")
WATERSHED, EVERY_PROMPT = Watershed(0.5, 0.6, 3), EveryPrompt(0.0, 0.5, 3)


def make_checkpoint(path: Path, overrides: list[str], fill: Callable[..., nn.Module] | None = None) -> Path:
    """A checkpoint as training would write it, of a model filled by rule, or with the shipped weights."""
    settings = settings_of(*overrides)
    model = build_model(settings["model"])
    base = (
        load_base(model, settings["model"]) if isinstance(model, SAC) and base_weights(settings["model"]) else None
    )
    if fill is not None:
        fill(model, gain=0.7)
    task = SegmentationTask(model, View(**settings["view"]), settings, base, batch_size=2)
    return saved(task, path)


def call(checkpoint: Path, output: Path, **settings: Any) -> None:
    cfg = compose_config("export", [])
    for key, value in {"checkpoint": checkpoint, "output": output, **settings}.items():
        cfg[key] = str(value) if isinstance(value, Path) else value
    run.export(cfg)


@pytest.fixture(scope="session")
def exports(
    tmp_path_factory: pytest.TempPathFactory, tiny: list[str], fill: Callable[..., nn.Module]
) -> Callable[[str], Path]:
    """By the name of a model in MODELS: a folder with best.ckpt and model.onnx, made once for all processes."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "popen-gw" in base.name else base) / "exports"
    root.mkdir(exist_ok=True)

    def export(name: str) -> Path:
        folder = root / name
        with FileLock(root / f"{name}.lock"):
            if not (folder / "model.onnx").exists():
                folder.mkdir(exist_ok=True)
                checkpoint = make_checkpoint(folder / "best.ckpt", [*tiny, *MODELS[name]], fill)
                store_thresholds(checkpoint, WATERSHED)
                store_thresholds(checkpoint, EVERY_PROMPT)
                call(checkpoint, folder / "model.onnx")
        return folder

    return export


def picture(height: int, width: int) -> np.ndarray:
    """A smooth image, so that the generator's regions are more than pixels."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width]


def model_of(folder: Path) -> Any:
    return sac_lightning.load(folder / "best.ckpt").model


# The same answers


@pytest.mark.parametrize("experts", [0, 1, 7])
@pytest.mark.parametrize("name", MODELS)
def test_the_predictor_answers_as_the_checkpoints(name: str, experts: int, exports: Callable[[str], Path]) -> None:
    folder = exports(name)
    predictors = [sac_lightning.load(folder / file, precision="32-true") for file in ("best.ckpt", "model.onnx")]
    image = picture(70, 100)
    points = np.random.default_rng(1).uniform(0, (100, 70), (experts, 2))
    labels = np.arange(experts) % 2
    torchs, onnxs = (predictor.segment(image, points, labels, seed=3) for predictor in predictors)
    assert 0.01 < torchs.mask.mean() < 0.99, "a mask of one class tests little"
    assert np.array_equal(onnxs.mask, torchs.mask)
    assert np.abs(onnxs.probability - torchs.probability).max() < TOLERANCE
    assert np.array_equal(onnxs.points, torchs.points)
    assert np.array_equal(onnxs.labels, torchs.labels)


@pytest.mark.parametrize("name", ["sac", "u_net", "heads"])
def test_the_checkpoints_thresholds_are_exported(name: str, exports: Callable[[str], Path]) -> None:
    folder, image = exports(name), picture(70, 100)
    predictors = [sac_lightning.load(folder / file, precision="32-true") for file in ("best.ckpt", "model.onnx")]
    assert [predictor.separation for predictor in predictors] == [WATERSHED] * 2
    torchs, onnxs = (predictor.segment(image).instances for predictor in predictors)
    assert torchs.any()
    assert ((torchs > 0) == (onnxs > 0)).mean() > 0.99
    assert onnxs.max() == pytest.approx(torchs.max(), abs=1)


def test_every_prompt_is_decoded_as_by_torch(exports: Callable[[str], Path]) -> None:
    found = []
    for file in ("best.ckpt", "model.onnx"):
        predictor = sac_lightning.load(exports("sac") / file, instances="prompts")
        assert predictor.separation == EVERY_PROMPT
        image = torch.from_numpy(picture(70, 100)).permute(2, 0, 1).float()
        prediction = segment(predictor.model, image, predictor.view, keep_embeddings=True)
        prediction.generator_maps = torch.zeros(1, 70, 100)
        prediction.generator_maps[:, 10:15, 10:15] = prediction.generator_maps[:, 40:60, 70:75] = 1
        assert isinstance(predictor.model, Promptable)
        predictor.model.point_selection.threshold = 0.5
        found.append(candidates(predictor.model, prediction, predictor.view))
    torchs, onnxs = found
    assert [c.score for c in onnxs] == pytest.approx([c.score for c in torchs], abs=TOLERANCE)
    assert [c.box for c in onnxs] == [c.box for c in torchs]


def test_what_an_export_cannot_do_is_told(exports: Callable[[str], Path]) -> None:
    for name, reason in (("u_net", "models that take points"), ("dense", "dense prompt")):
        with pytest.raises(UserError, match=reason):
            sac_lightning.load(exports(name) / "model.onnx", instances="prompts")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", SAMS)
def test_the_encoder_takes_any_number_of_images(name: str, batch: int, exports: Callable[[str], Path]) -> None:
    folder = exports(name)
    model = model_of(folder)
    images = torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        wanted = [model.image_encoder(model.normalise(images))]
        if model.prompt_generator is not None:
            wanted.append(model(images).generator_logits)
    given = Session(folder / "model.onnx" / "encoder.onnx")(images=images)
    assert len(given) == len(wanted)
    for ours, theirs in zip(given, wanted, strict=True):
        assert (ours - theirs).abs().max() < TOLERANCE


@pytest.mark.parametrize(("batch", "points"), [(1, 0), (1, 1), (2, 0), (2, 2), (5, 12)])
@pytest.mark.parametrize("name", ["msa", "dense"])
def test_the_decoder_takes_any_number_of_points(
    name: str, batch: int, points: int, exports: Callable[[str], Path]
) -> None:
    folder = exports(name)
    model, exported = model_of(folder), load_exported(folder / "model.onnx")[0]
    generator = torch.Generator().manual_seed(points)
    embeddings = torch.randn(batch, 256, SIDE // 16, SIDE // 16, generator=generator)
    coords = torch.rand(batch, points, 2, generator=generator) * SIDE
    labels = torch.randint(-1, 2, (batch, points), generator=generator)
    mask = torch.randn(batch, 1, 32, 32, generator=generator) if name == "dense" else None
    low_res_logits, iou = exported.decode(embeddings, coords, labels, mask)
    with torch.no_grad():
        image_pe, sparse, dense = model.encode_prompts(coords, labels, mask_logits=mask)
        wanted, wanted_iou = model.mask_decoder(embeddings, image_pe, sparse, dense, multimask_output=False)
    assert low_res_logits.shape == wanted.shape
    assert (low_res_logits - wanted).abs().max() < TOLERANCE
    assert (iou - wanted_iou[:, 0]).abs().max() < TOLERANCE
    assert wanted.abs().max() > 0.1


def test_the_decoder_takes_the_corners_of_a_box(exports: Callable[[str], Path]) -> None:
    folder = exports("msa")
    model, decoder = model_of(folder), Session(folder / "model.onnx" / "decoder.onnx")
    embeddings = torch.randn(1, 256, SIDE // 16, SIDE // 16, generator=torch.Generator().manual_seed(0))
    corners = torch.tensor([[[3.0, 5.0], [40.0, 50.0]]])
    given, _ = decoder(image_embeddings=embeddings, point_coords=corners, point_labels=torch.tensor([[2, 3]]))
    with torch.no_grad():
        sparse, dense = model.prompt_encoder(points=None, boxes=corners.flatten(1), masks=None)
        pe = model.prompt_encoder.get_dense_pe()
        wanted, _ = model.mask_decoder(embeddings, pe, sparse, dense, multimask_output=False)
    assert (given - wanted).abs().max() < TOLERANCE


@pytest.mark.parametrize(("grid", "window"), [((6, 6), 3), ((4, 8), 0)])
def test_what_is_traced_is_the_attention_that_trained(grid: tuple[int, int], window: int) -> None:
    from sac_lightning.model.image_encoder import Attention

    torch.manual_seed(0)
    attention = Attention(dim=12, heads=2, grid=8)
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    tokens = torch.randn(2, *grid, 12)
    with torch.no_grad():
        wanted = attention(tokens, window)
        attention.function = plain_attention
        assert (attention(tokens, window) - wanted).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", SAMS)
def test_a_model_is_as_it_was_after_its_export(name: str, exports: Callable[[str], Path], tmp_path: Path) -> None:
    folder = exports(name)
    model, (_, description) = model_of(folder), load_exported(folder / "model.onnx")
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    images = run.scenes(description.image_size)
    with torch.no_grad():
        wanted = run.answer(model, images, 2)
        run.write_and_verify(model, description, tmp_path)
        found = run.answer(model, images, 2)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[key]) for key, tensor in before.items()), "LoRA was merged"
    assert torch.equal(found.logits, wanted.logits), "its attention is another one"


# What is in the files


def test_lora_is_merged_and_adapters_are_kept(exports: Callable[[str], Path]) -> None:
    def names(name: str) -> str:
        graph = onnx.load(exports(name) / "model.onnx" / "encoder.onnx").graph
        return " ".join(tensor.name for tensor in graph.initializer)

    assert "q_a" not in names("sac")
    assert "qkv" in names("sac")
    assert "attention_adapter" in names("msa")


def test_the_files_say_what_they_are_and_hold_no_path(exports: Callable[[str], Path]) -> None:
    folder = exports("dense") / "model.onnx"
    for name in ("encoder", "decoder"):
        file = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(file)
        assert [opset.version for opset in file.opset_import if opset.domain == ""] == [18]
        (text,) = [entry.value for entry in file.metadata_props if entry.key == KEY]
        said = json.loads(text)
        assert said["view"] == {"image_size": 64, "crop": 40, "overlap": 0.25, "stretch": True, "flips": False}
        assert said["selection"]["selection"] == "R"
        assert said["model"] == "sam_ft"
        assert str(Path(run.__file__).parent).encode() not in (folder / f"{name}.onnx").read_bytes()
    inputs = {each.name: each.shape for each in onnxruntime.InferenceSession(folder / "decoder.onnx").get_inputs()}
    assert inputs == {
        "image_embeddings": ["batch", 256, 4, 4],
        "point_coords": ["batch", "points", 2],
        "point_labels": ["batch", "points"],
        "generator_logits": ["batch", 1, 32, 32],
    }


# What goes wrong while exporting


def test_an_export_that_differs_is_not_kept(
    exports: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchs = run.answer
    monkeypatch.setattr(run, "answer", lambda *given: torchs(*given) + 0.01)
    with pytest.raises(UserError, match=r"differ from torch's by 1\.0e-02, more than tolerance=0\.001"):
        call(exports("u_net") / "best.ckpt", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["msa", "u_net"])
def test_not_a_number_is_no_agreement(name: str, exports: Callable[[str], Path]) -> None:
    folder = exports(name)
    model, (exported, description) = model_of(folder), load_exported(folder / "model.onnx")
    images = run.scenes(description.image_size)
    with torch.no_grad():
        assert run.distance(exported, images, run.answer(model, images, 1)) < TOLERANCE
        for parameter in list(model.parameters())[-4:]:
            parameter.fill_(torch.nan)
        assert not run.distance(exported, images, run.answer(model, images, 1)) <= 1e9


class Foreign(nn.Module):
    """Goes through another library, as FANet does with Otsu's threshold."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :1] - float(threshold_otsu(images.numpy()))


def test_code_that_cannot_be_traced_is_told(exports: Callable[[str], Path], tmp_path: Path) -> None:
    description = load_exported(exports("u_net") / "model.onnx")[1]
    (graph,) = graphs(Foreign().eval(), 32)
    with pytest.raises(UserError, match="Foreign cannot be exported"):
        write_graph(graph, tmp_path / "network.onnx", description)
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_size_is_told(tiny: list[str], tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "otsu.ckpt", [*tiny, "model=otsu", "view.image_size=null"])
    with pytest.raises(UserError, match="otsu"):
        call(checkpoint, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["otsu.ckpt"]


def test_an_output_that_cannot_be_written_is_told(exports: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I was here first")
    with pytest.raises(UserError, match=r"file/model\.onnx cannot be written"):
        call(exports("u_net") / "best.ckpt", tmp_path / "file" / "model.onnx")


def test_what_is_not_installed_is_told(
    exports: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exports("u_net")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'sac-lightning\[onnx\]'"):
        sac_lightning.load(folder / "model.onnx")
    monkeypatch.setattr(run, "find_spec", lambda package: None if package == "onnxscript" else True)
    with pytest.raises(UserError, match=r"pip install 'sac-lightning\[onnx\]'"):
        call(folder / "best.ckpt", tmp_path / "model.onnx")


# What goes wrong while loading


def foreign(path: Path, location: str | None = None, description: str = "") -> None:
    """A model of someone else's; with a location its numbers are in that file."""
    tensor = helper.make_tensor("w", TensorProto.UINT8, [16], bytes(16), raw=True)
    if location is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    output = helper.make_tensor_value_info("y", TensorProto.UINT8, [16])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [output], [tensor])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.metadata_props.add(key=KEY, value=description)
    path.write_bytes(model.SerializeToString())


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as refused:
        sac_lightning.load(path, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def folder(exports: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of an export, to be harmed."""
    return shutil.copytree(exports("dense") / "model.onnx", tmp_path / "model.onnx")


def test_a_foreign_or_damaged_file_is_refused(folder: Path) -> None:
    foreign(folder / "network.onnx")
    assert "was not exported by this version" in refusal(folder)
    (folder / "network.onnx").write_bytes(b"\x08\x0anothing")
    assert "network.onnx cannot be read as ONNX" in refusal(folder)
    (folder / "network.onnx").write_bytes((folder / "encoder.onnx").read_bytes()[:5000])
    assert "network.onnx cannot be read as ONNX" in refusal(folder)


@pytest.mark.parametrize("location", ["{absolute}", "../secret", "link"])
def test_a_file_that_reaches_for_another_is_refused(location: str, folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"sixteen secret bytes")
    (folder / "link").symlink_to(secret)
    foreign(folder / "network.onnx", location.format(absolute=secret))
    assert "network.onnx cannot be read as ONNX" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"view": {"image_size": 128, "crop": None, "overlap": 0.25, "stretch": False}},
        {"view": {"image_size": 64, "crop": 0.5, "overlap": 0.25, "stretch": False}},
        {"view": {"_target_": "os.system"}},
        {"view": None},
        {"selection": None},
        {"selection": {"points": 0}},
        {"selection": {"points": -1}},
        {"selection": {"points": 1, "selection": "__import__('os')"}},
        {"thresholds": ["watershed"]},
        {"extra": 1},
        [],
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_refused(change: Any, folder: Path) -> None:
    for name in ("encoder", "decoder"):
        file = onnx.load(folder / f"{name}.onnx")
        (entry,) = [entry for entry in file.metadata_props if entry.key == KEY]
        entry.value = json.dumps({**json.loads(entry.value), **change} if isinstance(change, dict) else change)
        onnx.save(file, folder / f"{name}.onnx")
    assert "was not exported by this version" in refusal(folder)


def test_files_of_two_exports_are_refused(folder: Path, exports: Callable[[str], Path]) -> None:
    shutil.copy(exports("msa") / "model.onnx" / "decoder.onnx", folder)
    assert "belong to different exports" in refusal(folder)
    shutil.copy(folder / "encoder.onnx", folder / "decoder.onnx")
    assert "was not exported by this version" in refusal(folder)


def test_a_folder_that_is_no_export_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "decoder.onnx").unlink()
    assert "holds no decoder.onnx" in refusal(folder)
    assert "encoder.onnx is no folder" in refusal(folder / "encoder.onnx")
    assert "none.onnx is no folder" in refusal(tmp_path / "none.onnx")
    (tmp_path / "empty").mkdir()
    assert "holds no encoder.onnx" in refusal(tmp_path / "empty")


def test_settings_of_a_checkpoint_are_refused(folder: Path) -> None:
    assert "leave weights out" in refusal(folder, weights="vit_b")
    assert "set device to cpu" in refusal(folder, device="cuda")
    assert "was exported in float32" in refusal(folder, precision="bf16-mixed")


# As a person types it


@pytest.mark.slow
def test_the_command_exports_vit_t_at_its_real_size(tmp_path: Path, processes: Processes) -> None:
    overrides = ["scale=cpu", "model=sac", "prompts.points=2", "prompts.threshold=0.4", "view.crop=null"]
    torch.manual_seed(0)
    make_checkpoint(tmp_path / "best.ckpt", overrides)
    arguments = ["checkpoint=best.ckpt", "output=model.onnx", f"tolerance={TOLERANCE}"]
    answer = processes.run("sac_lightning.export", *arguments, folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "model.onnx/encoder.onnx" in answer.stdout
    assert "largest difference from torch" in answer.stdout
    assert "Warning" not in answer.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "best.ckpt",
        "decoder.onnx",
        "encoder.onnx",
        "model.onnx",
    ]
    image = run.scenes(200)[1].permute(1, 2, 0).byte().numpy()
    torchs, onnxs = (
        sac_lightning.load(tmp_path / file, precision="32-true").segment(image, [[100, 100]])
        for file in ("best.ckpt", "model.onnx")
    )
    assert np.array_equal(onnxs.mask, torchs.mask)
    assert np.abs(onnxs.probability - torchs.probability).max() < TOLERANCE


def test_an_export_says_the_size_of_the_training_and_one_of_before_does_not() -> None:
    described = Description("sac", "0" * 64, View(64, 32), None, scale=Scale(0.25, 12.0))
    assert read_description(described.text()) == described
    before = {key: value for key, value in json.loads(described.text()).items() if key != "scale"}
    assert read_description(json.dumps(before)).scale == Scale()
