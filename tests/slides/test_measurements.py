"""Measurements: scikit-image's, of the right pixels, in pixels and in micrometres."""

import warnings

import numpy as np
import pytest
from skimage.measure import label, regionprops

from sac_lightning.slides.measurements import columns, measure_nuclei


@pytest.fixture
def labels() -> np.ndarray:
    """An ellipse, a pixel, a line and a ring; numbered on from 7."""
    y, x = np.mgrid[:40, :60]
    labels = np.zeros((40, 60), dtype=np.int32)
    labels[((y - 20) / 12) ** 2 + ((x - 20) / 7) ** 2 <= 1] = 8
    labels[3, 50] = 9
    labels[8, 40:50] = 10
    labels[20:30, 40:55] = 11
    labels[24:26, 45:50] = 0
    return labels


def test_they_are_scikit_images(labels: np.ndarray) -> None:
    raw = np.random.default_rng(0).integers(0, 60_000, labels.shape, dtype=np.uint16)
    rows = measure_nuclei(labels, raw, top=100)
    regions = regionprops(labels, raw)
    assert [row["label"] for row in rows] == [8, 9, 10, 11]
    assert list(rows[0]) == columns(None)
    for row, region in zip(rows, regions, strict=True):
        assert row["area"] == region.num_pixels == (labels == region.label).sum()
        assert (row["centroid_y"], row["centroid_x"]) == pytest.approx(
            (region.centroid[0] + 100, region.centroid[1])
        )
        assert row["major_axis"] == pytest.approx(region.axis_major_length)
        assert row["minor_axis"] == pytest.approx(region.axis_minor_length)
        assert row["solidity"] == pytest.approx(region.solidity)
        assert row["mean_intensity"] == pytest.approx(raw[labels == region.label].mean())


@pytest.mark.parametrize("share", [0.3, 0.45])
def test_ragged_nuclei_with_gaps_are_measured_as_by_scikit_image(share: float) -> None:
    rng = np.random.default_rng(0)
    labels = label(rng.random((60, 70)) < share, connectivity=2).astype(np.int32)
    labels[rng.random(labels.shape) < 0.05] = labels.max() + 7  # in many parts
    rows = measure_nuclei(labels, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of a pixel or a line.
        expected = [(each.num_pixels, each.solidity, each.axis_minor_length) for each in regionprops(labels)]
    assert len(rows) > 5
    assert [(row["area"], row["solidity"]) for row in rows] == [each[:2] for each in expected]
    assert [row["minor_axis"] for row in rows] == pytest.approx([each[2] for each in expected], abs=1e-9)


def test_an_ellipse_is_known_by_hand(labels: np.ndarray) -> None:
    row = measure_nuclei(labels, labels.astype(np.uint8))[0]
    assert (row["centroid_x"], row["centroid_y"]) == (20, 20)
    assert row["area"] == pytest.approx(np.pi * 12 * 7, rel=0.02)
    assert (row["major_axis"], row["minor_axis"]) == pytest.approx((24, 14), rel=0.02)
    assert row["mean_intensity"] == 8


def test_micrometres_follow_the_size_of_pixels_along_each_axis(labels: np.ndarray) -> None:
    rows = measure_nuclei(labels, labels.astype(np.uint8), top=10, micrometres=(0.5, 0.25))
    row = rows[0]
    assert list(row) == columns((0.5, 0.25))
    assert row["area_um2"] == pytest.approx(row["area"] * 0.125)
    assert (row["centroid_x_um"], row["centroid_y_um"]) == pytest.approx((10, 7.5))
    # 24 pixels of 0.25 high, 14 of 0.5 wide: what was the minor axis is the major one.
    assert (row["major_axis_um"], row["minor_axis_um"]) == pytest.approx((7, 6), rel=0.02)


def test_of_colours_the_mean_counts(labels: np.ndarray) -> None:
    raw = np.zeros((*labels.shape, 3), np.uint8)
    raw[labels == 9] = (30, 60, 120)
    assert measure_nuclei(labels, raw)[1]["mean_intensity"] == 70


def test_nothing_has_no_rows() -> None:
    assert measure_nuclei(np.zeros((4, 5), np.int32), np.zeros((4, 5), np.uint8), micrometres=(1, 1)) == []
