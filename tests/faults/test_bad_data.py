"""Files that are bad, or only look so: a table of what goes in and what comes out, in training and prediction."""

import os
import re
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.commands import run

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.folder import Folder
from sac_lightning.data.folder_files import find_pairs
from sac_lightning.data.image_file import read_instances
from sac_lightning.data.official import Source
from sac_lightning.data.scene import render_scene
from sac_lightning.images.open_image import open_image, read_image
from sac_lightning.images.tone import tone_of
from sac_lightning.slides.find_images import find_images
from sac_lightning.slides.run import predict

CHANCE = np.random.default_rng(0)
RGB = CHANCE.integers(0, 256, (40, 50, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
DEEP = render_scene(np.random.default_rng(1), 40, 50, "histology")[0][:, :, 1].astype(np.uint16) * 257
PALETTE = Image.fromarray(RGB).quantize(16)
SMOOTH = Image.new("RGB", (50, 40), (200, 60, 20)).convert("CMYK")

Write = Callable[[Path], object]


def png(path: Path) -> bytes:
    Image.fromarray(RGB).save(path, format="PNG")
    return path.read_bytes()


def bomb(path: Path) -> None:
    """A PNG of a few bytes whose header says 50,000 x 50,000."""
    content = bytearray(png(path))
    content[16:24] = (50_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


def tiff_bomb(path: Path) -> None:
    tifffile.imwrite(path, GREY, compression="zlib", rowsperstrip=40)
    with tifffile.TiffFile(path, mode="r+") as file:
        tags = file.pages.first.tags
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tags[tag].overwrite(50_000)


def with_infinity(path: Path) -> None:
    image = GREY.astype(np.float32)
    image[3, 4] = np.inf
    tifffile.imwrite(path, image)


CLAIMS = "claims 2,500,000,000 bytes of pixels in a file of"
CANNOT = "cannot be read as an image"
# File in, sentence out, of training and of prediction.
BAD: dict[str, tuple[Write, str, str]] = {
    "truncated.png": (lambda path: path.write_bytes(png(path)[:900]), CANNOT, CANNOT),
    "empty.png": (lambda path: path.write_bytes(b""), CANNOT, CANNOT),
    "nothing.tif": (lambda path: path.write_bytes(b""), CANNOT, CANNOT),
    "text.jpg": (lambda path: path.write_text("name,split\n"), CANNOT, CANNOT),
    "header.png": (bomb, f"{CANNOT} .*exceeds limit", f"{CANNOT} .*exceeds limit"),
    "claim.tif": (tiff_bomb, CLAIMS, CLAIMS),
    "infinity.tif": (with_infinity, "infinite or NaN: save it", "infinite or NaN: save it"),
    "loop.png": (lambda path: path.symlink_to(path), CANNOT, CANNOT),
    "nowhere.png": (lambda path: path.symlink_to(path.with_name("none")), CANNOT, CANNOT),
    "folder.png": (lambda path: path.mkdir(), CANNOT, CANNOT),
}


def in_eight_bits(image: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16 bits of bright field in 8, as scikit-image does it."""
    eight: NDArray[np.uint8] = np.round(skimage.util.img_as_float(image) * 255).astype(np.uint8)
    return np.repeat(eight[:, :, None], 3, axis=2)


# What is legal, and what Pillow or scikit-image make of it.
GOOD: dict[str, tuple[Write, NDArray[np.uint8]]] = {
    "cmyk.jpg": (lambda path: SMOOTH.save(path, quality=100), np.array(SMOOTH.convert("RGB"))),
    "deep.png": (Image.fromarray(DEEP).save, in_eight_bits(DEEP)),
    "palette.png": (PALETTE.save, np.array(PALETTE.convert("RGB"))),
    "alpha.png": (Image.fromarray(np.dstack([RGB, GREY | 1])).save, RGB),
    "png_in_truth.jpg": (lambda path: Image.fromarray(RGB).save(path, format="PNG"), RGB),
    "tiff_in_truth.png": (lambda path: tifffile.imwrite(path, RGB, photometric="rgb"), RGB),
    "one_pixel.png": (Image.fromarray(RGB[:1, :1]).save, RGB[:1, :1]),
    "black.png": (Image.fromarray(RGB * 0).save, RGB * 0),
}


def predicted_pixels(path: Path) -> NDArray[np.uint8]:
    with open_image(path) as slide:
        return tone_of(slide, stretch=False).rgb(slide.read(0, slide.height))


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no image of more than 200 megapixels take memory."""
    new = Image.core.new

    def checked(mode: str, size: tuple[int, int]) -> Any:
        assert size[0] * size[1] < 2e8, "memory was taken for a claim"
        return new(mode, size)

    monkeypatch.setattr(Image.core, "new", checked)


@pytest.mark.usefixtures("memory_for")
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_a_sentence(name: str, tmp_path: Path) -> None:
    write, *sentences = BAD[name]
    write(tmp_path / name)
    for read, sentence in zip((read_image, predicted_pixels), sentences, strict=True):
        with pytest.raises(UserError, match=sentence) as refused:
            segment_or(read, tmp_path / name)
        assert name in str(refused.value)
        assert "\n" not in str(refused.value)


def segment_or(read: Callable[[Path], object], path: Path) -> object:
    """Reads as the commands do: those of prediction name the file where the reader did not."""
    try:
        return read(path)
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from error


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_only_looks_bad_is_read_right(name: str, tmp_path: Path) -> None:
    write, expected = GOOD[name]
    write(tmp_path / name)
    tolerance = 2 if name.startswith("cmyk") else 0
    for read in (read_image, predicted_pixels):
        found = read(tmp_path / name)
        assert found.dtype == np.uint8
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= tolerance, read


def image_folder(root: Path, labels: NDArray[Any], image: NDArray[np.uint8] = RGB) -> Folder:
    for i in range(3):
        for kind, pixels in (("images", image), ("instances", labels)):
            (root / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(root / kind / f"{i}.tif", pixels)
    return folder(root)


def folder(root: Path) -> Folder:
    return Folder(
        root=str(root), split=None, val_ratio=0.1, test_ratio=0.1, split_seed=0, view=View(32, crop=32),
        expert_points=ExpertPoints(2, 2), seed=0, batch_size=1, workers=0, crops_per_image=2, in_memory=False,
    )  # fmt: skip


GAPS = np.zeros((40, 50), np.uint16)
GAPS[2:9, 3:9], GAPS[20:30, 20:30], GAPS[20:30, 40:44] = 3, 900, 65_535


@pytest.mark.parametrize(
    "labels",
    [GAPS, GAPS * 0 + 7, GAPS.astype(np.float32)],
    ids=["gaps", "all nucleus", "floating"],
)
def test_label_maps_that_are_legal_train(labels: NDArray[Any], tmp_path: Path) -> None:
    data = image_folder(tmp_path, labels)
    data.read("train", "val", "test")
    (batch, _) = list(data.train_dataloader())
    assert set(batch["masks"].unique().tolist()) <= {0.0, 1.0}
    image = data.whole_images("val")[0, 0]
    assert np.array_equal(image.instances.numpy(), labels.astype(int))


def test_an_image_of_one_pixel_trains_too(tmp_path: Path) -> None:
    data = image_folder(tmp_path, GAPS[5:6, 5:6], RGB[:1, :1])
    for batch in data.train_dataloader():
        assert batch["images"].shape == (1, 3, 32, 32)
        assert batch["masks"].all()


@pytest.mark.parametrize("number", [np.nan, np.inf, 0.5, -1])
def test_labels_that_are_none_are_a_sentence(number: float, tmp_path: Path) -> None:
    labels = GAPS.astype(np.float32)
    labels[0, 0] = number
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(UserError, match=r"labels\.tif .*: save"),
    ):
        read_instances(tmp_path / "labels.tif")


@pytest.mark.parametrize("kind", ["images", "instances"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_stops_a_training_before_it_begins(kind: str, name: str, tmp_path: Path) -> None:
    data = image_folder(tmp_path, GAPS)
    (tmp_path / kind / "0.tif").unlink()
    BAD[name][0](tmp_path / kind / f"0{Path(name).suffix}")
    with pytest.raises(UserError, match=f"{kind}/0"):
        data.read("train", "val", "test")


NO_TEXT = os.fsdecode(b"caf\xe9.png")


def test_names_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    image_folder(tmp_path, GAPS)
    for kind in ("images", "instances"):
        (tmp_path / kind / "0.tif").rename(tmp_path / kind / NO_TEXT)
    sentence = r"the file name caf\\xe9\.png is not in UTF-8: rename the file"
    found = find_images(str(tmp_path / "images"))
    assert (len(found.images), len(found.refused)) == (2, 1)
    assert re.search(sentence, found.refused[0])
    looks: list[Callable[[], object]] = [
        lambda: folder(tmp_path).samples,
        lambda: find_images(str(tmp_path / "images" / NO_TEXT)),
        lambda: Source(tmp_path),
    ]
    for look in looks:
        with pytest.raises(UserError, match=sentence):
            look()


def test_duplicate_stems_are_a_sentence(tmp_path: Path) -> None:
    image_folder(tmp_path, GAPS)
    png(tmp_path / "images" / "0.png")
    sentence = r"0\.(png|tif) and .*0\.(png|tif) .*: rename one of them"
    with pytest.raises(UserError, match=sentence):
        folder(tmp_path).samples  # noqa: B018
    found = find_images(str(tmp_path / "images"))
    assert [path.name for path in found.images] == ["1.tif", "2.tif"]
    assert re.search(sentence, found.refused[0])


def test_folders_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    image_folder(tmp_path, GAPS)
    (tmp_path / "images" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(find_pairs(tmp_path)) == 3
    assert len(find_images(str(tmp_path / "images")).images) == 3
    assert len(Source(tmp_path).files) == 6
    assert "would write the same result" in find_images(str(tmp_path / "**" / "*.tif")).refused[0]


def test_bad_files_among_good_ones_are_told_and_the_good_ones_are_segmented(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    run(tiny, tmp_path / "run", "trainer.max_epochs=1")
    images, output = tmp_path / "images", tmp_path / "output"
    images.mkdir()
    for name, (write, *_) in (BAD | GOOD).items():
        write(images / name)
    cfg = compose_config(
        "predict", [f"checkpoint={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}", f"images={images}"]
    )
    cfg.output = str(output)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        predict(cfg)
    assert ended.value.code == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    # Links to nothing are told, too; a folder is passed over.
    files = [name for name in BAD if not (images / name).is_dir()]
    assert len(told) == len(files)
    for name in files:
        assert sum(name in line for line in told) == 1
    assert {path.stem for path in (output / "labels").iterdir()} == {Path(name).stem for name in GOOD}
