"""The command prepare: what it downloads, what it writes (all or nothing), and what it prints."""

import csv
import hashlib
import os
import subprocess
import sys
import zipfile
from email.message import Message
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

import sac_lightning
from sac_lightning.core.errors import UserError
from sac_lightning.data.official import dsb2018, glas, monuseg
from sac_lightning.data.preparation import prepare, summarise_dataset

RED = np.full((4, 6, 3), (255, 0, 0), np.uint8)
COLUMNS = "name,split,modality,height,width,instances,foreground,pixels_sha256,note"


def _layout(folder: Path, *names: str) -> Path:
    """GlaS images of 4 x 6 red pixels with two glands of three pixels each."""
    labels = np.zeros((4, 6), np.uint8)
    labels[0, :3], labels[3, :3] = 1, 2
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(RED).save(folder / f"{name}.bmp")
        Image.fromarray(labels).save(folder / f"{name}_anno.bmp")
    return folder


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    package = Path(sac_lightning.__file__).parents[1]
    environment = {key: value for key, value in os.environ.items() if key != "SAC_DATA"}
    environment["PYTHONPATH"] = str(package)
    command = [sys.executable, "-m", "sac_lightning.prepare", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_images_label_maps_and_manifest_are_written(tmp_path: Path) -> None:
    prepare("glas", _layout(tmp_path / "given", "train_1", "testB_2"), tmp_path / "root")
    target = tmp_path / "root" / "glas"
    written = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert written == [
        "images/testB_2.png",
        "images/train_1.png",
        "instances/testB_2.png",
        "instances/train_1.png",
        "manifest.csv",
    ]
    np.testing.assert_array_equal(np.asarray(Image.open(target / "images" / "train_1.png")), RED)
    labels = Image.open(target / "instances" / "train_1.png")
    assert labels.mode == "I;16"
    assert np.asarray(labels)[:, 0].tolist() == [1, 0, 0, 2]
    digest = hashlib.sha256(b"\xff\x00\x00" * 24).hexdigest()
    assert (target / "manifest.csv").read_text().splitlines() == [
        COLUMNS,
        f"testB_2,test_b,histology,4,6,2,0.2500,{digest},",
        f"train_1,train,histology,4,6,2,0.2500,{digest},",
    ]
    assert list((tmp_path / "root").iterdir()) == [target], "no temporary folder stays"


def test_summary_counts_by_the_packages_split(tmp_path: Path) -> None:
    names = ("train_1", "train_2", "train_7", "testA_1", "train_99")
    rows = prepare("glas", _layout(tmp_path / "given", *names), tmp_path)
    assert summarise_dataset("glas", rows, Path("M")).splitlines() == [
        "glas: 5 images (1 no split, 1 test_a, 2 train, 1 val), 10 instances",
        "not used, because no split of this package names them: 1",
        "missing of the 165 images of the split: 161",
        "manifest: M",
    ]


def test_a_finished_data_set_is_replaced_only_on_demand(tmp_path: Path) -> None:
    prepare("glas", _layout(tmp_path / "old", "train_1"), tmp_path)
    new = _layout(tmp_path / "new", "train_2")
    (tmp_path / "glas" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match=r"glas already holds a data set: add overwrite=true to replace it"):
        prepare("glas", new, tmp_path)
    assert (tmp_path / "glas" / "images" / "train_1.png").exists()
    prepare("glas", new, tmp_path, overwrite=True)
    assert [path.name for path in (tmp_path / "glas" / "images").iterdir()] == ["train_2.png"]
    assert [path.name for path in (tmp_path / "glas" / "instances").iterdir()] == ["train_2.png"]
    assert (tmp_path / "glas" / "mine.txt").read_text() == "kept"


def test_images_without_a_manifest_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "glas" / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="add overwrite=true"):
        prepare("glas", _layout(tmp_path / "given", "train_1"), tmp_path)


def test_bad_input_leaves_nothing_behind(tmp_path: Path) -> None:
    given = _layout(tmp_path / "given", "testA_1", "train_1")
    (given / "train_1.bmp").write_bytes(b"BM")
    with pytest.raises(UserError, match=r"train_1\.bmp cannot be read"):
        prepare("glas", given, tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_bad_input_leaves_the_older_data_set_whole(tmp_path: Path) -> None:
    prepare("glas", _layout(tmp_path / "old", "train_1"), tmp_path / "root")
    before = {path: path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()}
    given = _layout(tmp_path / "given", "testA_1", "train_2")
    (given / "train_2_anno.bmp").write_bytes(b"BM")
    with pytest.raises(UserError, match=r"train_2_anno\.bmp cannot be read"):
        prepare("glas", given, tmp_path / "root", overwrite=True)
    after = {path: path.read_bytes() for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert after == before


def test_an_image_without_its_mask_stops_before_the_root_is_made(tmp_path: Path) -> None:
    given = _layout(tmp_path / "given", "train_1")
    (given / "train_1_anno.bmp").unlink()
    with pytest.raises(UserError, match=r"train_1\.bmp has no mask"):
        prepare("glas", given, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/glas cannot be written \(.*\): name another root\.$"):
        prepare("glas", _layout(tmp_path / "given", "train_1"), tmp_path / "file")


def test_a_linked_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "glas").symlink_to(tmp_path / "disk")
    prepare("glas", _layout(tmp_path / "given", "train_1"), tmp_path / "root")
    assert (tmp_path / "disk" / "manifest.csv").is_file()


def test_a_replacement_that_fails_halfway_has_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _layout(tmp_path / "given", "train_1")
    prepare("glas", given, tmp_path)

    def full(path: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(UserError, match=r"glas cannot be written \(No space left on device\)"):
        prepare("glas", given, tmp_path, overwrite=True)
    assert not (tmp_path / "glas" / "manifest.csv").exists(), "it would vouch for images that are gone"


class _Response(BytesIO):
    """What an address answers: some bytes and how many it said there would be."""

    def __init__(self, data: bytes, announced: int) -> None:
        super().__init__(data)
        self.headers = Message()
        self.headers["Content-Length"] = str(announced)


def _archive() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("stage1_train/a/images/a.png", b"what the owner has")
    return file.getvalue()


def test_dsb2018_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, asked = _archive(), []

    def answer(url: str, timeout: float) -> _Response:
        asked.append(url)
        return _Response(data, len(data))

    monkeypatch.setattr(dsb2018, "urlopen", answer)
    archive = dsb2018.obtain(tmp_path / "downloads")
    assert archive == dsb2018.obtain(tmp_path / "downloads")
    assert asked == ["https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip"]
    assert archive.read_bytes() == data


@pytest.mark.parametrize("case", ["cut", "page", "offline"])
def test_a_partial_download_is_never_used(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _archive()

    def answer(url: str, timeout: float) -> _Response:
        if case == "offline":
            raise URLError("Name or service not known")
        return _Response(data[:50], len(data)) if case == "cut" else _Response(b"<html>", 6)

    monkeypatch.setattr(dsb2018, "urlopen", answer)
    reason = {
        "cut": f"received 50 of {len(data)} bytes",
        "page": "the download is not a complete .zip",
        "offline": "Name or service not known",
    }[case]
    with pytest.raises(UserError) as raised:
        dsb2018.obtain(tmp_path / "downloads")
    archive = tmp_path / "downloads" / "stage1_train.zip"
    assert f"could not be downloaded ({reason})" in str(raised.value)
    assert f"put it at {archive}" in str(raised.value)
    assert list(archive.parent.iterdir()) == []


@pytest.mark.parametrize("module", [monuseg, glas])
def test_what_only_a_person_can_fetch_says_where_and_under_which_licence(module: object) -> None:
    with pytest.raises(UserError, match=r"downloaded by hand: .*https://\S+ .*research use only.*source=FOLDER"):
        module.obtain(Path())  # type: ignore[attr-defined]


def test_the_command_runs_from_a_foreign_folder_and_writes_to_its_data(tmp_path: Path) -> None:
    _layout(tmp_path / "Warwick QU (2016)", "train_1")
    done = _run(tmp_path, "dataset=glas", 'source="Warwick QU (2016)"')
    assert done.returncode == 0, done.stderr
    assert "glas: 1 images (1 train), 2 instances" in done.stdout
    assert f"manifest: {tmp_path / 'data' / 'glas' / 'manifest.csv'}" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Warwick QU (2016)", "data"], "no Hydra folder"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "dataset is missing: add dataset= and one of dsb2018, monuseg, glas."),
        (["dataset=cifar"], "dataset=cifar is not known: choose one of dsb2018, monuseg, glas."),
        (["dataset=glas", "source=gone"], "gone does not exist: name the folder or the .zip"),
        (["dataset=glas"], "glas has to be downloaded by hand"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_1(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = _run(tmp_path, *arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_shows_usage_keys_and_examples(tmp_path: Path) -> None:
    done = _run(tmp_path, "--help")
    assert done.returncode == 0
    for text in ("Usage:", "Examples:", "dataset", "source", "root", "overwrite", "SAC_DATA"):
        assert text in done.stdout


@pytest.mark.real_data
def test_the_real_layout_makes_a_manifest_like_the_given_one(data_root: Path, tmp_path: Path) -> None:
    prepare("monuseg", data_root / "official-layout", tmp_path)
    with (data_root / "monuseg" / "manifest.csv").open() as file:
        given = {row["name"]: row for row in csv.DictReader(file)}
    with (tmp_path / "monuseg" / "manifest.csv").open() as file:
        made = {row["name"]: row for row in csv.DictReader(file)}
    assert len(made) == 5
    assert made == {name: given[name] for name in made}
