"""What a visitor does and what comes of it, without a browser."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale
from sac_lightning.inference.doubt import CROWDED
from sac_lightning.inference.predictor import Predictor
from sac_lightning.page import words
from sac_lightning.page.desk import Desk, Visit
from sac_lightning.page.drawing import MASK, NOTHING, NUCLEI, Shown
from sac_lightning.page.picture_file import Picture
from sac_lightning.page.segmenter import Segmenter

Maker = Callable[..., Predictor]


def picture(height: int = 48, width: int = 64, micrometres: tuple[float, float] | None = None) -> Picture:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture("a", image, image, micrometres)


def opened(model: Predictor, results: Path, **about: tuple[float, float]) -> tuple[Desk, Visit]:
    segmenter = Segmenter(model)
    return Desk(segmenter, results), Visit(picture(**about), segmenter.first)


@pytest.mark.parametrize("size", [(48, 64), (384, 384), (1000, 700), (4096, 3000), (16, 4096)])
def test_a_click_on_the_screen_is_the_pixel_that_one_sees(size: tuple[int, int]) -> None:
    height, width = size
    shown = Shown(height, width)
    assert shown.image(np.zeros((height, width, 3), np.uint8)).shape[:2] == shown.size[::-1]
    assert shown.labels(np.ones((height, width), np.int32)).shape == shown.size[::-1]
    assert max(shown.size) <= 1536
    for x, y in ((0, 0), (width - 1, height - 1), (width // 3, height // 2)):
        (across, down), *_ = shown.to_screen([(x, y)])
        assert shown.to_image(float(across), float(down)) == pytest.approx((x, y), abs=1e-2)
    right, bottom = shown.size
    assert shown.to_image(right, bottom) == (width - 1, height - 1), "nothing lies outside the image"


def test_clicks_are_the_predictors_expert_points(predictor: Maker, results: Path) -> None:
    model = predictor("model=sac", "prompts.points=2")
    desk, visit = opened(model, results)
    visit = desk.click(desk.click(visit, 100, 200, 1), 300, 50, 0)
    clicks = np.array(visit.question.clicks)
    expected = model.segment(visit.picture.rgb, clicks[:, :2], clicks[:, 2])
    nuclei = desk.segmenter.answer(visit.picture, visit.question)
    assert nuclei.probability == pytest.approx(expected.probability, abs=1e-5)
    assert [label for *_, label in visit.question.clicks] == [1, 0]


def test_undo_and_clear_take_clicks_back(predictor: Maker, results: Path) -> None:
    desk, none = opened(predictor("model=sac"), results)
    one = desk.click(none, 100, 200, 1)
    two = desk.click(one, 300, 50, 0)
    assert desk.undo(two) == one
    assert desk.clear(two) == none
    assert desk.undo(none) == none


def test_settings_are_the_models_own_at_first_and_may_be_changed(predictor: Maker, results: Path) -> None:
    model = predictor("model=sac", "prompts.points=3", "prompts.selection=R", "prompts.threshold=0.4")
    desk, visit = opened(model, results)
    assert visit.question == replace(visit.question, clicks=(), points=3, selection="R", threshold=0.4)
    visit = desk.set_points(visit, 5, "R", 0.2)
    other = predictor("model=sac", "prompts.points=5", "prompts.selection=R", "prompts.threshold=0.2")
    nuclei = desk.segmenter.answer(visit.picture, visit.question)
    assert np.array_equal(nuclei.points, other.segment(visit.picture.rgb).points)


def test_models_say_what_they_cannot_do(predictor: Maker) -> None:
    network, lora, sac = (
        Segmenter(predictor(*overrides))
        for overrides in (("model=u_net", "model.init_features=4"), ("model=lora",), ("model=sac",))
    )

    def describe(model: Segmenter, is_own: bool = True) -> str:
        return words.describe_model(model.takes_points, model.has_generator, is_own)

    assert describe(network) == words.NO_CLICKS
    assert describe(lora) == words.NO_AUTOMATIC
    assert describe(sac) == ""
    assert describe(sac, is_own=False) == words.SHIPPED


def test_a_network_has_no_use_for_clicks(predictor: Maker, results: Path) -> None:
    desk, visit = opened(predictor("model=u_net", "model.init_features=4"), results)
    assert desk.click(visit, 100, 200, 1) == visit
    assert desk.draw(visit, MASK, 0.5).shape[2] == 3


def test_sam_untrained_waits_for_a_click_and_takes_each_by_itself(predictor: Maker, results: Path) -> None:
    model = predictor("model=sam", "backbone.weights=vit_t", "prompts=none")
    desk, none = opened(model, results)
    assert desk.summary(none) == "### Click on a nucleus to begin."
    assert not desk.segmenter.answer(none.picture, none.question).mask.any()
    one, other = desk.click(none, 100, 200, 1), desk.click(none, 500, 300, 1)
    both = desk.click(one, 500, 300, 1)
    single, second, union = (
        desk.segmenter.answer(visit.picture, visit.question).mask for visit in (one, other, both)
    )
    assert np.array_equal(union, single | second)


def test_the_picture_shows_clicks_and_nuclei(predictor: Maker, results: Path) -> None:
    desk, visit = opened(predictor("model=sac"), results)
    clicked = desk.click(visit, 500, 300, 1)
    bare, mask, nuclei, faint = (
        desk.draw(visit, style, opacity)
        for style, opacity in ((NOTHING, 1), (MASK, 0.9), (NUCLEI, 0.9), (NUCLEI, 0))
    )
    assert not np.array_equal(mask, nuclei)
    assert not np.array_equal(bare, nuclei)
    assert np.abs(faint.astype(int) - bare).mean() < np.abs(nuclei.astype(int) - bare).mean()
    around = (slice(280, 320), slice(480, 520))
    assert not np.array_equal(desk.draw(clicked, NOTHING, 1)[around], bare[around])


@pytest.mark.parametrize("micrometres", [None, (0.5, 0.25)])
def test_what_is_taken_home_is_what_is_seen(
    micrometres: tuple[float, float] | None, predictor: Maker, results: Path
) -> None:
    desk, visit = opened(predictor("model=sac"), results, micrometres=micrometres)
    visit, files = desk.downloads(desk.click(visit, 500, 300, 1))
    nuclei = desk.segmenter.answer(visit.picture, visit.question)
    with Image.open(files.mask) as mask:
        assert np.array_equal(np.array(mask) > 0, nuclei.instances > 0)
    areas = np.bincount(nuclei.instances.ravel())[1:]
    features = json.loads(files.geojson.read_text())["features"]
    assert [feature["properties"]["measurements"]["area"] for feature in features] == areas.tolist()
    with files.table.open() as lines:
        assert [float(row["area"]) for row in csv.DictReader(lines)] == areas.tolist()
    histogram, step, title = desk.histogram(visit)
    assert histogram["nuclei"].sum() == len(areas)
    assert histogram["area"].sum() == pytest.approx(areas.sum() * (1 if micrometres is None else 0.125))
    assert 1 <= histogram["area"].max() / step <= 13
    assert ("µm²" in title) == ("µm²" in desk.summary(visit)) == (micrometres is not None)


def test_what_is_to_be_doubted_stands_beside_the_result(predictor: Maker, results: Path) -> None:
    model = predictor("model=sac")
    desk, visit = opened(model, results)
    nuclei = desk.segmenter.answer(visit.picture, visit.question)
    everywhere = replace(
        nuclei, instances=np.ones_like(nuclei.instances), probability=np.ones_like(nuclei.probability)
    )
    assert desk.segmenter.doubt(visit.picture, everywhere) == (CROWDED,)
    assert words.summary(visit.picture, everywhere, False, doubts=(CROWDED,)).endswith(f"**Doubtful:** {CROWDED}.")
    nothing = replace(nuclei, instances=np.zeros_like(nuclei.instances))
    assert desk.segmenter.doubt(visit.picture, nothing) == ()
    key = (visit.picture.key, visit.question)
    desk.segmenter._answers[key] = everywhere
    assert CROWDED in desk.summary(visit)


def test_files_of_before_are_removed(predictor: Maker, results: Path) -> None:
    desk, visit = opened(predictor("model=sac"), results)
    visit, first = desk.downloads(visit)
    visit, second = desk.downloads(visit)
    assert not first.mask.exists()
    assert second.mask.exists()
    desk.leave(visit)
    assert not list(results.rglob("*.png"))


def test_images_are_forgotten_when_they_are_too_many(
    predictor: Maker, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sac_lightning.inference.kept_images.MOST_BYTES", 0)
    desk, visit = opened(predictor("model=sac"), results)
    first = desk.draw(visit, MASK, 0.5)
    desk.draw(Visit(picture(64, 48), visit.question), MASK, 0.5)
    assert len(desk.segmenter._images) == 1
    assert np.array_equal(desk.draw(visit, MASK, 0.5), first)


def test_a_picture_of_another_magnification_is_enlarged_and_told(predictor: Maker, results: Path) -> None:
    model = predictor("model=sac", crop=32)
    model.scale = Scale(micrometres=0.25)
    desk, visit = opened(model, results, micrometres=(0.5, 0.5))
    assert "The image was enlarged 2 times" in desk.summary(visit)
    nuclei = desk.segmenter.answer(visit.picture, visit.question)
    assert nuclei.probability == pytest.approx(model.segment(visit.picture.rgb, mpp=0.5).probability, abs=1e-5)
    assert visit.picture.key != picture().key, "the same pixels of another size have another answer"


def test_a_picture_that_is_too_large_once_enlarged_is_refused(predictor: Maker, results: Path) -> None:
    model = predictor("model=sac", crop=32)
    model.scale = Scale(micrometres=0.25)
    desk, _ = opened(model, results)
    with pytest.raises(UserError, match="has 4,800 pixels a side where it is enlarged"):
        desk.segmenter.encode(picture(20, 1200, (1.0, 1.0)))
