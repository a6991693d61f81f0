"""Channels that are one picture in colour are read as such, however they are named; dyes stay channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sac_lightning.data.scene import render_scene
from sac_lightning.images.colour_channels import find_colours, looks_bright
from sac_lightning.images.open_image import open_image

HE = render_scene(np.random.default_rng(1), 96, 120, "histology")[0]
PLANES = np.moveaxis(HE, 2, 0).copy()
CELLS = np.stack(
    [render_scene(np.random.default_rng(seed), 96, 120, "fluorescence")[0][:, :, 0] for seed in range(3)]
)
OPAQUE = np.full((1, 96, 120), 255, np.uint8)
# Signed numbers of 32 bits: red, green, blue, alpha.
SHOWN = [-16776961, 16711935, 65535]
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def read(
    path: Path, planes: NDArray[Any], names: list[str] | None, shown: list[int] | None = None
) -> NDArray[Any]:
    channel = {**({"Name": names} if names else {}), **({"Color": shown} if shown else {})}
    metadata = {"axes": "CYX", **({"Channel": channel} if channel else {})}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
    with open_image(path) as slide:
        pixels: NDArray[Any] = slide.read(0, slide.height)
        return pixels


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["Channel 0", "Channel 1", "Channel 2"], None),
        (["Ch 1", "Ch 2", "Ch 3"], SHOWN),
        (["C1", "C2", "C3"], None),
        (["0", "1", "2"], SHOWN),
        (["Channel:0:0", "Channel:0:1", "Channel:0:2"], None),
        (["H&E-1", "H&E-2", "H&E-3"], None),
        (["Red channel", "Green channel", "Blue channel"], None),
        (["RedChannel", "GreenChannel", "BlueChannel"], None),
        (["Brightfield Red", "Brightfield Green", "Brightfield Blue"], None),
        (["BF_R", "BF_G", "BF_B"], None),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_planes_of_one_picture(names: list[str], shown: list[int] | None, deep: bool, tmp_path: Path) -> None:
    planes = PLANES.astype(np.uint16) * 16 if deep else PLANES
    found = read(tmp_path / "a.ome.tif", planes, names, shown)
    assert np.array_equal(found, np.moveaxis(planes, 0, 2))


def test_planes_come_in_the_order_of_colours(tmp_path: Path) -> None:
    turned = PLANES[::-1].copy()
    assert np.array_equal(read(tmp_path / "a.ome.tif", turned, ["Blue", "Green", "Red"]), HE)
    assert np.array_equal(read(tmp_path / "b.ome.tif", turned, ["C0", "C1", "C2"], SHOWN[::-1]), HE)


@pytest.mark.parametrize("names", [["Red", "Green", "Blue", "Alpha"], ["R", "G", "B", "A"], None])
def test_a_fourth_plane_is_alpha(names: list[str] | None, tmp_path: Path) -> None:
    alpha = OPAQUE.copy()
    alpha[0, :8] = 0
    found = read(tmp_path / "a.ome.tif", np.concatenate([PLANES, alpha]), names)
    assert np.array_equal(found[8:], HE[8:])
    assert (found[:8] == 255).all()


def test_a_fourth_plane_that_is_no_alpha_leaves_channels(tmp_path: Path) -> None:
    for name, names in (("a", ["Red", "Green", "Blue", "DAPI"]), ("b", None)):
        found = read(tmp_path / f"{name}.ome.tif", np.concatenate([PLANES, CELLS[:1]]), names)
        assert np.array_equal(found, PLANES[0])


def test_a_stack_that_imagej_made_of_colours(tmp_path: Path) -> None:
    labels = ["Red", "Green", "Blue"]
    tifffile.imwrite(tmp_path / "a.tif", PLANES, imagej=True, metadata={"axes": "ZYX", "Labels": labels})
    with open_image(tmp_path / "a.tif") as slide:
        assert np.array_equal(slide.read(0, 96), HE)
        assert slide.note == ""


def test_a_composite_of_imagej_comes_in_the_order_of_its_tables(tmp_path: Path) -> None:
    tables = [np.zeros((3, 256), np.uint8) for _ in range(3)]
    for index, table in enumerate(tables):
        table[2 - index] = np.arange(256)
    turned = PLANES[::-1].copy()
    metadata = {"axes": "CYX", "mode": "composite", "LUTs": tables}
    tifffile.imwrite(tmp_path / "a.tif", turned, imagej=True, metadata=metadata)
    with open_image(tmp_path / "a.tif") as slide:
        assert np.array_equal(slide.read(0, 96), HE)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["Channel 0", "Channel 1", "Channel 2"], SHOWN),
        (["TRITC", "FITC", "DAPI"], SHOWN),
        (["Texas Red", "SYTOX Green", "Pacific Blue"], SHOWN),
        (["SYTO Red", "SYTO Green", "SYTO Blue"], None),
        (["561", "488", "405"], SHOWN),
        (None, None),
        (None, SHOWN),
    ],
)
@pytest.mark.parametrize("ground", [0, 1000])
def test_dyes_stay_channels(names: list[str] | None, shown: list[int] | None, ground: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 2, CELLS.shape)
    planes = np.clip(CELLS / 255 * 60 + ground + noise, 0, None).astype(np.uint16) if ground else CELLS
    assert np.array_equal(read(tmp_path / "a.ome.tif", planes, names, shown), planes[0])


@pytest.mark.parametrize(
    "names", [["DAPI", "FITC", "TRITC"], ["488", "561", "640"], ["Red", "Green", "Far red"], ["Red", "", ""]]
)
def test_names_of_something_else_are_believed_of_a_bright_image(names: list[str]) -> None:
    assert find_colours(names, (RED, GREEN, BLUE), lambda channels: HE.reshape(-1, 3)) is None


def test_tables_of_a_viewer_are_no_names() -> None:
    tables = ["LUT Red", "LUT Green", "LUT Blue"]
    dark = CELLS.reshape(3, -1).T
    assert find_colours(tables, (RED, GREEN, BLUE), lambda channels: dark) is None
    assert find_colours(tables, (RED, GREEN, BLUE), lambda channels: HE.reshape(-1, 3)) == (0, 1, 2)
    assert find_colours(["", "", ""], (RED, GREEN, GREY), lambda channels: HE.reshape(-1, 3)) is None


def test_dense_tissue_whose_green_is_dark_is_bright() -> None:
    dense = HE.astype(float) * (0.75, 0.45, 0.7)
    assert np.median(dense[:, :, 1]) < 0.35 * 255
    assert looks_bright(dense.astype(np.uint8).reshape(-1, 3))
