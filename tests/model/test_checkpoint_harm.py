"""Nothing in a checkpoint is ever run, and any other file raises an error of one sentence."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.commands import settings_of

from sac_lightning.core.errors import UserError
from sac_lightning.model.checkpoint import load_checkpoint
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.model.trust import packaged_targets


@pytest.fixture
def settings_file(tiny: list[str], tmp_path: Path) -> Path:
    """A checkpoint of SAC without its tensors, which nobody should come to miss."""
    settings = settings_of(*tiny)
    torch.save({"state_dict": {}, KEY: {"settings": settings, "base": None}}, tmp_path / "sac.ckpt")
    return tmp_path / "sac.ckpt"


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the settings in a checkpoint file by hand."""
    content = torch.load(path, weights_only=True)
    change(content[KEY]["settings"])
    torch.save(content, path)


def refusal(path: Path) -> str:
    """The one sentence that loading ends with."""
    with pytest.raises(UserError) as refused:
        load_checkpoint(path)
    sentence = str(refused.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


# Files that mean harm


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    settings_file: Path, harm: Callable[[Path], object], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    content = torch.load(settings_file, weights_only=True)
    torch.save(content | {"hyper_parameters": harm(trace)}, tmp_path / "zip.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(content[KEY] | {"x": harm(trace)}))
    for name in ("zip.ckpt", "raw.ckpt"):
        assert "would run code" in refusal(tmp_path / name)
    assert not trace.exists()
    pickle.loads(pickle.dumps(harm(trace)))
    assert trace.exists(), "the trap of this test is no trap"


# Each puts a call somewhere into the settings; os.mkdir is harmless, and nobody blocks it for us.
PLACES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "as the model": lambda settings, call: settings.update(model=settings["model"] | call),
    "as the backbone": lambda settings, call: settings["model"].update(backbone=call),
    "as a number": lambda settings, call: settings["model"].update(rank=call),
    "in a list": lambda settings, call: settings["model"].update(blocks=[call]),
    "in a tuple": lambda settings, call: settings["model"].update(blocks=(call,)),
    "deep down": lambda settings, call: settings["model"]["prompts"]["generator"].update(
        depth={"a": [{"b": ({"c": [call]},)}]}
    ),
    "as an interpolation": lambda settings, call: settings["model"].update(
        rank=f"${{oc.create:{{_target_: {call['_target_']}, _args_: ['{call['_args_'][0]}']}}}}"
    ),
    "in the view": lambda settings, call: settings["view"].update(call),
    "as the data": lambda settings, call: settings.update(data=call),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_call_hidden_in_the_settings_is_refused_and_not_made(
    place: Callable[[dict[str, Any], dict[str, Any]], object], settings_file: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    call = {"_target_": "os.mkdir", "_args_": [str(trace)]}
    rewrite(settings_file, lambda settings: place(settings, call))
    assert "refused" in refusal(settings_file)
    assert not trace.exists()


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "torch.hub.load",
        "hydra.utils.instantiate",
        "lightning.Trainer",
        "sac_lightning.runs.record.write_record",
        "sac_lightning.model.segment_any_cell.SAC",
        "sac_lightning.model.methods.sac ",
        "",
        None,
        7,
        ["os.system"],
        {"_target_": "os.system"},
    ],
)
def test_only_what_the_packaged_configuration_names_may_be_called(target: Any, settings_file: Path) -> None:
    hidden = {"_target_": target, "_partial_": True}
    rewrite(settings_file, lambda settings: settings["model"].update(alpha=hidden))
    assert "refused" in refusal(settings_file)


def test_the_environment_does_not_leak_into_settings(settings_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "do-not-tell")
    rewrite(
        settings_file,
        lambda settings: settings["model"]["backbone"].update(name="${oc.env:SECRET}"),
    )
    assert "do-not-tell" not in refusal(settings_file)


def test_the_packaged_configuration_names_only_this_package() -> None:
    assert {"sac_lightning.model.sac", "sac_lightning.data.Folder"} <= packaged_targets()
    foreign = [target for target in packaged_targets() if not target.startswith("sac_lightning.")]
    assert not foreign


# Files that are something else


def other_files() -> dict[str, bytes]:
    def torch_file(content: object) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    whole = torch_file({"state_dict": {"a": torch.zeros(100)}})
    return {
        "another project's checkpoint": whole,
        "half a file": whole[: len(whole) // 2],
        "a tensor": torch_file(torch.zeros(3)),
        "a list": torch_file([1, 2]),
        "a text": b"name,split\n",
        "nothing": b"",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
    }


@pytest.mark.parametrize("content", other_files().values(), ids=other_files())
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    assert "give" in refusal(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.ckpt")
    assert "does not exist" in refusal(tmp_path), "a folder is no checkpoint either"
