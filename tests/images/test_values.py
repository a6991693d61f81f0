"""The numbers of a file come as they are, and the same in training as in predict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.scene import render_scene
from sac_lightning.images.open_image import open_image, read_image
from sac_lightning.images.selection import Selection
from sac_lightning.images.tone import tone_of

HE = render_scene(np.random.default_rng(1), 96, 120, "histology")[0]
GREY = render_scene(np.random.default_rng(4), 96, 120, "fluorescence")[0][:, :, 0].copy()
CAMERA = HE.astype(np.uint16) * 16 + 5
RAMP = np.arange(256) * 257
NONE = RAMP * 0
FIRE = np.stack([np.minimum(RAMP * 2, 65535), np.maximum(RAMP * 2 - 65535, 0), NONE])


def pixels(path: Path, **selection: Any) -> NDArray[Any]:
    with open_image(path, Selection(**selection)) as slide:
        return slide.read(0, slide.height)


def tiff(image: NDArray[Any], **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, image, **options)


def set_tag(path: Path, tag: str, value: int) -> None:
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[tag].overwrite(value)


def two_samples_that_say_rgb(path: Path) -> None:
    tifffile.imwrite(path, np.stack([GREY, GREY // 2], 2), photometric="minisblack", planarconfig="contig")
    set_tag(path, "PhotometricInterpretation", 2)


def one_sample_that_says_rgb(path: Path) -> None:
    tifffile.imwrite(path, GREY)
    set_tag(path, "PhotometricInterpretation", 2)


NAMES = {"axes": "CYX", "Channel": {"Name": ["Red", "Green", "Blue"]}}
PLANES = np.moveaxis(HE, 2, 0).copy()
DYES = {"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "TRITC"]}}

FILES: dict[str, tuple[Callable[[Path], object], NDArray[Any]]] = {
    "png16.png": (lambda path: path.write_bytes(imagecodecs.png_encode(CAMERA)), CAMERA),
    "png16_grey.png": (
        lambda path: path.write_bytes(imagecodecs.png_encode(CAMERA[:, :, 0].copy())),
        CAMERA[:, :, 0],
    ),
    "png16_alpha.png": (
        lambda path: path.write_bytes(
            imagecodecs.png_encode(np.dstack([CAMERA, np.full(GREY.shape, 65535, np.uint16)]))
        ),
        CAMERA,
    ),
    "jp2_16.jp2": (lambda path: path.write_bytes(imagecodecs.jpeg2k_encode(CAMERA, codecformat="jp2")), CAMERA),
    "tiff16.tif": (tiff(CAMERA, photometric="rgb"), CAMERA),
    "planar16.tif": (tiff(np.moveaxis(CAMERA, 2, 0), photometric="rgb", planarconfig="separate"), CAMERA),
    "white_is_zero.tif": (tiff(65535 - CAMERA[:, :, 0], photometric="miniswhite"), CAMERA[:, :, 0]),
    "imagej_inverts_the_screen.tif": (
        tiff(CAMERA[:, :, 0], imagej=True, photometric="miniswhite"),
        CAMERA[:, :, 0],
    ),
    "blue.tif": (tiff(GREY, photometric="palette", colormap=np.stack([NONE, NONE, RAMP])), GREY),
    "inverting.tif": (tiff(GREY, photometric="palette", colormap=np.stack([RAMP[::-1]] * 3)), GREY),
    "fire.tif": (tiff(GREY, photometric="palette", colormap=FIRE), GREY),
    "turned.tif": (tiff(HE, photometric="rgb", extratags=[(274, 3, 1, 6, True)]), HE),
    "jpeg2000.tif": (tiff(HE, photometric="rgb", compression="jpeg2000", tile=(64, 64)), HE),
    "four_bits.tif": (tiff(GREY // 16, bitspersample=4), GREY // 16 * 17),
    "float.tif": (tiff(GREY / np.float32(255)), GREY / np.float32(255)),
    "signed.tif": (tiff(GREY.astype(np.int16) - 100), GREY.astype(np.int16) - 100),
    "named_planes.ome.tif": (tiff(PLANES, photometric="minisblack", metadata=NAMES), HE),
    "bright_planes.ome.tif": (tiff(PLANES, photometric="minisblack", metadata={"axes": "CYX"}), HE),
    "bright_samples.tif": (tiff(HE, photometric="minisblack", planarconfig="contig", metadata=None), HE),
    "labelled_planes.tif": (
        tiff(PLANES, imagej=True, metadata={"axes": "CYX", "Labels": ["Red", "Green", "Blue"]}),
        HE,
    ),
    "dyes.ome.tif": (tiff(PLANES, photometric="minisblack", metadata=DYES), PLANES[0]),
    "two_samples.tif": (two_samples_that_say_rgb, GREY),
    "one_sample.tif": (one_sample_that_says_rgb, GREY),
}


@pytest.mark.parametrize("name", FILES)
def test_the_numbers_of_a_file(name: str, tmp_path: Path) -> None:
    write, expected = FILES[name]
    write(tmp_path / name)
    found = pixels(tmp_path / name)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", FILES)
def test_training_sees_what_predict_sees(name: str, tmp_path: Path) -> None:
    FILES[name][0](tmp_path / name)
    with open_image(tmp_path / name) as slide:
        seen = tone_of(slide, stretch=False).rgb(slide.read(0, slide.height))
    assert np.array_equal(read_image(tmp_path / name), seen)


@pytest.mark.parametrize("whole", [True, False])
def test_a_fourth_sample_of_which_nothing_is_said_is_alpha_if_it_looks_like_it(
    whole: bool, tmp_path: Path
) -> None:
    fourth = np.full(GREY.shape, 255, np.uint8)
    fourth[:8, 8:] = 0
    if not whole:
        fourth = GREY | 1
        fourth[:8, 8:] = 0
    image = np.dstack([HE, fourth])
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unspecified"], metadata=None)
    found = pixels(tmp_path / "a.tif")
    assert np.array_equal(found[8:], HE[8:])
    assert (found[:8, 8:] == (255 if whole else HE[:8, 8:])).all()


@pytest.mark.parametrize(
    ("name", "hue"),
    [
        ("a.gif", (0, 255, 0)),
        ("a.gif", (255, 120, 0)),
        ("a.png", (0, 255, 255)),
        ("a.png", (255, 255, 255)),
        ("a.tif", (255, 255, 255)),
    ],
)
def test_shades_of_one_colour_are_a_measurement(name: str, hue: tuple[int, ...], tmp_path: Path) -> None:
    # Every second number is missing, as in a table that was numbered anew.
    shades = np.round(np.arange(0, 256, 2)[:, None] * np.array(hue) / 255).astype(np.uint8)
    image = Image.fromarray(GREY // 2)
    image.putpalette(shades.ravel().tolist())
    image.save(tmp_path / name)
    assert np.array_equal(pixels(tmp_path / name), GREY // 2 * 2)


def test_the_colours_of_a_picture_stay_colours(tmp_path: Path) -> None:
    few = Image.fromarray(HE).quantize(256)
    few.save(tmp_path / "few.png")
    few.save(tmp_path / "few.tif")
    for name in ("few.png", "few.tif"):
        assert np.array_equal(pixels(tmp_path / name), np.array(few.convert("RGB")))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_luminance_and_chrominance_become_colours(compression: str | None, tmp_path: Path) -> None:
    Image.fromarray(HE).convert("YCbCr").save(tmp_path / "a.tif", compression=compression)
    found = pixels(tmp_path / "a.tif")
    assert np.abs(found.astype(int) - HE).mean() < 2
    assert np.array_equal(pixels(tmp_path / "a.tif", channel="green"), found[:, :, 1])


@pytest.mark.parametrize(("channel", "index"), [(2, 1), ("fitc", 1), ("TRITC", 2), ("3", 2)])
def test_a_channel_by_number_or_name(channel: int | str, index: int, tmp_path: Path) -> None:
    FILES["dyes.ome.tif"][0](tmp_path / "a.ome.tif")
    assert np.array_equal(pixels(tmp_path / "a.ome.tif", channel=channel), PLANES[index])


def test_a_channel_whose_name_is_a_number(tmp_path: Path) -> None:
    for name, names in (("waves", ["405", "488", "561"]), ("numbers", ["0", "1", "2"])):
        metadata = {"axes": "CYX", "Channel": {"Name": names}}
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", PLANES // 9, photometric="minisblack", metadata=metadata)
    assert np.array_equal(pixels(tmp_path / "waves.ome.tif", channel=488), PLANES[1] // 9)
    assert np.array_equal(pixels(tmp_path / "waves.ome.tif", channel="561"), PLANES[2] // 9)
    # What counts as a number of a channel is one.
    assert np.array_equal(pixels(tmp_path / "numbers.ome.tif", channel=1), PLANES[0] // 9)


def test_an_empty_channel_is_refused() -> None:
    with pytest.raises(UserError, match="channel is empty: give its number"):
        Selection(channel="")


def test_a_channel_of_colours_and_of_samples(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", HE, photometric="rgb")
    Image.fromarray(HE).save(tmp_path / "rgb.png")
    two_samples_that_say_rgb(tmp_path / "two.tif")
    assert np.array_equal(pixels(tmp_path / "rgb.tif", channel="green"), HE[:, :, 1])
    assert np.array_equal(pixels(tmp_path / "rgb.png", channel=3), HE[:, :, 2])
    assert np.array_equal(pixels(tmp_path / "two.tif", channel=2), GREY // 2)


@pytest.mark.parametrize("channel", [0, 4, "Cy5", -1])
def test_a_channel_that_there_is_not(channel: int | str, tmp_path: Path) -> None:
    FILES["dyes.ome.tif"][0](tmp_path / "a.ome.tif")
    with pytest.raises(UserError, match=r"channels 1 \(DAPI\), 2 \(FITC\), 3 \(TRITC\), no channel"):
        pixels(tmp_path / "a.ome.tif", channel=channel)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.complex64))
    with pytest.raises(UserError, match="complex64"):
        pixels(tmp_path / "a.tif")
