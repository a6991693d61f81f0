"""What holds for any mask, label map and image: metrics, points, windows, and files there and back again."""

import json
import tempfile
from pathlib import Path

import numpy as np
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from shapely.geometry import shape

from sac_lightning.core.view import View
from sac_lightning.data.image_file import read_instances, write_image
from sac_lightning.data.label_maps import renumber_labels
from sac_lightning.data.windows import cut_window
from sac_lightning.images.open_image import read_image
from sac_lightning.model.point_selection import PADDING, PointSelection
from sac_lightning.slides.outlines import feature, outline
from sac_lightning.training.metrics.pixels import F1, DiceScore, IoU

quick = settings(max_examples=80, derandomize=True)
sides = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
masks = arrays(np.bool_, sides)
label_maps = arrays(np.uint16, sides, elements=st.sampled_from([0, 1, 2, 7, 900, 65_535]))

Mask = NDArray[np.bool_]


@quick
@given(st.lists(st.tuples(masks, st.integers(0, 2**32 - 1)), min_size=1, max_size=4))
def test_metrics_are_those_of_sets_of_pixels(images: list[tuple[Mask, int]]) -> None:
    metrics = {"dice": DiceScore(), "iou": IoU(), "f1": F1()}
    dice, iou, hits, sizes = [], [], 0, 0
    for truth, seed in images:
        mask = truth ^ (np.random.default_rng(seed).random(truth.shape) < 0.3)
        for metric in metrics.values():
            metric.update(torch.from_numpy(mask)[None], torch.from_numpy(truth)[None])
        ours, theirs = ({*map(tuple, np.argwhere(each).tolist())} for each in (mask, truth))
        both, either, size = len(ours & theirs), len(ours | theirs), len(ours) + len(theirs)
        dice.append(2 * both / size if size else 1.0)
        iou.append(both / either if either else 1.0)
        hits, sizes = hits + both, sizes + size
    expected = {"dice": np.mean(dice), "iou": np.mean(iou), "f1": 2 * hits / sizes if sizes else 1.0}
    for name, metric in metrics.items():
        assert abs(float(metric.compute()) - expected[name]) < 1e-6, name


@quick
@given(masks, st.integers(0, 5), st.sampled_from(["O", "R"]), st.booleans(), st.integers(0, 2**31))
def test_points_lie_on_their_side_and_none_is_there_twice(
    mask: Mask, count: int, selection: str, fill: bool, seed: int
) -> None:
    logits = torch.where(torch.from_numpy(mask), 3.0, -3.0)[None, None]
    options = {"selection": selection, "fill_with_random": fill and selection == "O"}
    coords, labels = PointSelection(count, **options)(logits, torch.tensor([seed]))  # type: ignore[arg-type]
    assert coords.shape == (1, 2 * count, 2)
    chosen = labels[0] != PADDING
    for (x, y), label in zip(coords[0][chosen].tolist(), labels[0][chosen].tolist(), strict=True):
        assert mask[round(y), round(x)] == (label == 1)
    drawn = [tuple(point) for point in coords[0][chosen].tolist()]
    assert selection == "O" or len(set(drawn)) == len(drawn)
    assert selection == "O" or int(chosen.sum()) == min(count, mask.sum()) + min(count, (~mask).sum())


@quick
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.sampled_from([0.0, 0.25, 0.9]))
def test_windows_put_together_again_are_the_image(height: int, width: int, crop: int, overlap: float) -> None:
    image = torch.arange(height * width).reshape(1, height, width).float()
    whole = torch.full_like(image, -1)
    for window in View(None, crop=crop, overlap=overlap).windows(height, width):
        piece = cut_window(image, window)
        assert piece.shape == (1, crop, crop)
        (rows, columns), (inner_rows, inner_columns) = window.clip(height, width)
        whole[:, rows, columns] = piece[:, inner_rows, inner_columns]
    assert torch.equal(whole, image)


@quick
@given(label_maps)
def test_a_label_map_comes_back_from_its_file_and_numbered_anew_it_is_the_same(labels: NDArray[np.uint16]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "labels.png"), labels)
        assert np.array_equal(read_instances(Path(folder, "labels.png")), labels)
    numbered = renumber_labels(labels.astype(np.int32))
    numbers = np.unique(labels[labels > 0])
    assert np.array_equal(np.append(0, numbers)[numbered], labels)
    assert np.array_equal(renumber_labels(numbered), numbered)


@quick
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_an_image_comes_back_from_its_file(image: NDArray[np.uint8]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder, "image.png"), image)
        assert np.array_equal(read_image(Path(folder, "image.png")), image)


@quick
@given(label_maps)
def test_a_label_map_comes_back_from_its_geojson(labels: NDArray[np.uint16]) -> None:
    found = np.zeros_like(labels)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    for number in np.unique(labels[labels > 0]):
        line = json.loads(feature(outline(labels == number), {"number": float(number)}))
        inside = shapely.contains_xy(shape(line["geometry"]), x + 0.5, y + 0.5)
        assert not found[inside].any(), "no pixel is in two nuclei"
        found[inside] = line["properties"]["measurements"]["number"]
    assert np.array_equal(found, labels)
