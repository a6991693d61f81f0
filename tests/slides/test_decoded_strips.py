"""Nuclei that are decoded by themselves, in strips: those of the whole image, each once, however it is cut."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.inference.discs import draw, predictor, scatter

from sac_lightning.core.view import Window
from sac_lightning.images.slide import whole_slide
from sac_lightning.images.tone import tone_of
from sac_lightning.inference.nuclei_of_points import add_boxes
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides.area import WHOLE, Area
from sac_lightning.slides.bands import join_strips
from sac_lightning.slides.label_map import label_slide

NO_POINTS = np.zeros((0, 3), dtype=np.float32)


def in_bands(
    model: Predictor, image: NDArray[np.uint8], given: NDArray[np.float32] = NO_POINTS, area: Area = WHOLE
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The label map as predict makes it, in bands as small as can be, and its points."""
    slide = whole_slide(image)
    labelling = label_slide(model, slide, tone_of(slide, False), given, area=area)
    points = []

    def note(strips):
        for strip in strips:
            points.append(strip.points)
            yield strip

    bands = join_strips(note(labelling.strips), image.shape[:2], labelling.label, 1, 2**26, labelling.threshold)
    labels = np.concatenate([band.labels[: band.final] for band in bands])
    return labels, np.concatenate(points)


def same_nuclei(one: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Whether two label maps have the same nuclei, whatever their numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


@pytest.mark.parametrize(("size", "crop"), [((260, 100), 64), ((200, 40), 48), ((130, 90), 128)])
@pytest.mark.parametrize("gap", [9.0, 30.0])
def test_the_nuclei_are_those_of_the_whole_image(size: tuple[int, int], crop: int, gap: float) -> None:
    points, model = scatter(size, gap), predictor(crop=crop)
    image = draw(size, points)
    whole = model.segment(image)
    labels, found = in_bands(model, image)
    assert same_nuclei(labels, whole.instances)
    assert whole.instances.max() > len(points) / 2
    assert sorted(map(tuple, found.round(3))) == sorted(map(tuple, whole.points.round(3)))


def test_a_nucleus_on_a_seam_comes_once() -> None:
    model = predictor()
    for y in range(40, 72):  # Over the seam of the first two rows of windows.
        image = draw((150, 64), np.array([[30, y]], np.float32))
        labels, points = in_bands(model, image)
        assert labels.max() == 1
        assert len(points) == 1
        assert same_nuclei(labels, model.segment(image).instances)


def test_a_persons_points_are_decoded_and_their_negatives_drop_nuclei() -> None:
    model = predictor()
    image = draw((200, 70), np.array([[20, 50], [20, 120], [40, 190]], np.float32))
    given = np.array([[50, 60, 1], [20, 120, 0]], np.float32)  # Where nothing is, and on a nucleus.
    image[54:67, 44:57, 1] = 255
    labels, points = in_bands(model, image, given)
    assert same_nuclei(labels, model.segment(image, given[:, :2], given[:, 2]).instances)
    assert labels[60, 50] > 0
    assert labels[120, 20] == 0
    assert labels.max() == 3
    assert [50, 60] in points.tolist()


def test_an_image_of_nothing_has_no_nuclei() -> None:
    labels, points = in_bands(predictor(), np.zeros((200, 70, 3), np.uint8))
    assert not labels.any()
    assert len(points) == 0


class Islands(Area):
    """Tissue in the rows of some windows only."""

    def meets(self, window: Window) -> bool:
        """Whether it is one of them."""
        return window.top < 50 or window.top > 400


def test_between_islands_of_tissue_nothing_is_kept_that_is_needed() -> None:
    image = draw((600, 64), np.array([[30, 20], [30, 60], [30, 300], [30, 560]], np.float32))
    labels, points = in_bands(predictor(), image, area=Islands())
    assert labels.max() == len(points) == 3
    assert not labels[200:400].any()


def test_boxes_are_those_of_the_whole_image() -> None:
    image, model = draw((200, 64), scatter((200, 64), 30.0)), predictor()
    boxes = np.array([[10, 20, 18, 28], [30, 96, 42, 108], [5.5, 150, 25.5, 170]], np.float32)
    points = np.array([[50, 60, 1], [50, 120, 0]], np.float32)
    whole = model.segment(image, points[:, :2], points[:, 2], boxes=boxes)
    labels, found = in_bands(model, image, add_boxes(points, boxes))
    assert same_nuclei(labels, whole.instances)
    assert {(14.0, 24.0), (36.0, 102.0), (15.5, 160.0)} <= set(map(tuple, found.tolist()))
    assert sorted(map(tuple, found.round(3))) == sorted(map(tuple, whole.points.round(3)))
