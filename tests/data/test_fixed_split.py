"""Data sets split by the package: which images are found, which are missing, and the real data sets."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data import canonical
from sac_lightning.data.canonical import data_root as root_of
from sac_lightning.data.dsb2018 import DSB2018
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.fixed_split import FixedSplit
from sac_lightning.data.glas import GlaS
from sac_lightning.data.monuseg import MoNuSeg

SPLIT = {"a": "train", "b": "train", "c": "val", "d": "test"}
GLANDS = {"a": "train", "c": "val", "x": "test_a", "y": "test_a", "z": "test_b"}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def prepare(root: Path, dataset: str, names: list[str]) -> Path:
    """A canonical data set of tiny images, each of its own grey."""
    folder = root / dataset
    for i, name in enumerate(names):
        save(folder / "images" / f"{name}.png", np.full((4, 6, 3), i, dtype=np.uint8))
        save(folder / "instances" / f"{name}.png", np.full((4, 6), 1000 + i, dtype=np.uint16))
    # The owner's own split is another one and does not count.
    lines = [f"{name},unsplit,fluorescence" for name in names]
    (folder / "manifest.csv").write_text("\n".join(["name,split,modality", *lines, ""]))
    return folder


@pytest.fixture(autouse=True)
def small_splits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits of a few images, but not for the real data."""
    if request.node.get_closest_marker("real_data") is None:
        splits: Mapping[str, dict[str, str]] = {"dsb2018": SPLIT, "glas": GLANDS}
        monkeypatch.setattr(canonical, "load_split", splits.__getitem__)


def module(kind: type[FixedSplit], root: Path | None, **settings: Any) -> FixedSplit:
    defaults: dict[str, Any] = {
        "view": View(None),
        "expert_points": ExpertPoints(),
        "seed": 0,
        "batch_size": 1,
        "workers": 0,
        "crops_per_image": 1,
        "in_memory": False,
    }
    return kind(None if root is None else str(root), **defaults | settings)


def names_of(data: FixedSplit) -> dict[str, list[str]]:
    return {part: [s.name for s in getattr(data.samples, part)] for part in ("train", "val", "test")}


def refusal(data: FixedSplit) -> str:
    with pytest.raises(UserError) as refused:
        data.read("train", "val", "test")
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


# What is found


def test_the_package_decides_who_is_in_which_split(tmp_path: Path) -> None:
    prepare(tmp_path, "dsb2018", ["d", "c", "b", "a", "spare"])
    data = module(DSB2018, tmp_path)
    assert names_of(data) == {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    image, instances = data.samples.test[0].load()
    assert (image == 0).all()
    assert (instances == 1000).all()


@pytest.mark.parametrize("ending", [".webp", ".tif", ".bmp", ".jpg"])
def test_images_may_be_of_any_kind(ending: str, tmp_path: Path) -> None:
    images = prepare(tmp_path, "dsb2018", list("abcd")) / "images"
    for path in list(images.iterdir()):
        save(images / f"{path.stem}{ending}", np.zeros((4, 6, 3), dtype=np.uint8))
        path.unlink()
    assert module(DSB2018, tmp_path).samples.train[0].load()[0].shape == (4, 6, 3)


def test_the_root_is_as_given_or_of_the_environment_or_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAC_DATA", "from/environment")
    assert root_of("given") == Path("given")
    assert root_of(None) == Path("from/environment")
    monkeypatch.setenv("SAC_DATA", "")
    assert root_of(None) == Path("data")
    monkeypatch.delenv("SAC_DATA")
    assert root_of(None) == Path("data")


def test_the_environment_finds_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, "dsb2018", list("abcd"))
    monkeypatch.setenv("SAC_DATA", str(tmp_path))
    assert names_of(module(DSB2018, None))["val"] == ["c"]


# Parts that may be absent


@pytest.mark.parametrize(
    ("there", "test"),
    [("acxyz", ["x", "y", "z"]), ("acxy", ["x", "y"]), ("acz", ["z"])],
    ids=["both", "A alone", "B alone"],
)
def test_glas_takes_the_test_parts_that_are_there(there: str, test: list[str], tmp_path: Path) -> None:
    prepare(tmp_path, "glas", list(there))
    assert names_of(module(GlaS, tmp_path)) == {"train": ["a"], "val": ["c"], "test": test}


def test_half_a_test_part_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path, "glas", list("acxz"))
    sentence = refusal(module(GlaS, tmp_path))
    assert "test_a" in sentence
    assert "y" in sentence


def test_no_test_part_at_all_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path, "glas", list("ac"))
    assert "test" in refusal(module(GlaS, tmp_path))


# What can be wrong


@pytest.mark.parametrize("missing", [["a"], ["c"], ["d"], ["a", "b"]])
def test_an_image_that_the_manifest_lacks_is_named(missing: list[str], tmp_path: Path) -> None:
    folder = prepare(tmp_path, "dsb2018", sorted(set(SPLIT) - set(missing)))
    sentence = refusal(module(DSB2018, tmp_path))
    assert str(folder / "manifest.csv") in sentence
    assert f"{len(missing)} image" in sentence
    assert f"such as {missing[0]}" in sentence


def test_a_data_set_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    sentence = refusal(module(DSB2018, tmp_path))
    assert str(tmp_path / "dsb2018") in sentence
    assert "sac_lightning.prepare dataset=dsb2018" in sentence
    assert "data.root" in sentence


def test_a_manifest_of_something_else_is_named(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "dsb2018", list("abcd"))
    (folder / "manifest.csv").write_text("id,part\na,train\n")
    assert str(folder / "manifest.csv") in refusal(module(DSB2018, tmp_path))


@pytest.mark.parametrize("kind", ["images", "instances"])
def test_a_missing_file_is_named(kind: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path, "dsb2018", list("abcd"))
    (folder / kind / "c.png").unlink()
    sentence = refusal(module(DSB2018, tmp_path))
    assert str(folder / kind) in sentence
    assert "c" in sentence.removeprefix(str(folder))
    assert "prepare" in sentence


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "dsb2018", list("abcd"))
    save(folder / "instances" / "d.png", np.zeros((6, 4), dtype=np.uint16))
    sentence = refusal(module(DSB2018, tmp_path))
    for part in (str(folder / "images" / "d.png"), str(folder / "instances" / "d.png"), "6x4", "4x6"):
        assert part in sentence


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = prepare(tmp_path, "dsb2018", list("abcd"))
    (folder / "images" / "b.png").write_bytes(b"no picture")
    assert str(folder / "images" / "b.png") in refusal(module(DSB2018, tmp_path, in_memory=True))


# The real ones


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("kind", "counts"),
    [(DSB2018, (536, 67, 67)), (MoNuSeg, (24, 6, 14)), (GlaS, (75, 10, 60))],
    ids=["dsb2018", "monuseg", "glas"],
)
def test_the_real_data_sets_are_found(
    kind: type[FixedSplit], counts: tuple[int, int, int], data_root: Path
) -> None:
    data = module(kind, data_root)
    names = names_of(data)
    assert tuple(len(members) for members in names.values()) == counts
    together = list(chain(*names.values()))
    assert len(set(together)) == len(together), "an image is in two splits"
    for part in ("train", "val", "test"):
        image, instances = getattr(data.samples, part)[0].load()
        assert image.shape == (*instances.shape, 3)
        assert instances.max() > 0
