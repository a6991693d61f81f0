"""OME-Zarr: planes, channels, sizes, sets of images, and chunks that were never written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from sac_lightning.core.errors import UserError
from sac_lightning.data.scene import render_scene
from sac_lightning.images.open_image import open_image
from sac_lightning.images.selection import Plane, Selection

HE = render_scene(np.random.default_rng(1), 96, 120, "histology")[0]
CELLS = np.random.default_rng(0).integers(0, 4000, (2, 3, 96, 120), dtype=np.uint16)


def write(group: Any, image: np.ndarray, axes: str, version: str, **omero: Any) -> Any:
    units = {"x": "micrometer", "y": "micrometer", "z": "micrometer"}
    described = [
        {"name": axis, "type": "space", "unit": units[axis]}
        if axis in units
        else {"name": axis, "type": "channel"}
        for axis in axes
    ]
    datasets = []
    for level, step in enumerate((1, 2)):
        part = image[..., ::step, ::step]
        chunks = (1,) * (image.ndim - 2) + (32, 40)
        array = group.create_array(str(level), shape=part.shape, dtype=part.dtype, chunks=chunks, fill_value=0)
        array[:] = part
        scale = [1.0] * (image.ndim - 2) + [0.25 * step, 0.5 * step]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    ome = {"multiscales": [{"axes": described, "datasets": datasets, "name": "sample"}], **omero}
    group.attrs.update({"ome": {"version": "0.5", **ome}} if version == "0.5" else ome)


def make(path: Path, version: str) -> Any:
    return zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_planes_and_channels(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    names = {"omero": {"channels": [{"label": "DAPI"}, {"label": "FITC"}, {"label": "TRITC"}]}}
    write(make(path, version), CELLS, "zcyx", version, **names)
    with open_image(path, Selection(channel="FITC", page=2)) as slide:
        rows = [slide.read(top, min(top + 37, slide.height)) for top in range(0, slide.height, 37)]
    assert np.array_equal(np.concatenate(rows), CELLS[1, 1])
    assert slide.micrometres == (0.5, 0.25)
    assert slide.plane == Plane(z=1, c=1)
    assert slide.candidates[0].levels == ((96, 120), (48, 60))
    assert slide.note == "channel 2 of 3 (FITC), page 2 of 2"


def test_a_picture_in_colour_and_its_chunks_that_are_not_there(tmp_path: Path) -> None:
    image = np.maximum(np.moveaxis(HE, 2, 0), 1)
    image[:, :32, :40] = 0
    write(make(tmp_path / "a.zarr", "0.5"), image, "cyx", "0.5")
    with open_image(tmp_path / "a.zarr") as slide:
        found = np.concatenate([slide.read(top, min(top + 37, slide.height)) for top in range(0, 96, 37)])
    assert (found[:32, :40] == 255).all()
    assert np.array_equal(found[32:], np.moveaxis(image, 0, 2)[32:])


def test_the_largest_of_a_set(tmp_path: Path) -> None:
    root = make(tmp_path / "a.zarr", "0.4")
    write(root.create_group("0"), np.zeros((40, 40), np.uint8), "yx", "0.4")
    write(root.create_group("1"), CELLS[0, 0], "yx", "0.4")
    with open_image(tmp_path / "a.zarr") as slide:
        assert np.array_equal(slide.read(0, 96), CELLS[0, 0])
        assert slide.note == "series 2 of 2 (sample)"


def test_a_size_that_no_microscope_has_is_none(tmp_path: Path) -> None:
    group = make(tmp_path / "a.zarr", "0.4")
    write(group, CELLS[0, 0], "yx", "0.4")
    scales = group.attrs["multiscales"]
    scales[0]["coordinateTransformations"] = [{"type": "scale", "scale": [1000.0, 1000.0]}]
    group.attrs["multiscales"] = scales
    with open_image(tmp_path / "a.zarr") as slide:
        assert slide.micrometres is None


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    make(tmp_path / "a.zarr", "0.5")
    (tmp_path / "b.zarr").mkdir()
    for name in ("a.zarr", "b.zarr"):
        with (
            pytest.raises(UserError, match=rf"{name} (holds no image|cannot be read)"),
            open_image(tmp_path / name),
        ):
            pass


def test_chunks_of_cells_that_are_not_there_are_the_ground(tmp_path: Path) -> None:
    image = CELLS[0, 0] // 4 + 100
    image[:32, :40] = 0
    write(make(tmp_path / "a.zarr", "0.4"), image, "yx", "0.4")
    with open_image(tmp_path / "a.zarr") as slide:
        found = slide.read(10, 96)
        assert slide.open_level is not None
        smaller = slide.open_level(1).read(0, 48)
    ground = np.percentile(image[image > 0], 1)
    assert abs(found[:22, :40].astype(int) - ground).max() < 100
    assert np.array_equal(found[22:], image[32:])
    assert np.array_equal(smaller[16:], image[32::2, ::2])
    assert smaller[:, 20:].shape == (48, 40)


def test_a_plate_and_labels_of_an_image(tmp_path: Path) -> None:
    root = make(tmp_path / "plate.zarr", "0.4")
    root.attrs["plate"] = {"wells": [{"path": "A/1"}]}
    well = root.create_group("A").create_group("1")
    well.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
    for field in ("0", "1"):
        write(well.create_group(field), CELLS[0, int(field)], "yx", "0.4")
    labels = well["0"].create_group("labels").create_group("nuclei")
    write(labels, np.ones((96, 120), np.uint16), "yx", "0.4")
    labels.attrs["image-label"] = {}
    with open_image(tmp_path / "plate.zarr", Selection(series=2)) as slide:
        assert len(slide.candidates) == 2
        assert np.array_equal(slide.read(0, 96), CELLS[0, 1])
    # A set in which an image lies beside its labels, each a group with a name.
    root = make(tmp_path / "set.zarr", "0.5")
    write(root.create_group("image"), CELLS[0, 0], "yx", "0.5")
    named = root.create_group("mask")
    write(named, np.ones((200, 200), np.uint16), "yx", "0.5")
    named.attrs.update({"ome": {**named.attrs["ome"], "image-label": {}}})
    with open_image(tmp_path / "set.zarr") as slide:
        assert len(slide.candidates) == 1
        assert np.array_equal(slide.read(0, 96), CELLS[0, 0])
