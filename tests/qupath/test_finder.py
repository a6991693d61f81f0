"""The model behind the server: images that are encoded once, and models that know no single nuclei."""

from typing import Any

import numpy as np
import pytest
from shapely.geometry import Point, shape
from tests.inference.discs import predictor
from tests.page.conftest import tiny_predictor
from tests.qupath.conftest import encode, prompt
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.scene import render_scene
from sac_lightning.inference import kept_images
from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.magnification import Magnification
from sac_lightning.inference.predictor import Nuclei, Predictor
from sac_lightning.qupath import finder as finder_module
from sac_lightning.qupath.answers import format_nuclei
from sac_lightning.qupath.finder import Finder
from sac_lightning.qupath.questions import Prompt, Question
from sac_lightning.qupath.view_file import read_view

SCENE = render_scene(np.random.default_rng(4), 96, 128, "fluorescence")[0]


def click(*points: tuple[int, int], **fields: Any) -> Prompt:
    """A question about points on nuclei."""
    asked = {"point_coords": points, "point_labels": [1] * len(points), "b64img": encode(SCENE)} | fields
    return Prompt.model_validate(prompt(**asked), strict=False)


def test_a_view_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []

    def count(text: str) -> Any:
        encoded.append(text)
        return read_view(text)

    monkeypatch.setattr(finder_module, "read_view", count)
    finder = Finder(predictor(), "discs")
    one, other = encode(np.zeros((64, 90, 3), np.uint8)), encode(np.ones((64, 90, 3), np.uint8))
    for view in (one, one, other, one):
        finder.find_prompted(click((20, 20), b64img=view))
        finder.find_all(Question(b64img=view))
    assert len(encoded) == 2
    monkeypatch.setattr(kept_images, "MOST_BYTES", 0)
    finder.find_prompted(click((20, 20), b64img=encode(np.full((64, 90, 3), 2, np.uint8))))
    finder.find_prompted(click((20, 20), b64img=one))
    assert len(encoded) == 4, "what was asked last pushed it out"


@pytest.mark.parametrize("options", [(), ("model=sam_ft",)])
def test_other_models_answer_with_the_nucleus_under_the_prompt(options: tuple[str, ...], tiny: list[str]) -> None:
    model = tiny_predictor(tiny, *options, crop=64)
    finder = Finder(model, "tiny")
    instances = EncodedImage(model, SCENE).segment().instances
    everything = finder.find_all(Question(b64img=encode(SCENE)))
    assert len(everything) == instances.max() > 0
    rows, columns = np.nonzero(instances)
    x, y = int(columns[len(columns) // 2]), int(rows[len(rows) // 2])
    for asked in (click((x, y)), click(bbox=(x - 3, y - 3, x + 4, y + 4), point_coords=[], point_labels=[])):
        for found in finder.find_prompted(asked):
            assert shape(found["geometry"]).intersects(Point(x + 0.5, y + 0.5))
            assert 0 <= found["properties"]["quality"] <= 1


class Bright(nn.Module):
    """A network without points, for which what is bright is a nucleus."""

    def forward(self, images: Tensor) -> Tensor:
        return (images.mean(dim=1, keepdim=True) - 30) / 5


def test_a_network_without_points_answers_a_click_with_its_own_nucleus_or_none() -> None:
    model = Predictor(Bright(), View(64, 64))
    instances = EncodedImage(model, SCENE).segment().instances
    (y, x), (row, column) = np.argwhere(instances > 0)[0].tolist(), np.argwhere(instances == 0)[0].tolist()
    finder = Finder(model, "network")
    (found,) = finder.find_prompted(click((x, y), (x, y)))
    assert shape(found["geometry"]).area == (instances == instances[y, x]).sum()
    assert finder.find_prompted(click((column, row))) == []


def test_what_finds_nothing_by_itself_says_so(tiny: list[str]) -> None:
    finder = Finder(tiny_predictor(tiny, "model=sam", "prompts=none", crop=64), "plain")
    with pytest.raises(UserError, match="plain finds nothing by itself: draw points"):
        finder.find_all(Question(b64img=encode(SCENE)))
    finder.find_prompted(click((50, 50)))


def test_what_would_be_too_large_where_it_is_enlarged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Predictor, "magnify", lambda *_: Magnification(0.02))
    with pytest.raises(UserError, match="where it is enlarged for the model"):
        Finder(predictor(), "discs").find_all(Question(b64img=encode(SCENE)))


def test_a_nucleus_in_two_pieces_is_a_multipolygon() -> None:
    instances = np.zeros((8, 9), np.int32)
    instances[1:3, 1:3] = instances[3:6, 3:5] = 2
    probability = np.where(instances == 2, 0.75, 0).astype(np.float32)
    none = np.zeros((0, 2), np.float32)
    nuclei = Nuclei(instances > 0, probability, none, np.zeros(0, np.int64), instances)
    (found,) = format_nuclei(nuclei, [2], "m")
    assert found["geometry"]["type"] == "MultiPolygon"
    assert shape(found["geometry"]).is_valid
    assert shape(found["geometry"]).area == 10
    assert found["properties"]["quality"] == 0.75
