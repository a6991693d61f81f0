"""Whatever is in a GeoJSON, a CSV or an XML file: it is read, or refused in one sentence; nothing is expanded."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.official import monuseg
from sac_lightning.images.open_image import open_image
from sac_lightning.slides.point_files import read_points

quick = settings(max_examples=150, derandomize=True)
RGB = np.zeros((8, 9, 3), np.uint8)


def sentence_of(work: Callable[[], object]) -> str | None:
    """What is refused with; None where it is not. Any other exception is a fault of the reader."""
    try:
        work()
    except UserError as error:
        told = str(error)
    else:
        return None
    assert "\n" not in told
    return told


# GeoJSON and CSV of expert points

POINT: dict[str, Any] = {
    "type": "Feature",
    "geometry": {"type": "MultiPoint", "coordinates": [[3, 4], [5.5, 6]]},
    "properties": {"classification": {"name": "Positive"}},
}
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, {}, []]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "name", "x"]), inner),
    max_leaves=6,
)
# Where in a feature the junk goes.
PLACES: list[list[str | int]] = [
    [],
    ["type"],
    ["geometry"],
    ["geometry", "type"],
    ["geometry", "coordinates"],
    ["geometry", "coordinates", 0],
    ["geometry", "coordinates", 0, 1],
    ["properties"],
    ["properties", "classification"],
    ["properties", "classification", "name"],
    ["properties", "classification", "names"],
]


def spoilt(place: list[str | int], junk: Any) -> Any:
    """The feature with junk at a place."""
    if not place:
        return junk
    feature = json.loads(json.dumps(POINT))
    target = feature
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = junk
    return feature


def points_of(content: bytes, ending: str = "geojson") -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{ending}")
        path.write_bytes(content)

        def read() -> None:
            for points in read_points(path, [Path("a.png")]).values():
                assert points.dtype == np.float32
                assert points.shape[1:] == (3,)

        return sentence_of(read)


@quick
@example(["properties"], [1], False)
@example(["properties", "classification"], "Positive", False)
@example(["geometry", "coordinates", 0, 1], 10**400, False)
@example(["geometry", "coordinates", 0, 1], float("nan"), True)
@example(["geometry", "coordinates", 0, 1], 1e300, True)
@given(st.sampled_from(PLACES), junk, st.booleans())
def test_any_json_is_points_or_a_sentence(place: list[str | int], junk: Any, is_collection: bool) -> None:
    content = spoilt(place, junk)
    if is_collection:
        content = {"type": "FeatureCollection", "features": [POINT, content]}
    told = points_of(json.dumps(content).encode())
    assert told is None or "a.geojson" in told


@quick
@given(st.binary(max_size=60), st.integers(0, 150), st.integers(0, 40))
def test_geojson_with_bytes_put_in_or_left_out_is_points_or_a_sentence(
    noise: bytes, start: int, left: int
) -> None:
    whole = json.dumps(POINT).encode()
    points_of(whole[:start] + noise + whole[start + left :])


def test_json_that_is_deep_or_long_is_a_sentence() -> None:
    for content in (b"[" * 100_000, b'{"type":' * 50_000, b"9" * 10_000, b"[" + b"9" * 5000 + b"]"):
        assert "is not GeoJSON" in str(points_of(content))


@quick
@example("a,nan,1,1")
@example("a,1,1e400,1")
@example("a,1,1e300,1")
@example('a,"1')
@example("a,1,1,1,1,1\0")
@given(st.text(st.sampled_from('a,1.e-"\n\r\0é x'), max_size=40))
def test_any_csv_is_points_or_a_sentence(lines: str) -> None:
    points_of(f"image,x,y,label\n{lines}".encode(), "csv")
    points_of(lines.encode(), "csv")


# XML of outlines

XML = (
    b'<?xml version="1.0" encoding="UTF-8"?><Annotations MicronsPerPixel="0.25"><Annotation Id="1"><Regions>'
    b'<Region Id="1"><Vertices><Vertex X="1.5" Y="1" Z="0"/><Vertex X="6" Y="1"/><Vertex X="6" Y="5"/></Vertices>'
    b"</Region></Regions></Annotation></Annotations>"
)


def outlines_of(content: bytes) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(RGB).save(Path(folder, "a.tif"))
        Path(folder, "a.xml").write_bytes(content)

        def read() -> None:
            (image,) = monuseg.read(Path(folder))
            assert image.instances.shape == (8, 9)

        return sentence_of(read)


@quick
@example(b"NaN", XML.index(b"1.5"), 3)
@example(b"-1e999", XML.index(b"1.5"), 3)
@example(b"no-such-encoding", XML.index(b"UTF-8"), 5)
@example(b"utf-7", XML.index(b"UTF-8"), 5)
@example(b"UTF-16", XML.index(b"UTF-8"), 5)
@given(st.binary(max_size=20), st.integers(0, len(XML)), st.integers(0, 30))
def test_xml_with_bytes_put_in_or_left_out_is_outlines_or_a_sentence(noise: bytes, start: int, left: int) -> None:
    told = outlines_of(XML[:start] + noise + XML[start + left :])
    assert told is None or "a.xml cannot be read" in told


def test_xml_as_it_stands_is_read() -> None:
    assert outlines_of(XML) is None


LAUGHS = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
HOSTILE = {
    "entities in entities": f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><x>&a11;</x>',
    "one large entity": f'<!DOCTYPE x [<!ENTITY a "{"ha" * 1000}">]><x>{"&a;" * 1000}</x>',
    "a file": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "a parameter": '<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><x/>',
    "an address": '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/none.dtd"><x/>',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_xml_that_would_grow_or_fetch_is_refused(kind: str) -> None:
    told = outlines_of(HOSTILE[kind].encode())
    assert told is not None
    assert "cannot be read" in told
    assert "root:" not in told


@pytest.mark.parametrize("kind", HOSTILE)
def test_ome_xml_that_would_grow_or_fetch_does_no_harm(kind: str, tmp_path: Path) -> None:
    """A TIFF says its pixel size, planes and channels in XML, which tifffile looks into as well."""
    text = HOSTILE[kind].replace("<x>", "<OME>").replace("</x>", "</OME>").replace("<x/>", "<OME/>")
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", description=text, metadata=None)
    with open_image(tmp_path / "a.tif") as slide:
        assert slide.micrometres is None
        assert np.array_equal(slide.read(0, 8), RGB)
