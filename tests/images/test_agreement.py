"""Where the readers of the slides extra, or zarr, open what we open, both have the same pixels, levels and sizes.

``python -m tests.images.agreement`` compares with readers that are not installed here, too.
"""

from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.images.agreement import LAYOUTS, by_us, compare, is_stack
from tests.images.extra_layouts import EXTRA_COLOURS, czi_in_colour, dicom, dicom_instance, nd2
from tests.images.layouts import CELLS, COLOURS, IMAGE, STACKS, aperio, philips, reduced
from tests.images.references import by_openslide, by_wsidicom

from sac_lightning.images.open_image import open_image
from sac_lightning.images.selection import Selection

needs_extra = pytest.mark.needs("openslide", "wsidicom", "pylibCZIrw", "nd2", "liffile")
# OpenSlide makes smaller resolutions of Hamamatsu's JPEG files of its own, and knows no OME.
OTHER_LEVELS = {"hamamatsu.ndpi", "pyramid.ome.tif"}
NOT_OF_OPENSLIDE = {"planes_rgb.ome.tif", "mosaic.czi", "colours.lif"}


@needs_extra
@pytest.mark.parametrize("name", [name for name in (*COLOURS, *EXTRA_COLOURS) if name not in NOT_OF_OPENSLIDE])
def test_openslide(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / name)
    ours, theirs = by_us(tmp_path / name, in_stack=False), by_openslide(tmp_path / name, False)
    told = compare(ours, theirs)
    assert told["pixels"] in ("=", "±1")
    assert told["levels"] == "=" or name in OTHER_LEVELS
    assert told["size"] in ("=", "-")
    assert (theirs.micrometres is None) or told["size"] == "="


@needs_extra
@pytest.mark.parametrize("absent", [(), (0, 5)])
def test_wsidicom(absent: tuple[int, ...], tmp_path: Path) -> None:
    dicom(tmp_path / "slide", absent=absent)
    told = compare(by_us(tmp_path / "slide", False), by_wsidicom(tmp_path / "slide", False))
    assert told == {"pixels": "=", "levels": "=", "size": "="}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_of_cells(name: str, tmp_path: Path) -> None:
    STACKS[name](tmp_path / name)
    found = by_us(tmp_path / name, in_stack=True)
    assert np.array_equal(found.pixels, CELLS[1, 1])
    assert found.micrometres == pytest.approx((0.25, 0.5))


@needs_extra
@pytest.mark.parametrize("name", [name for name in LAYOUTS if is_stack(name) and name not in STACKS])
def test_stacks_of_microscopes(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / name)
    found = by_us(tmp_path / name, in_stack=True)
    assert np.array_equal(found.pixels, CELLS[1, 1])
    # Nikon's files have one size for both sides.
    assert found.micrometres == pytest.approx((0.25, 0.25 if name.endswith("nd2") else 0.5))


@needs_extra
def test_the_names_of_channels(tmp_path: Path) -> None:
    for name in ("stack.czi", "stack.nd2"):
        LAYOUTS[name](tmp_path / name)
        with open_image(tmp_path / name, Selection(channel="fitc", page=2)) as slide:
            assert slide.note == "channel 2 of 3 (FITC), page 2 of 2"
    LAYOUTS["stack.lif"](tmp_path / "stack.lif")
    with open_image(tmp_path / "stack.lif", Selection(channel="LUT Green")) as slide:
        assert np.array_equal(slide.read(10, 20), CELLS[0, 1, 10:20])


@needs_extra
def test_a_nikon_file_whose_channels_nd2_does_not_understand(tmp_path: Path) -> None:
    nd2(tmp_path / "a.nd2", dyes=False)
    with open_image(tmp_path / "a.nd2", Selection(channel=2)) as slide:
        assert np.array_equal(slide.read(0, 90), CELLS[0, 1])
        assert slide.micrometres is None


@needs_extra
def test_scenes_and_holes_of_a_mosaic(tmp_path: Path) -> None:
    czi_in_colour(tmp_path / "a.czi")
    with open_image(tmp_path / "a.czi") as slide:
        rows = np.concatenate([slide.read(top, min(top + 111, 720)) for top in range(0, 720, 111)])
        assert slide.note == "series 1 of 2 (scene 1)"
    assert np.array_equal(rows[:, :960], IMAGE)
    assert np.array_equal(rows[480:, 1000:], IMAGE[:240, :240])
    assert (rows[:480, 960:] == 255).all()
    with open_image(tmp_path / "a.czi", Selection(series=2)) as slide:
        assert np.array_equal(slide.read(0, 240), IMAGE[:240])


@needs_extra
def test_any_file_of_a_dicom_slide_stands_for_it(tmp_path: Path) -> None:
    dicom(tmp_path)
    dicom(tmp_path, series="2")
    for name in ("1_quarter.dcm", "2_label.dcm"):
        with open_image(tmp_path / name) as slide:
            assert np.array_equal(slide.read(700, 720), IMAGE[700:])
            assert slide.note == "series 1 of 3 (slide)"
            assert slide.open_level is not None
            assert np.array_equal(slide.open_level(1).read(0, 180), reduced(4))


def test_rows_of_missing_tiles(tmp_path: Path) -> None:
    for make in (philips, lambda path: aperio(path, compression="jpeg")):
        make(tmp_path / "a.tif")
        with open_image(tmp_path / "a.tif") as slide:
            whole = slide.read(0, slide.height)
            parts = [slide.read(top, min(top + 100, slide.height)) for top in range(0, slide.height, 100)]
        assert np.array_equal(np.concatenate(parts), whole)


def test_groups_of_labels_are_no_images(tmp_path: Path) -> None:
    STACKS["stack_0.4.ome.zarr"](tmp_path / "a.ome.zarr")
    labels = zarr.open_group(tmp_path / "a.ome.zarr", mode="r+").create_group("labels")
    labels.attrs["labels"] = ["nuclei"]
    with open_image(tmp_path / "a.ome.zarr") as slide:
        assert len(slide.candidates) == 1


@needs_extra
def test_smaller_resolutions_of_czi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Zeiss' writer makes none, but reads as if it had.
    monkeypatch.setattr("sac_lightning.images.czi_file._list_zooms", lambda file: [1.0, 0.5, 0.25])
    czi_in_colour(tmp_path / "a.czi")
    with open_image(tmp_path / "a.czi") as slide:
        assert slide.levels == ((720, 1240), (360, 620), (180, 310))
        assert slide.open_level is not None
        for level, step in ((1, 2), (2, 4)):
            smaller = slide.open_level(level)
            rows = [smaller.read(top, min(top + 37, smaller.height)) for top in range(0, smaller.height, 37)]
            assert np.array_equal(np.concatenate(rows)[:, : 960 // step], reduced(step))
            assert smaller.micrometres == pytest.approx((0.25 * step, 0.5 * step))


@needs_extra
def test_grey_of_16_bits_in_dicom(tmp_path: Path) -> None:
    dicom_instance(tmp_path / "a.dcm", CELLS[0, 0], 1, tile=32)
    with open_image(tmp_path / "a.dcm") as slide:
        assert np.array_equal(np.concatenate([slide.read(0, 50), slide.read(50, 90)]), CELLS[0, 0])
