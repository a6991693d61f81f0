"""Images in two splits are found, whether copied or resized and recompressed, and no others."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.leakage import Entry, find_shared_images, list_entries
from sac_lightning.data.preparation import check
from sac_lightning.data.scene import render_scene
from sac_lightning.data.split import load_split


def scene(seed: int) -> Image.Image:
    stain = ("fluorescence", "histology")[seed % 2]
    image, _ = render_scene(np.random.default_rng(seed), 160, 224, stain)
    return Image.fromarray(image)


def entry(folder: Path, image: Image.Image, name: str, split: str, dataset: str = "a", **saving: int) -> Entry:
    path = folder / f"{dataset}_{name}.{'jpg' if saving else 'png'}"
    image.save(path, **saving)
    return Entry(dataset, split, name, path)


def test_copies_across_splits_and_data_sets_are_found_and_nothing_else(tmp_path: Path) -> None:
    entries = [entry(tmp_path, scene(seed), f"train{seed}", "train") for seed in range(8)]
    copy = entry(tmp_path, scene(3), "copy", "test")
    smaller = entry(tmp_path, scene(4).resize((100, 71)), "smaller", "val", dataset="b", quality=60)
    larger = entry(tmp_path, scene(5).resize((448, 320)), "larger", "test", dataset="b", quality=40)
    twin = entry(tmp_path, scene(6), "twin", "train")
    fresh = [entry(tmp_path, scene(seed), f"test{seed}", "test") for seed in range(20, 28)]
    found = find_shared_images([*entries, copy, smaller, larger, twin, *fresh])
    assert {(pair.first.name, pair.second.name, pair.identical) for pair in found} == {
        ("train3", "copy", True),
        ("train4", "smaller", False),
        ("train5", "larger", False),
    }


@pytest.fixture
def glas(tmp_path: Path) -> Path:
    """A root with three images of GlaS's split, one of them in two of its parts."""
    assert {load_split("glas")[name] for name in ("train_1", "testA_1")} == {"train", "test_a"}
    folder = tmp_path / "glas"
    for part in ("images", "instances"):
        (folder / part).mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["name"])
        for name, seed in (("train_1", 1), ("train_2", 2), ("testA_1", 1), ("stray", 1)):
            scene(seed).save(folder / "images" / f"{name}.png")
            Image.new("I;16", (224, 160)).save(folder / "instances" / f"{name}.png")
            writer.writerow([name])
    return tmp_path


def test_the_check_names_both_images_and_fails_where_one_is_a_test_image(
    glas: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        check(None, glas)
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert "glas/train/train_1\nglas/test/testA_1\n    the same pixels\n" in told
    assert "3 images of glas: 1 pair is in two splits." in told
    (glas / "glas" / "images" / "testA_1.png").unlink()
    scene(9).save(glas / "glas" / "images" / "testA_1.png")
    check("glas", glas)
    assert "no image is in two splits" in capsys.readouterr().out


def test_a_folder_without_data_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no data set"):
        check(None, tmp_path)


@pytest.mark.real_data
def test_no_test_image_of_the_real_data_sets_is_in_another_split(data_root: Path) -> None:
    entries = [found for name in ("dsb2018", "monuseg", "glas") for found in list_entries(name, data_root)]
    assert len(entries) == 670 + 44 + 145
    pairs = find_shared_images(entries)
    # Two pictures of one field of DSB2018, which the drawn split has torn apart.
    assert [(pair.first.split, pair.second.split, pair.identical) for pair in pairs] == [("val", "train", False)]
