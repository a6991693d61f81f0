"""Which image of a file is taken, what else may be asked for, and what is said of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.images.open_image import open_image
from sac_lightning.images.selection import Plane, Selection, is_overview_name
from sac_lightning.images.slide import Slide

BIG = np.random.default_rng(0).integers(0, 256, (128, 160, 3), dtype=np.uint8)
SMALL = np.zeros((32, 40, 3), np.uint8)
STACK = np.random.default_rng(1).integers(0, 256, (4, 60, 50), dtype=np.uint8)


def opened(path: Path, **selection: Any) -> tuple[Slide, np.ndarray]:
    with open_image(path, Selection(**selection)) as slide:
        return slide, slide.read(0, slide.height)


def thumbnail_first(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(SMALL, photometric="rgb", subfiletype=1, metadata=None)
        file.write(BIG, photometric="rgb", tile=(64, 64), metadata=None)


def label_first(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(SMALL, photometric="rgb", metadata={"axes": "YXS", "Name": "label"})
        size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        file.write(BIG, photometric="rgb", metadata={"axes": "YXS", "Name": "slide", **size})


def large_macro(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(np.repeat(BIG, 2, 0), photometric="rgb", metadata={"axes": "YXS", "Name": "Macro image"})
        file.write(BIG, photometric="rgb", metadata={"axes": "YXS", "Name": "tumour"})


def mask_beside(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(np.zeros((256, 256), np.uint8), subfiletype=1, metadata=None)
        file.write(BIG, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["NewSubfileType"].overwrite(4)


@pytest.mark.parametrize("write", [thumbnail_first, label_first, large_macro, mask_beside])
def test_the_largest_that_is_no_overview_is_taken(write: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif")
    assert np.array_equal(opened(tmp_path / "a.ome.tif")[1], BIG)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(
            (name, True)
            for name in ("label", "Macro image", "LABELIMAGE", "macro 10x10", "Label Image", "overview map")
        ),
        *(
            (name, True)
            for name in ("CMU-1.svs - macro", "Thumbnail of 7", "Overview 2.5x", "Label (barcode)", "_mask_")
        ),
        *((name, True) for name in ("slide.svs #2 (thumbnail)", "macro.jpg")),
        *(
            (name, False)
            for name in ("label-free DIC", "Label free", "label-retaining cells", "unlabelled", "macrophages")
        ),
        *(
            (name, False)
            for name in ("MAP2", "MAP kinase", "thumb joint", "mask aligner", "heatmap", "slide", "", "5")
        ),
    ],
)
def test_names_of_overviews(name: str, expected: bool) -> None:
    assert is_overview_name(name) == expected


def test_another_image_by_its_number(tmp_path: Path) -> None:
    label_first(tmp_path / "a.ome.tif")
    slide, pixels = opened(tmp_path / "a.ome.tif")
    assert slide.note == "series 2 of 2 (slide)"
    assert slide.micrometres == (0.5, 0.5)
    slide, pixels = opened(tmp_path / "a.ome.tif", series=1)
    assert (slide.note, slide.micrometres) == ("series 1 of 2 (label)", None)
    assert np.array_equal(pixels, SMALL)
    with pytest.raises(UserError, match=r"series 1 \(label, 40x32\), series 2 \(slide, 160x128\), no series 3"):
        opened(tmp_path / "a.ome.tif", series=3)


POSITIONS = [f"{position}.ome.tif" for position in range(3)]


def positions(folder: Path) -> None:
    """Three files with one description of all of them."""
    uuids = [f"urn:uuid:00000000-0000-4000-8000-00000000000{position}" for position in range(3)]
    images = "".join(
        f'<Image ID="Image:{i}" Name="Pos{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint8" '
        f'SizeX="50" SizeY="60" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.{i + 1}" PhysicalSizeY="0.{i + 1}">'
        f'<Channel ID="Channel:{i}:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData></Pixels></Image>'
        for i, (name, uuid) in enumerate(zip(POSITIONS, uuids, strict=True))
    )
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    for i, (name, uuid) in enumerate(zip(POSITIONS, uuids, strict=True)):
        xml = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}" UUID="{uuid}">{images}</OME>'
        tifffile.imwrite(folder / name, STACK[i], description=xml, metadata=None, photometric="minisblack")


def test_each_file_of_a_set_has_its_own_pixels(tmp_path: Path) -> None:
    positions(tmp_path)
    for i, name in enumerate(POSITIONS):
        slide, pixels = opened(tmp_path / name)
        assert np.array_equal(pixels, STACK[i])
        assert slide.micrometres == pytest.approx(((i + 1) / 10, (i + 1) / 10))


def test_a_file_of_a_set_without_the_others(tmp_path: Path) -> None:
    positions(tmp_path)
    (tmp_path / POSITIONS[0]).unlink()
    assert np.array_equal(opened(tmp_path / POSITIONS[1])[1], STACK[1])


def depths_in_files(folder: Path, names: tuple[str, ...]) -> None:
    """Two files, each of one depth with all channels, and one description of both."""
    uuids = [f"urn:uuid:00000000-0000-4000-8000-00000000000{depth}" for depth in range(2)]
    channels = "".join(f'<Channel ID="Channel:0:{i}" Name="{name}"/>' for i, name in enumerate(names))
    parts = "".join(
        f'<TiffData FirstZ="{z}" FirstC="{c}" IFD="{c}"><UUID FileName="{z}.ome.tif">{uuid}</UUID></TiffData>'
        for z, uuid in enumerate(uuids)
        for c in range(len(names))
    )
    image = (
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="50" SizeY="60" '
        f'SizeZ="2" SizeC="{len(names)}" SizeT="1">{channels}{parts}</Pixels></Image>'
    )
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    for z, uuid in enumerate(uuids):
        xml = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}" UUID="{uuid}">{image}</OME>'
        planes = STACK[: len(names)] // (z + 1)
        tifffile.imwrite(folder / f"{z}.ome.tif", planes, description=xml, metadata=None, photometric="minisblack")


def test_channels_within_each_file_of_a_set(tmp_path: Path) -> None:
    depths_in_files(tmp_path, ("DAPI", "FITC"))
    slide, pixels = opened(tmp_path / "1.ome.tif", channel="fitc")
    assert np.array_equal(pixels, STACK[1] // 2)
    assert slide.plane == Plane(z=1, c=1)
    assert opened(tmp_path / "1.ome.tif")[0].note == "channel 1 of 2 (DAPI), page 1 of 2"


def test_colours_within_each_file_of_a_set(tmp_path: Path) -> None:
    depths_in_files(tmp_path, ("Red", "Green", "Blue"))
    assert np.array_equal(opened(tmp_path / "1.ome.tif")[1], np.moveaxis(STACK[:3] // 2, 0, 2))


def channels_in_files(folder: Path, companion: bool) -> None:
    """Three files of a channel each, of which the first or a companion describes all."""
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    names = [f"ch{i}.ome.tif" for i in range(3)]
    uuids = [f"urn:uuid:00000000-0000-4000-8000-00000000000{i}" for i in range(3)]
    channels = "".join(f'<Channel ID="Channel:0:{i}" SamplesPerPixel="1"/>' for i in range(3))
    parts = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for i, (name, uuid) in enumerate(zip(names, uuids, strict=True))
    )
    head = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}"'
    whole = (
        f'{head} UUID="{uuids[0]}"><Image ID="Image:0" Name="cells"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        'Type="uint8" SizeX="50" SizeY="60" SizeZ="1" SizeC="3" SizeT="1" PhysicalSizeX="0.5" '
        f'PhysicalSizeY="0.25">{channels}{parts}</Pixels></Image></OME>'
    )
    master = "a.companion.ome" if companion else names[0]
    for i, (name, uuid) in enumerate(zip(names, uuids, strict=True)):
        part = f'{head} UUID="{uuid}"><BinaryOnly MetadataFile="{master}" UUID="{uuids[0]}"/></OME>'
        text = whole if name == master else part
        tifffile.imwrite(folder / name, STACK[i], description=text, metadata=None, photometric="minisblack")
    if companion:
        (folder / master).write_text(whole)


@pytest.mark.parametrize("companion", [False, True])
def test_files_of_a_set_know_what_another_says_of_them(companion: bool, tmp_path: Path) -> None:
    channels_in_files(tmp_path, companion)
    for i in range(3):
        slide, pixels = opened(tmp_path / f"ch{i}.ome.tif")
        assert np.array_equal(pixels, STACK[i])
        assert slide.micrometres == (0.5, 0.25)
        assert slide.candidates[0].name == "cells"
    (tmp_path / ("a.companion.ome" if companion else "ch0.ome.tif")).write_text("nothing of the kind")
    assert opened(tmp_path / "ch2.ome.tif")[0].micrometres is None


STACKS: dict[str, tuple[dict[str, Any], Plane]] = {
    "imagej_depth": ({"imagej": True, "metadata": {"axes": "ZYX"}}, Plane(z=2)),
    "imagej_time": ({"imagej": True, "metadata": {"axes": "TYX"}}, Plane(t=2)),
    "imagej_channels": ({"imagej": True, "metadata": {"axes": "CYX"}}, Plane(c=2)),
    "ome_depth": ({"ome": True, "metadata": {"axes": "ZYX"}}, Plane(z=2)),
    "pages": ({"metadata": None}, Plane(t=2)),
    "one_description": ({"imagej": False, "truncate": True, "metadata": {"axes": "ZYX"}}, Plane(z=2)),
    "one_description_of_imagej": ({"imagej": True, "truncate": True, "metadata": {"axes": "ZYX"}}, Plane(z=2)),
}


@pytest.mark.parametrize("kind", STACKS)
def test_a_plane_of_a_stack(kind: str, tmp_path: Path) -> None:
    options, plane = STACKS[kind]
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", **options)
    slide, pixels = opened(tmp_path / "a.tif", page=3)
    assert np.array_equal(pixels, STACK[2])
    assert slide.plane == plane
    assert "3 of 4" in slide.note
    assert np.array_equal(opened(tmp_path / "a.tif")[1], STACK[0])
    with pytest.raises(UserError, match="has 4 pages, no page 5"):
        opened(tmp_path / "a.tif", page=5)


@pytest.mark.parametrize("pages", [1, 4])
def test_one_sample_that_says_rgb_has_no_rows_for_pages(pages: int, tmp_path: Path) -> None:
    square = STACK[:pages, :50]
    tifffile.imwrite(tmp_path / "a.tif", square, photometric="minisblack", metadata=None)
    for number in range(pages):
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
            file.pages[number].tags["PhotometricInterpretation"].overwrite(2)
    slide, pixels = opened(tmp_path / "a.tif", page=pages)
    assert np.array_equal(pixels, square[-1])
    assert (slide.note, slide.plane) == (("", None) if pages == 1 else ("page 4 of 4", Plane(t=3)))


def test_pages_of_a_channel(tmp_path: Path) -> None:
    stack = np.random.default_rng(2).integers(0, 99, (2, 3, 20, 30), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    slide, pixels = opened(tmp_path / "a.tif", channel=3, page=2)
    assert np.array_equal(pixels, stack[1, 2])
    assert slide.plane == Plane(z=1, c=2)
    assert slide.note == "channel 3 of 3, page 2 of 2"


def test_a_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(plane) for plane in STACK]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    slide, _ = opened(tmp_path / "a.gif", page=2)
    assert (slide.note, slide.plane) == ("page 2 of 4", Plane(t=1))


def test_results_of_two_images_of_a_file_never_meet() -> None:
    selections = [Selection(), Selection(2), Selection(page=2), Selection(2, 2), Selection(channel="Alexa 488/x")]
    suffixes = [selection.suffix for selection in selections]
    assert suffixes == ["", "_series2", "_page2", "_series2_page2", "_channelAlexa-488-x"]
    assert Selection(page=1).suffix == ""


@pytest.mark.parametrize("name", ["a.vsi", "a.mrxs", "A.VSI"])
def test_a_thumbnail_is_never_taken_for_the_slide(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_lightning.images.formats.find_spec", lambda name: None)
    Image.fromarray(BIG).save(tmp_path / name, format="JPEG" if "mrxs" in name else "TIFF")
    with pytest.raises(
        UserError, match=r"cannot be read as it is; (Olympus .* OME-TIFF|it is read by openslide: pip)"
    ):
        opened(tmp_path / name)


@pytest.mark.parametrize("mode", ["CMYK", "LAB"])
def test_colours_of_another_kind_are_no_channels(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(BIG).convert(mode)
    image.save(tmp_path / "a.tif")
    slide, pixels = opened(tmp_path / "a.tif")
    assert (slide.note, pixels.shape) == ("", BIG.shape)
    assert np.array_equal(opened(tmp_path / "a.tif", channel="green")[1], pixels[:, :, 1])
