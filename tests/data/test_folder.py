"""A user's own images: pairing, splitting, and one clear sentence for every mistake in them."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.folder import Folder
from sac_lightning.data.folder_files import find_pairs

SIZE = (12, 10)
RECTANGLES = ((1, 1), (1, 6), (7, 3))  # (row, column) of three 3x3 nuclei


def label_map() -> np.ndarray:
    labels = np.zeros(SIZE, dtype=np.uint16)
    for number, (row, column) in enumerate(RECTANGLES, start=1):
        labels[row : row + 3, column : column + 3] = 100 * number
    return labels


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_folder(root: Path, names: list[str], truth: str = "masks") -> Path:
    """Images of one grey each, with label maps in ``instances`` or masks of 0 and 255 in ``masks``."""
    for i, name in enumerate(names):
        save(root / "images" / f"{name}.png", np.full((*SIZE, 3), i, dtype=np.uint8))
        pixels = label_map() if truth == "instances" else np.where(label_map() > 0, 255, 0).astype(np.uint8)
        save(root / truth / f"{name}.png", pixels)
    return root


def folder(root: Path | None, **settings: Any) -> Folder:
    defaults: dict[str, Any] = {
        "split": None,
        "val_ratio": 0.2,
        "test_ratio": 0.3,
        "split_seed": 42,
        "view": View(None),
        "expert_points": ExpertPoints(),
        "seed": 0,
        "batch_size": 1,
        "workers": 0,
        "crops_per_image": 1,
        "in_memory": False,
    }
    return Folder(root=None if root is None else str(root), **defaults | settings)


def names_of(data: Folder) -> dict[str, list[str]]:
    return {part: [s.name for s in getattr(data.samples, part)] for part in ("train", "val", "test")}


def refusal(data: Folder) -> str:
    with pytest.raises(UserError) as refused:
        _ = data.samples
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


TEN = [f"image_{i}" for i in range(10)]


# What is found


def test_label_maps_are_taken_as_they_are(tmp_path: Path) -> None:
    image, instances = folder(make_folder(tmp_path, TEN, "instances")).samples.train[0].load()
    assert image.shape == (*SIZE, 3)
    assert np.array_equal(instances, label_map())


def test_each_connected_region_of_a_mask_is_a_nucleus(tmp_path: Path) -> None:
    _, instances = folder(make_folder(tmp_path, TEN)).samples.train[0].load()
    assert instances.dtype == np.int32
    assert np.array_equal(instances > 0, label_map() > 0)
    numbers = [instances[row, column] for row, column in RECTANGLES]
    assert sorted(numbers) == [1, 2, 3]
    for number, (row, column) in zip(numbers, RECTANGLES, strict=True):
        assert (instances[row : row + 3, column : column + 3] == number).all()


def test_instances_are_preferred_to_masks(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    data = folder(make_folder(tmp_path, TEN, "instances"))
    assert data.samples.test[0].load()[1].max() == 300


def test_image_and_mask_may_end_differently(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    for name in TEN:
        image = tmp_path / "images" / f"{name}.png"
        Image.open(image).save(image.with_suffix(".TIF"))
        image.unlink()
    assert names_of(folder(tmp_path))["test"]
    assert folder(tmp_path).samples.val[0].load()[0].shape == (*SIZE, 3)


def test_every_image_meets_its_own_mask(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN, "instances")
    for i, name in enumerate(TEN):
        save(tmp_path / "instances" / f"{name}.png", np.full(SIZE, 10 + i, dtype=np.uint16))
    samples = folder(tmp_path).samples
    for sample in (*samples.train, *samples.val, *samples.test):
        image, instances = sample.load()
        assert sample.name == f"image_{image[0, 0, 0]}"
        assert instances[0, 0] == 10 + image[0, 0, 0]


def test_other_files_and_masks_without_image_do_no_harm(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    (tmp_path / "images" / "notes.txt").write_text("hello")
    (tmp_path / "images" / ".image_0.png.part").write_text("half")
    save(tmp_path / "masks" / "spare.png", np.zeros(SIZE, dtype=np.uint8))
    assert sorted(chain(*names_of(folder(tmp_path)).values())) == TEN


def test_hidden_files_of_archives_are_passed_over(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    for part in ("images", "masks"):
        (tmp_path / part / "._image_0.png").write_bytes(b"no picture")
    assert sorted(chain(*names_of(folder(tmp_path)).values())) == TEN


def test_a_letter_stored_in_two_ways_is_one(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    save(tmp_path / "images" / "bru\u0308cke.png", np.zeros((*SIZE, 3), dtype=np.uint8))
    save(tmp_path / "masks" / "br\u00fccke.png", label_map().astype(np.uint8) // 100 % 2)
    split = tmp_path / "split.csv"
    split.write_text("name,split\nimage_1,train\nimage_2,val\nbru\u0308cke,test\n")
    assert names_of(folder(tmp_path, split=split))["test"] == ["br\u00fccke"]


@pytest.mark.parametrize(
    "text", ["name;split\n{};train\n{};val\n{};test\n", "name, split\n{}, train\n{}, val\n{} , test\n"]
)
def test_a_split_by_semicolons_or_with_spaces_is_read(text: str, tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    split = tmp_path / "split.csv"
    split.write_text(text.format(*TEN))
    assert names_of(folder(tmp_path, split=split)) == {"train": TEN[:1], "val": TEN[1:2], "test": TEN[2:3]}


# Split by ratio


def test_an_ome_tiff_and_its_truth_differ_by_their_ending_alone(tmp_path: Path) -> None:
    names = ["a.ome", "b.OME", "c", "d.ome", "d"]
    for i, name in enumerate(names):
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", np.full(SIZE, i, np.uint8))
    for name in ("a", "b", "c.ome", "d.ome", "d"):
        save(tmp_path / "instances" / f"{name}.tif", label_map())
    written = tmp_path / "split.csv"
    written.write_text("name,split\na,train\nb.OME,train\nc,val\nd.ome,test\nd,test\n")
    data = folder(tmp_path, split=written)
    assert names_of(data) == {"train": ["a.ome", "b.OME"], "val": ["c"], "test": ["d.ome", "d"]}
    assert find_pairs(tmp_path)["d.ome"].truth.name == "d.ome.tif"
    assert not data.oddities
    (tmp_path / "instances" / "d.ome.tif").unlink()
    with pytest.raises(UserError, match=r"d\.ome\.tif has no partner"):
        folder(tmp_path).samples  # noqa: B018


def test_a_ratio_splits_all_images_once(tmp_path: Path) -> None:
    names = names_of(folder(make_folder(tmp_path, TEN)))
    assert {part: len(members) for part, members in names.items()} == {"train": 5, "val": 2, "test": 3}
    assert sorted(chain(*names.values())) == TEN


def test_the_split_depends_on_its_seed_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a", TEN)
    make_folder(tmp_path / "b", TEN[::-1])
    first = names_of(folder(tmp_path / "a"))
    assert names_of(folder(tmp_path / "a", seed=7, batch_size=3)) == first
    assert names_of(folder(tmp_path / "b")) == first
    assert names_of(folder(tmp_path / "a", split_seed=43)) != first


def test_each_part_gets_at_least_one_image(tmp_path: Path) -> None:
    names = names_of(folder(make_folder(tmp_path, TEN[:3]), val_ratio=0.01, test_ratio=0.0))
    assert [len(members) for members in names.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("count", "ratios"), [(2, (0.1, 0.1)), (10, (0.5, 0.5)), (10, (0.9, 0.4)), (0, (0.1, 0.1))]
)
def test_a_ratio_that_leaves_nothing_to_train_on_is_refused(
    count: int, ratios: tuple[float, float], tmp_path: Path
) -> None:
    make_folder(tmp_path, TEN[:count])
    for name in ("images", "masks"):
        (tmp_path / name).mkdir(exist_ok=True)
    sentence = refusal(folder(tmp_path, val_ratio=ratios[0], test_ratio=ratios[1]))
    assert str(tmp_path) in sentence
    assert f"{count} images" in sentence
    assert "val_ratio" in sentence, "more images are not the only remedy"


# Split by a file


def split_file(tmp_path: Path, text: str, encoding: str = "utf-8") -> str:
    path = tmp_path / "split.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_a_file_decides_and_leaves_out_what_it_does_not_name(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    split = split_file(tmp_path, "split,name\ntest,image_3\ntrain,image_1\nval,image_2\ntrain,image_9\n")
    expected = {"train": ["image_1", "image_9"], "val": ["image_2"], "test": ["image_3"]}
    assert names_of(folder(tmp_path, split=split)) == expected


def test_a_file_of_a_spreadsheet_is_read_too(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    text = "name,split\r\nimage_1,train\r\nimage_2,val\r\nimage_3,test\r\n"
    split = split_file(tmp_path, text, "utf-8-sig")
    assert names_of(folder(tmp_path, split=split))["val"] == ["image_2"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,part\nimage_1,train\n", "name,split"),
        ("", "name,split"),
        ("name,split\nimage_1,training\n", "training"),
        ("name,split\nimage_1\n", "image_1"),
        ("name,split\nimage_1.png,train\n", "image_1.png"),
        ("name,split\nimage_77,train\n", "image_77"),
        ("name,split\nimage_1,train\nimage_2,val\nimage_1,test\n", "image_1"),
    ],
    ids=["columns", "empty", "part", "no part", "ending", "unknown", "twice"],
)
def test_a_wrong_file_is_told_what_is_wrong(text: str, named: str, tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    sentence = refusal(folder(tmp_path, split=split_file(tmp_path, text)))
    assert "split.csv" in sentence
    assert named in sentence


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    split = split_file(tmp_path, "name,split\nimage_é,train\n", "latin-1")
    assert "split.csv" in refusal(folder(tmp_path, split=split))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    assert "data.split" in refusal(folder(tmp_path, split=str(tmp_path / "none.csv")))


def test_a_file_without_validation_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    split = split_file(tmp_path, "name,split\nimage_1,train\nimage_2,test\n")
    assert "val" in refusal(folder(tmp_path, split=split))


# What can be wrong with the files


def test_a_root_must_be_named() -> None:
    with pytest.raises(UserError, match=r"data\.root"):
        folder(None)


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_a_missing_folder_is_named(missing: str, tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    assert str(tmp_path / missing) in refusal(folder(tmp_path))


@pytest.mark.parametrize("truth", ["masks", "instances"])
def test_an_image_without_its_truth_is_named(truth: str, tmp_path: Path) -> None:
    make_folder(tmp_path, TEN, truth)
    (tmp_path / truth / "image_4.png").unlink()
    sentence = refusal(folder(tmp_path))
    assert str(tmp_path / "images" / "image_4.png") in sentence
    assert str(tmp_path / truth) in sentence


@pytest.mark.parametrize("where", ["images", "masks"])
def test_two_files_of_one_name_are_named(where: str, tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    save(tmp_path / where / "image_4.bmp", np.zeros(SIZE, dtype=np.uint8))
    sentence = refusal(folder(tmp_path))
    assert "image_4.png" in sentence
    assert "image_4.bmp" in sentence


def test_sizes_that_differ_are_named_with_both_files(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    for name in TEN:
        save(tmp_path / "masks" / f"{name}.png", np.eye(10, 12, dtype=np.uint8))
    data = folder(tmp_path)
    with pytest.raises(UserError) as refused:
        data.read("train")
    for part in ("images", "masks", "10x12", "12x10"):
        assert part in str(refused.value)


def test_a_mask_in_colour_is_named(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    name = folder(tmp_path).samples.val[0].name
    save(tmp_path / "masks" / f"{name}.png", np.arange(SIZE[0] * SIZE[1] * 3, dtype=np.uint8).reshape(*SIZE, 3))
    with pytest.raises(UserError, match=rf"masks.{name}\.png is in colour \(#000102, "):
        folder(tmp_path).read("val")


# Files that hold several images


def test_the_page_and_the_channel_that_are_named_are_read(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 200, (2, 2, *SIZE), dtype=np.uint8)
    stack[:, :, 0, 0], stack[:, :, 0, 1] = 0, 255  # the range that 8 bits keep
    make_folder(tmp_path, TEN[:5])
    for name in TEN[:5]:
        (tmp_path / "images" / f"{name}.png").unlink()
        axes = {"axes": "ZCYX", "Channel": {"Name": ["DAPI", "FITC"]}}
        tifffile.imwrite(tmp_path / "images" / f"{name}.ome.tif", stack, ome=True, metadata=axes)
        (tmp_path / "masks" / f"{name}.png").rename(tmp_path / "masks" / f"{name}.ome.png")
    for settings, expected in (({}, stack[0, 0]), ({"page": 2, "channel": "FITC"}, stack[1, 1])):
        image, _ = folder(tmp_path, **settings).samples.train[0].load()
        assert np.array_equal(image[:, :, 0], expected)
    with pytest.raises(UserError, match="no channel Cy5"):
        folder(tmp_path, channel="Cy5").samples.train[0].load()


def test_an_image_whose_kind_cannot_be_read_is_told(tmp_path: Path) -> None:
    make_folder(tmp_path, TEN)
    (tmp_path / "images" / "image_3.png").rename(tmp_path / "images" / "image_3.vsi")
    assert "image_3.vsi cannot be read as it is; Olympus keeps the slide" in refusal(folder(tmp_path))
    # A note beside an image is none.
    (tmp_path / "images" / "image_3.vsi").rename(tmp_path / "images" / "image_3.png")
    (tmp_path / "images" / "image_3.zvi").touch()
    assert len(names_of(folder(tmp_path))["train"]) == 5
