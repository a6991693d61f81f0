"""What the truths of a data set say together: refused where it is doubtful, listed where it is odd."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sac_lightning.core.errors import UserError
from sac_lightning.data import truth_facts
from sac_lightning.data.folder import Folder
from sac_lightning.data.image_file import read_instances

ROWS, COLUMNS = np.mgrid[:40, :44]


def nuclei(image: int) -> NDArray[np.int32]:
    """A label map of four discs, which lie elsewhere in each image."""
    labels = np.zeros((40, 44), np.int32)
    for number, (y, x) in enumerate(((9, 9), (9, 30), (29, 12), (28, 32)), start=1):
        labels[(ROWS - y - image % 3) ** 2 + (COLUMNS - x + image % 3) ** 2 < 30] = number
    return labels


Truth = Callable[[int], NDArray[Any]]


def make_folder(root: Path, truth: Truth, kind: str = "masks", images: int = 10, **settings: Any) -> Folder:
    """A folder of TIFF files, in which the labels and masks stand as they are."""
    for part in ("images", kind):
        (root / part).mkdir(parents=True, exist_ok=True)
    for i in range(images):
        Image.fromarray(np.full((40, 44, 3), i * 8, np.uint8)).save(root / "images" / f"{i}.png")
        tifffile.imwrite(root / kind / f"{i}.tif", truth(i))
    return Folder(root, **settings)


def mask(i: int) -> NDArray[np.uint8]:
    return (nuclei(i) > 0).astype(np.uint8) * 255


def half(i: int, first: Truth, second: Truth) -> NDArray[Any]:
    return first(i) if i % 2 else second(i)


def split_nucleus(i: int) -> NDArray[np.uint8]:
    """A label map of one nucleus, which in the first image is cut in two."""
    labels = (nuclei(i) == 1).astype(np.uint8)
    labels[9] *= i > 0
    return labels


def tissue(i: int) -> NDArray[np.uint8]:
    """A mask of which most is nucleus, in two regions that touch the border."""
    return ((COLUMNS - 22 - i) % 40 > 3).astype(np.uint8)


def crowded(i: int) -> NDArray[np.uint8]:
    """A label map of nuclei side by side, whose background is the number 7 and nowhere the most."""
    labels = (1 + ROWS // 10 + 10 * (COLUMNS // 11)).astype(np.uint8)
    labels[20 + i % 3] = 7
    return labels


CERTAIN: dict[str, tuple[str, Truth, int]] = {
    "masks": ("masks", mask, 4),
    "0 and 1 beside 0 and 255": ("masks", lambda i: half(i, mask, lambda i: mask(i) // 255), 4),
    "nothing in some": ("masks", lambda i: mask(i) * (i < 4), 4),
    "all in some": ("masks", lambda i: np.maximum(mask(i), 255 * (i > 6)).astype(np.uint8), 4),
    "label maps": ("instances", nuclei, 4),
    "large": ("instances", lambda i: nuclei(i).astype(np.uint32) * 1_000_000_000, 4),
    "floating": ("instances", lambda i: nuclei(i).astype(np.float32), 4),
    "white is 0": ("instances", lambda i: nuclei(i).astype(np.uint8), 4),
    "one nucleus each": ("instances", lambda i: (nuclei(i) == 1).astype(np.uint8) * 255, 1),
    "one of a hundred in two pieces": ("instances", split_nucleus, 1),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_a_certain_data_set_is_opened(name: str, tmp_path: Path) -> None:
    kind, truth, count = CERTAIN[name]
    data = make_folder(tmp_path, truth, kind, images=12)
    loaded = {sample.name: sample.load()[1] for part in ("train", "val", "test") for sample in parts(data, part)}
    assert len(np.unique(loaded["1"])) == count + 1


def parts(data: Folder, part: str) -> Any:
    return getattr(data.samples, part)


# Kind, truth, the sentence, and the options that settle it.
DOUBTFUL: dict[str, tuple[str, Truth, str, tuple[dict[str, Any], ...]]] = {
    "inverted": (
        "masks",
        lambda i: 255 - mask(i),
        r"in 10 of 10 masks in .+masks, .+: say data\.inverted=true, or false",
        ({"inverted": True}, {"inverted": False}, {"mask_values": 0}),
    ),
    "most are inverted": (
        "masks",
        lambda i: mask(i) if i < 3 else 255 - mask(i),
        r"in 7 of 10 masks .+data\.inverted",
        ({"inverted": False},),
    ),
    "a few are inverted": (
        "masks",
        lambda i: 255 - mask(i) if i in (3, 6) else mask(i),
        r"2 of 10 masks in .+, such as [36]\.tif, look inverted, but others, such as \d\.tif, do not: .+=false",
        ({"inverted": False}, {"mask_values": 255}),
    ),
    "inverted, but for a few": (
        "masks",
        lambda i: mask(i) if i in (3, 6) else 255 - mask(i),
        r"2 of 10 masks in .+ do not: save them alike$",
        (),
    ),
    "dense": ("masks", tissue, r"look inverted, .+or say data\.inverted=false", ({"inverted": False},)),
    "a class for each image": (
        "masks",
        lambda i: mask(i) // 255 * (i % 3 + 1),
        r"different values beside 0 \(1, 2, 3\), one in each, .+data\.mask_values=\[1,2,3\]",
        ({"mask_values": [1, 2, 3]},),
    ),
    "no nucleus": ("masks", lambda i: mask(i) * 0, r"no truth in .+masks holds a nucleus", ()),
    "no label": ("instances", lambda i: nuclei(i) * 0, r"no truth in .+instances holds a nucleus", ()),
    "numbered background": (
        "instances",
        crowded,
        r"no label map in .+instances has a pixel of 0, .+: save the background as 0",
        (),
    ),
    "all is nucleus": ("masks", lambda i: mask(i) * 0 + 1, r"in 10 of 10 masks", ({"inverted": False},)),
    "inverted greys": (
        "masks",
        lambda i: (255 - mask(i)) // 3 * 2 + 20,
        r"the values 20 and 190 and no 0",
        ({"threshold": 128, "inverted": True}, {"mask_values": 20}),
    ),
    "masks in instances": (
        "instances",
        mask,
        r"in 10 of 10 label maps in .+, a number stands for several separate regions, .+: rename instances/ to",
        (),
    ),
    "masks with one nucleus in most": (
        "instances",
        lambda i: mask(i) if i in (1, 2) else mask(i) * (nuclei(i) == 1),
        r"in 2 of 10 label maps in .+ rename instances/ to masks/",
        (),
    ),
    "classes in instances": ("instances", lambda i: nuclei(i) % 2 + (nuclei(i) > 0), "rename instances/", ()),
    "label maps resized": (
        "instances",
        lambda i: np.array(Image.fromarray(nuclei(i).astype(np.uint8)).resize((44, 40), 2, (0.5, 0.3, 42, 38))),
        "do it again without interpolation",
        (),
    ),
    "background is 1": (
        "instances",
        lambda i: nuclei(i) + 1,
        r"in 10 of 10 label maps in .+, one number covers most of the image and of its border.+: save it as 0",
        (),
    ),
    "a value that is nowhere": (
        "masks",
        mask,
        r"data\.mask_values names 2, which no mask in .+ holds: choose of 0, 255",
        ({"mask_values": 255},),
    ),
    "a threshold beyond": ("masks", lambda i: mask(i) // 2 - mask(i) // 5 * (i > 4), "below|no mask", ()),
}
GIVEN: dict[str, dict[str, Any]] = {
    "inverted, but for a few": {"inverted": True},
    "a value that is nowhere": {"mask_values": [255, 2]},
    "a threshold beyond": {"threshold": 200},
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_data_set_is_a_sentence(name: str, tmp_path: Path) -> None:
    kind, truth, sentence, options = DOUBTFUL[name]
    data = make_folder(tmp_path, truth, kind, **GIVEN.get(name, {}))
    with pytest.raises(UserError, match=sentence) as refused:
        _ = data.samples
    assert "\n" not in str(refused.value)
    for settled in options:
        assert Folder(tmp_path, **settled).samples.train[0].load()[1].any()


def test_options_for_masks_are_refused_beside_label_maps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"are for masks/, but .+instances holds label maps"):
        _ = make_folder(tmp_path, nuclei, "instances", threshold=1).samples


def test_the_options_are_settings_of_the_data_set(tmp_path: Path) -> None:
    data = make_folder(tmp_path, mask, mask_values=[255])
    assert data.settings is not None
    assert {key: data.settings[key] for key in ("mask_values", "threshold", "inverted")} == {
        "mask_values": [255],
        "threshold": None,
        "inverted": None,
    }
    assert Folder(tmp_path).source_settings()["mask_values"] is None


def test_what_is_odd_is_listed(tmp_path: Path) -> None:
    def truth(i: int) -> NDArray[np.uint8]:
        return mask(i) * 0 + 255 * (i == 3) if i in (3, 5) else 255 - mask(i) if i == 7 else mask(i)

    split = tmp_path / "split.csv"
    split.write_text(
        "name,split\n" + "".join(f"{i},train\n" for i in (*range(6), *range(10, 30))) + "6,val\n7,test\n"
    )
    data = make_folder(tmp_path, truth, images=30, split=split)
    tifffile.imwrite(tmp_path / "masks" / "spare.tif", mask(0))
    _ = data.samples
    assert [str(oddity) for oddity in data.oddities] == [
        "1 mask without an image",
        "2 images left out by the split",
        "1 truth without a nucleus",
        "1 truth with nuclei on more than 90% of the image",
        "1 mask as if inverted",
    ]
    assert [sample.name for oddity in data.oddities for sample in oddity.samples] == [
        "spare", "8", "9", "5", "3", "7"
    ]  # fmt: skip
    black, instances = data.oddities[0].samples[0].load()
    assert not black.any()
    assert instances.max() == 4


def test_numbers_in_pieces_are_listed(tmp_path: Path) -> None:
    data = make_folder(tmp_path, lambda i: nuclei(i) % 4 if i == 1 else nuclei(i), "instances")
    tifffile.imwrite(tmp_path / "instances" / "2.tif", np.minimum(nuclei(2), 3))
    _ = data.samples
    assert [str(oddity) for oddity in data.oddities] == ["1 label map with a number for several separate regions"]


def test_a_file_is_measured_again_only_if_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    measure = truth_facts._measure

    def noting(path: Path, *rest: Any) -> Any:
        measured.append(path.name)
        return measure(path, *rest)

    monkeypatch.setattr(truth_facts, "_measure", noting)
    _ = make_folder(tmp_path, mask).samples
    assert len(measured) == 10
    _ = Folder(tmp_path).samples
    assert len(measured) == 10
    tifffile.imwrite(tmp_path / "masks" / "4.tif", mask(0) * 0)
    os.utime(tmp_path / "masks" / "4.tif", (1, 1))
    _ = Folder(tmp_path).samples
    assert measured[10:] == ["4.tif"]


def test_a_palette_of_labels_counts_by_its_index(tmp_path: Path) -> None:
    data = make_folder(tmp_path, nuclei, "instances")
    for i in range(10):
        (tmp_path / "instances" / f"{i}.tif").unlink()
        image = Image.frombytes("P", (44, 40), nuclei(i).astype(np.uint8).tobytes())
        image.putpalette([200, 0, 0, 0, 9, 0, 0, 9, 0, 0, 200, 0, 9, 9, 9])
        image.save(tmp_path / "instances" / f"{i}.png")
    assert np.array_equal(data.samples.train[0].load()[1], nuclei(int(data.samples.train[0].name)))


def test_a_palette_of_labels_whose_background_is_another_number_is_refused(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [250, 0, 0], [0, 250, 0], [0, 0, 250], [90, 90, 0]], np.uint8)
    numbered = Image.fromarray(colours[nuclei(0)]).quantize(5)
    assert numbered.getpixel((0, 0)) != 0
    numbered.save(tmp_path / "labels.png")
    with pytest.raises(UserError, match=r"background is not number 0 .+: save whole numbers with 0"):
        read_instances(tmp_path / "labels.png")


def test_an_image_to_be_shown_otherwise_than_its_mask_is_refused(tmp_path: Path) -> None:
    data = make_folder(tmp_path, mask)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    Image.fromarray(np.zeros((40, 44, 3), np.uint8)).save(tmp_path / "images" / "4.png", exif=exif)
    with pytest.raises(UserError, match=r"4\.png is to be shown in orientation 3 .+4\.tif in 1: save both"):
        _ = data.samples


def test_an_image_that_was_turned_is_named_so(tmp_path: Path) -> None:
    data = make_folder(tmp_path, lambda i: mask(i).T)
    with pytest.raises(
        UserError, match=r"is 44x40 pixels but .+ is, turned by 90 degrees, 40x44: make the two agree"
    ):
        data.samples.train[0].load()
