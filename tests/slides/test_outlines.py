"""Outlines: valid polygons along the edges of pixels, as QuPath reads them."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sac_lightning.slides.outlines import feature, outline
from sac_lightning.slides.traced_outlines import outline_nuclei


@settings(max_examples=200)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any), st.integers(0, 5000))
def test_any_mask_becomes_a_valid_shape_of_its_area_and_back(mask: np.ndarray, left: int) -> None:
    shape = outline(mask, left, top=7)
    assert shape.is_valid
    assert shape.area == mask.sum()
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    assert np.array_equal(shapely.contains_xy(shape, x + left + 0.5, y + 7.5), mask)
    assert (shapely.get_coordinates(shape) % 1 == 0).all()


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 0, 0, 2, 2, 5]))
)
def test_all_at_once_have_the_outlines_that_each_has_by_itself(labels: np.ndarray) -> None:
    shapes = outline_nuclei(labels, top=7)
    each = [outline(labels == number, top=7) for number in np.unique(labels[labels > 0])]
    assert len(shapes) == len(each)
    for shape, other in zip(shapes, each, strict=True):
        assert shape.normalize().equals_exact(other.normalize())
        for part in shapely.get_parts(shape):
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)


def test_a_pixel_is_a_square_around_its_centre() -> None:
    assert outline(np.ones((1, 1), bool), left=3, top=5).bounds == (3, 5, 4, 6)


def test_a_rectangle_has_no_more_than_its_corners() -> None:
    assert len(outline(np.ones((30, 20), bool)).exterior.coords) == 5


def test_holes_are_holes_and_corners_part() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    assert [hole.bounds for hole in outline(ring).interiors] == [(2, 2, 3, 3)]
    corner = np.eye(2, dtype=bool)
    assert outline(corner).geom_type == "MultiPolygon"


@pytest.mark.parametrize(("mask", "kind"), [(np.ones((2, 3), bool), "Polygon"), (np.eye(2) > 0, "MultiPolygon")])
def test_a_feature_is_a_line_of_geojson(mask: np.ndarray, kind: str) -> None:
    line = feature(outline(mask), {"label": 1, "area": 2.5})
    assert "\n" not in line
    content = json.loads(line)
    assert content["geometry"]["type"] == kind
    assert shapely.from_geojson(line).normalize().equals(outline(mask).normalize())
    assert content["properties"]["measurements"] == {"label": 1, "area": 2.5}
    outer = content["geometry"]["coordinates"][0]
    ring = outer if kind == "Polygon" else outer[0]
    assert ring[0] == ring[-1]
    assert shapely.LinearRing(ring).is_ccw, "RFC 7946: counter-clockwise"
