"""The size of pixels: as OME, ImageJ, Aperio and plain TIFF files tell it, and not where they only seem to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from sac_lightning.images.open_image import open_image

IMAGE = np.zeros((20, 30), np.uint8)
APERIO = "Aperio Image Library v12\r\n30x20 [0,0 30x20] (240x240) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2527|Left = 25"


def size(path: Path, **options: Any) -> tuple[float, float] | None:
    tifffile.imwrite(path, IMAGE, **options)
    with open_image(path) as slide:
        return slide.micrometres


def ome(**attributes: Any) -> dict[str, Any]:
    return {"metadata": {"axes": "YX", **{f"PhysicalSize{key}": value for key, value in attributes.items()}}}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (ome(X=0.5, Y=0.25), (0.5, 0.25)),
        (ome(X=0.5, Y=0.25, XUnit="µm", YUnit="µm"), (0.5, 0.25)),
        (ome(X=500, Y=250, XUnit="nm", YUnit="nm"), (0.5, 0.25)),
        (ome(X=0.0005, Y=0.00025, XUnit="mm", YUnit="mm"), (0.5, 0.25)),
        (ome(X=1, Y=1, XUnit="pixel", YUnit="pixel"), None),
        (ome(X=0, Y=0), None),
        (ome(X=352.78, Y=352.78), None),
        (ome(X=0.5, Y=0.25, XUnit="micrometers", YUnit="Microns"), (0.5, 0.25)),
        (ome(X=0.5), None),
        (ome(), None),
    ],
)
def test_ome(metadata: dict[str, Any], expected: tuple[float, float] | None, tmp_path: Path) -> None:
    assert size(tmp_path / "a.ome.tif", **metadata) == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("um", (2, 4), (0.5, 0.25)),
        ("micron", (2, 2), (0.5, 0.5)),
        ("\\u00B5m", (2, 2), (0.5, 0.5)),
        ("mm", (2000, 2000), (0.5, 0.5)),
        ("nm", (0.01, 0.01), (0.1, 0.1)),
        ("micrometers", (2, 4), (0.5, 0.25)),
        ("millimetres", (2000, 2000), (0.5, 0.5)),
        ("inches", (25_400, 25_400), (1, 1)),
        ("um", (0.00283, 0.00283), None),
        ("mm", (2.8346, 2.8346), None),
        ("ms", (2, 2), None),
        ("pixel", (1, 1), None),
        (None, (1, 1), None),
    ],
)
def test_imagej(
    unit: str | None, resolution: tuple[float, float], expected: tuple[float, float] | None, tmp_path: Path
) -> None:
    metadata = {"unit": unit} if unit else {}
    found = size(tmp_path / "a.tif", imagej=True, resolution=resolution, metadata=metadata)
    assert found == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("written", "expected"),
    [("0.2527", 0.2527), ("5.0e-01", 0.5), ("0,2527", 0.2527), ("252.0", None), ("0", None), ("e", None)],
)
def test_aperio(written: str, expected: float | None, tmp_path: Path) -> None:
    text = APERIO.replace("0.2527", written)
    assert size(tmp_path / "a.svs", description=text, metadata=None) == (expected and (expected, expected))


def test_what_is_not_believed_gives_way_to_what_is(tmp_path: Path) -> None:
    tags = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
    assert size(tmp_path / "a.ome.tif", **ome(X=352.78, Y=352.78), **tags) == pytest.approx((0.25, 0.5))


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("CENTIMETER", (40_000, 20_000), (0.25, 0.5)),
        ("INCH", (25_400, 25_400), (1, 1)),
        ("INCH", (72, 72), None),
        ("INCH", (300, 300), None),
        ("NONE", (40_000, 40_000), None),
        ("CENTIMETER", (0, 0), None),
    ],
)
def test_resolution_tags_count_where_a_microscope_could_have_written_them(
    unit: str, resolution: tuple[float, float], expected: tuple[float, float] | None, tmp_path: Path
) -> None:
    found = size(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit, metadata=None)
    assert found == (expected and pytest.approx(expected))


def test_a_file_that_says_nothing(tmp_path: Path) -> None:
    assert size(tmp_path / "a.tif") is None


def test_ome_xml_that_is_broken_is_passed_over(tmp_path: Path) -> None:
    broken = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image></OME>'
    assert size(tmp_path / "a.tif", description=broken, metadata=None) is None
