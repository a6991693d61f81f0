"""The register of models: what it says of the shipped files, and its names in place of checkpoints."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.evaluate import check as check_evaluate
from sac_lightning.model import registered
from sac_lightning.model.checkpoint import read_checkpoint
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.model.register import DEFAULT, FOLDER, REGISTER, Model
from sac_lightning.model.register_table import models
from sac_lightning.model.registered import find_checkpoint, find_recipe, require_checkpoint
from sac_lightning.model.weights import cached_path, locate
from sac_lightning.models import check
from sac_lightning.train import require_checkpoints

SHIPPED = [model for model in REGISTER.values() if model.is_shipped]


def shown(capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    """What the command prints."""
    cfg = compose_config("models", list(overrides))
    check(cfg)
    models(cfg)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights."""
    monkeypatch.setenv("SAC_WEIGHTS", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_an_entry_of_a_shipped_file_is_true_and_has_a_card(model: Model) -> None:
    content = (FOLDER / model.file).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (model.size, model.sha256)
    assert (FOLDER / model.file).with_suffix(".md").is_file()


def test_every_file_of_weights_in_the_package_has_an_entry() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".md"} == {model.file for model in SHIPPED}


def test_entries_have_all_that_there_is_to_say() -> None:
    for name, model in REGISTER.items():
        assert name == model.name
        assert all((model.purpose, model.licence, model.data, model.figures))
        assert model.sha256 or model.checksum
    assert REGISTER[DEFAULT].kind == "checkpoint"
    assert len({model.file for model in REGISTER.values()}) == len(REGISTER)


@pytest.mark.parametrize("name", [model.name for model in SHIPPED if model.kind == "checkpoint"])
def test_a_trained_model_that_ships_names_what_ships_and_no_folder_of_its_training(name: str) -> None:
    about = read_checkpoint(find_checkpoint(name))[KEY]
    base = about["base"]
    assert base is None or base["sha256"] == REGISTER[base["name"]].sha256
    assert "/" not in json.dumps(about), "a path"


def test_a_name_stands_for_its_file_and_a_path_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nuclei").mkdir()
    assert find_checkpoint("nuclei") == FOLDER / "nuclei.safetensors"
    assert find_checkpoint("./nuclei") == find_checkpoint(Path("nuclei")) == Path("nuclei")
    assert find_checkpoint("best.ckpt") == Path("best.ckpt")
    require_checkpoints(compose_config("train", ["init=nuclei", "output_dir=x"]))


@pytest.mark.parametrize("key", ["checkpoint", "init"])
def test_a_plain_sam_is_no_checkpoint(key: str) -> None:
    with pytest.raises(UserError) as error:
        require_checkpoint("patho_sam_vit_b", key)
    assert str(error.value) == (
        f"{key}=patho_sam_vit_b names a plain SAM, which has no prompt generator: train with it, by "
        "backbone=vit_b backbone.weights=patho_sam_vit_b"
    )


def test_what_is_neither_is_refused_with_the_names() -> None:
    with pytest.raises(UserError, match=r"checkpoint=nucle does not exist: .+ trained model \(nuclei"):
        require_checkpoint("nucle")
    with pytest.raises(UserError, match="checkpoint=null names no model: leave it out"):
        require_checkpoint(None)


def test_a_trained_model_is_no_sam() -> None:
    with pytest.raises(UserError, match="nuclei is a trained model and no SAM: give it as checkpoint=nuclei"):
        locate("nuclei")


def test_a_shipped_file_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "FOLDER", tmp_path)
    (tmp_path / "nuclei.safetensors").write_bytes(b"another")
    with pytest.raises(UserError, match="is not the file that belongs to this version"):
        find_checkpoint("nuclei")


def test_thresholds_are_not_written_into_the_package() -> None:
    arguments = ["checkpoint=nuclei", "instances=watershed", "tune=true", "output_dir=x"]
    with pytest.raises(
        UserError, match=r"nuclei is the package's own: copy .+nuclei\.safetensors and give the copy"
    ):
        check_evaluate(compose_config("evaluate", arguments))


def test_what_cannot_be_verified_is_not_downloaded_but_taken_from_the_cache(cache: Path) -> None:
    with pytest.raises(UserError) as error:
        locate("medsam_vit_b")
    path = cache / "medsam_vit_b.pth"
    for part in (REGISTER["medsam_vit_b"].url, f"put it at {path}", "SHA-256 is not known"):
        assert part in str(error.value)
    path.write_bytes(b"anything")
    assert locate("medsam_vit_b") == path == cached_path(REGISTER["medsam_vit_b"])


def test_the_list_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys)
    assert all(name in told for name in REGISTER)


def test_a_model_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, "name=patho_sam_vit_l")
    model = REGISTER["patho_sam_vit_l"]
    for part in (model.licence, model.data, model.figures, model.url, model.checksum, model.use):
        assert part in told
    assert "SHA-256     not known" in told


def test_what_is_shipped_is_verified_and_what_is_not_here_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    told = shown(capsys, "verify=true").splitlines()
    assert [line.split()[1] for line in told] == [
        "good" if model.is_shipped else "note" for model in REGISTER.values()
    ]


@pytest.mark.parametrize(
    ("content", "changes", "status", "sentence"),
    [
        (b"abc", {"size": 3}, "good", "by its md5"),
        (b"abd", {"size": 3}, "fault", "its md5 is"),
        (b"abcd", {"size": 3}, "fault", "4 bytes instead of 3"),
        (b"abc", {"checksum": "xxh128:00"}, "note", hashlib.sha256(b"abc").hexdigest()),
    ],
    ids=["right", "other", "longer", "unknown"],
)
def test_a_file_elsewhere_is_verified(
    content: bytes,
    changes: dict[str, Any],
    status: str,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"checksum": f"md5:{hashlib.md5(b'abc', usedforsecurity=False).hexdigest()}"}
    monkeypatch.setitem(REGISTER, "medsam_vit_b", replace(REGISTER["medsam_vit_b"], **(known | changes)))
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    cfg = compose_config("models", ["verify=true", "name=medsam_vit_b", f"file={path}"])
    if status == "fault":
        with pytest.raises(SystemExit, match="1"):
            models(cfg)
    else:
        models(cfg)
    told = capsys.readouterr().out
    assert told.split()[:2] == ["medsam_vit_b", status]
    assert str(path) in told
    assert sentence in told


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["name=medsam"], "there is no model medsam: the nearest name is medsam_vit_b, and .+ lists all$"),
        (["name=vit_bb"], "the nearest name is vit_b, and"),
        (["name=1"], "there is no model 1: the nearest name is"),
        (["verify=maybe"], "verify is maybe: choose true or false"),
        (["file=x"], "file=x is verified as one model's: add verify=true and name=NAME"),
        (["file=x", "verify=true", "name=vit_b"], "file=x does not exist"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(compose_config("models", overrides))


def test_a_start_from_a_model_implies_its_recipe_but_for_what_is_chosen() -> None:
    recipe = list(REGISTER["nuclei"].recipe)
    assert recipe
    assert find_recipe(["data=folder", "init=nuclei"]) == recipe
    assert find_recipe(["init=nuclei", "prompts=nucleus"]) == [each for each in recipe if "prompts=" not in each]
    assert find_recipe(["init=RUN/best.ckpt"]) == find_recipe(["data=folder"]) == []
