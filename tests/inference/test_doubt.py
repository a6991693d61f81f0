"""Reasons to doubt a result: each by itself, and none where all is as nuclei are."""

import numpy as np
import pytest

from sac_lightning.core.scale import Scale
from sac_lightning.inference.doubt import CROWDED, NARROW, SPECKS, STRANGE, WIDE, count_unsure, find_doubts

SCALE = Scale(diameter=20.0)


@pytest.mark.parametrize(
    ("cover", "median", "factor", "doubts"),
    [
        (0.3, 314.0, 1, ()),
        (0.5, 314.0, 1, ()),
        (0.51, 314.0, 1, (CROWDED,)),
        (0.1, 19.0, 0.25, (SPECKS,)),
        (0.1, 9 * 320.0, 1, (WIDE,)),
        (0.1, 9 * 320.0, 3, ()),
        (0.1, 314 / 9.2, 1, (NARROW,)),
        (0.9, 12.0, 1, (CROWDED, SPECKS, NARROW)),
        (0.0, None, 1, ()),
    ],
)
def test_each_reason_has_its_sentence(
    cover: float, median: float | None, factor: float, doubts: tuple[str, ...]
) -> None:
    assert find_doubts(cover, median, SCALE, factor) == doubts


def test_a_checkpoint_that_does_not_say_how_wide_nuclei_were_raises_no_doubt_of_it() -> None:
    assert find_doubts(0.1, 5000.0, Scale()) == ()


def test_a_model_that_is_unsure_of_much_of_an_image_has_seen_none_like_it() -> None:
    assert find_doubts(0.1, 314.0, SCALE, unsure=0.7) == ()
    assert find_doubts(0.1, 314.0, SCALE, unsure=0.8) == (STRANGE,)
    probability = np.array([[0.1, 0.3, 0.6], [0.7, 0.9, 0.2]], np.float32)
    assert count_unsure(probability) == (3, 3)
    assert count_unsure(np.zeros((2, 2), np.float32)) == (0, 0)
