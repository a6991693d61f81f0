"""The contrast that a model sees is that of the tissue or signal, whatever else is in the file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sac_lightning.data.scene import render_scene
from sac_lightning.images import slide as slides
from sac_lightning.images.open_image import open_image, read_image
from sac_lightning.images.slide import whole_slide
from sac_lightning.images.tone import prepare_image, tone_of

Image = NDArray[Any]
HE = render_scene(np.random.default_rng(1), 128, 128, "histology")[0]
FLUORESCENCE = render_scene(np.random.default_rng(4), 128, 128, "fluorescence")[0][:, :, 0]
GROUND = float(np.median(FLUORESCENCE[FLUORESCENCE < 40]))


def noise(like: Image, level: float, deviation: float, size: int) -> Image:
    shape = (size, size, *like.shape[2:])
    values = np.random.default_rng(0).normal(level, deviation, shape)
    high = np.iinfo(like.dtype).max if like.dtype.kind == "u" else np.inf
    return values.round().clip(0, high).astype(like.dtype) if like.dtype.kind == "u" else values.astype(like.dtype)


def counts(highest: int = 1500, dtype: type[np.generic] = np.uint16) -> Image:
    """A field of 100 to so many counts more, with some noise."""
    noisy = FLUORESCENCE / 255 * highest + np.random.default_rng(1).normal(100, 3, FLUORESCENCE.shape)
    return noisy.round().clip(0).astype(dtype)


def seen(image: Image) -> NDArray[np.uint8]:
    """What a model sees, in predict."""
    slide = whole_slide(image)
    tone = tone_of(slide, stretch=True)
    return tone.prepare(tone.rgb(slide.read(0, slide.height)))


# The same tissue alone and in a slide. Dice of what a model finds is measured in docs/image-files.md.


@pytest.mark.parametrize(
    ("tissue", "level", "deviation"),
    [
        (HE, 241, 1.2),
        (HE.astype(np.uint16) * 16, 241 * 16, 20),
        (255 - FLUORESCENCE // 2, 254, 0.5),
        (counts(), 100, 3),
        (counts(250), 100, 3),
        (counts(dtype=np.float32) / 4095, 100 / 4095, 3 / 4095),
        (counts(dtype=np.float32) - 500, -400, 3),
        (np.dstack([0 * FLUORESCENCE, 0 * FLUORESCENCE, FLUORESCENCE]), GROUND, 1),
    ],
    ids=["glass", "glass 12 bits", "inverted", "dark", "dark weak", "fractions", "negative", "blue"],
)
def test_tissue_looks_the_same_alone_and_in_much_that_is_empty(
    tissue: Image, level: float, deviation: float
) -> None:
    size = 1024  # 1.6 %
    slide = noise(tissue, level, deviation, size)
    slide[512:640, 320:448] = tissue
    if tissue.ndim == 3 and not tissue[:, :, 0].any():
        slide[:, :, :2] = 0
    alone, within = seen(tissue), seen(slide)[512:640, 320:448]
    assert np.abs(alone.astype(int) - within).mean() < 6
    assert (within[:, :, 2] == 0).mean() < 0.1
    assert (within[:, :, 2] == 255).mean() < 0.1


@pytest.mark.parametrize("at", [(320, 512), (301, 417), (7, 1000)], ids=["on the grid", "off it", "at the edge"])
@pytest.mark.parametrize("strength", [0.7, 0.5, 0.4])
def test_dark_tissue_looks_the_same_wherever_it_lies(strength: float, at: tuple[int, int]) -> None:
    """Cells at its edge are partly glass, which is much brighter than anything in it."""
    tissue = (render_scene(np.random.default_rng(1), 256, 256, "histology")[0] * strength).astype(np.uint8)
    slide = noise(tissue, 241, 1.2, 1536)
    slide[at[0] : at[0] + 256, at[1] : at[1] + 256] = tissue
    within = seen(slide)[at[0] : at[0] + 256, at[1] : at[1] + 256]
    assert np.abs(seen(tissue).astype(int) - within).mean() < 2


@pytest.mark.parametrize("at", [(512, 320), (501, 333), (5, 333)])
def test_a_field_cut_off_at_its_ground_looks_the_same_in_a_darker_one(at: tuple[int, int]) -> None:
    field = (render_scene(np.random.default_rng(4), 256, 256, "fluorescence")[0][:, :, 0] * 6.0 + 200).astype(
        np.uint16
    )
    slide = noise(field, 100, 3, 1024)
    slide[at[0] : at[0] + 256, at[1] : at[1] + 256] = field
    within = seen(slide)[at[0] : at[0] + 256, at[1] : at[1] + 256]
    assert np.abs(seen(field).astype(int) - within).mean() < 4


def test_two_small_pieces_far_apart_and_at_the_edge_are_seen_alike() -> None:
    slide = noise(HE, 241, 1.2, 1024)
    slide[:128, :128] = slide[-128:, -128:] = HE
    within = seen(slide)
    assert np.array_equal(within[:128, :128], within[-128:, -128:])
    assert np.abs(seen(HE).astype(int) - within[:128, :128]).mean() < 6


# What is no signal


def hot_pixel(image: Image) -> None:
    image[3, 3] = 65_535


def hot_cluster(image: Image) -> None:
    image[30:32, 60:62] = 65_535


def hot_line(image: Image) -> None:
    image[40] = 65_535


def dead_border(image: Image) -> None:
    image[:9] = image[:, -9:] = 0


def scale_bar(image: Image) -> None:
    image[-12:-6, 40:110] = 65_535


@pytest.mark.parametrize("spoil", [hot_pixel, hot_cluster, hot_line, dead_border, scale_bar])
@pytest.mark.parametrize("highest", [1500, 250])
def test_what_is_no_signal_does_not_change_what_is_seen(spoil: Any, highest: int) -> None:
    clean = counts(highest)
    spoilt = clean.copy()
    spoil(spoilt)
    same = clean == spoilt
    before, after = seen(clean)[same], seen(spoilt)[same]
    assert len(np.unique(after)) > 50, "levels are lost"
    assert np.abs(before.astype(int) - after).mean() < 12


def test_a_fibre_that_shines_leaves_the_nuclei_as_they_are() -> None:
    field = noise(counts(), 100, 3, 1024)
    field[300:428, 300:428] = counts()
    fibre = field.copy()
    fibre[100:700, 800:806] = np.random.default_rng(2).integers(30_000, 50_000, (600, 6))
    before, after = seen(field)[300:428, 300:428, 0], seen(fibre)[300:428, 300:428, 0]
    assert np.abs(before.astype(int) - after).mean() < 6


def test_unknown_numbers_are_background(tmp_path: Path) -> None:
    for name, image, ground in (("dark", counts(dtype=np.float32), 100), ("bright", HE / np.float32(255), 1)):
        torn = image.copy()
        torn[:, :40] = np.nan
        tifffile.imwrite(tmp_path / f"{name}.tif", torn, photometric="rgb" if torn.ndim == 3 else "minisblack")
        with open_image(tmp_path / f"{name}.tif") as slide:
            rows = slide.read(0, slide.height)
        assert np.isfinite(rows).all()
        assert rows[:, :40].mean() == pytest.approx(ground, rel=0.12)
        assert np.array_equal(rows[:, 40:], image[:, 40:])


# Without a stretch


def test_a_camera_of_12_bits_in_16_looks_like_8_bits_of_it() -> None:
    tone = tone_of(whole_slide(HE.astype(np.uint16) * 16), stretch=False)
    assert np.abs(tone.rgb(HE.astype(np.uint16) * 16).astype(int) - HE).max() <= 2


def test_a_hot_pixel_does_not_darken_bright_field() -> None:
    hot = HE.astype(np.uint16) * 16
    hot[5, 5] = 65_535
    assert np.abs(tone_of(whole_slide(hot), stretch=False).rgb(hot).astype(int)[10:] - HE[10:]).max() <= 2


def test_eight_bits_stay_as_they_are() -> None:
    assert np.array_equal(tone_of(whole_slide(HE), stretch=False).rgb(HE), HE)
    assert np.array_equal(prepare_image(HE, stretch=False), HE)


# Dense images as ever, empty ones as they are


@pytest.mark.parametrize("image", [HE, render_scene(np.random.default_rng(3), 200, 310, "histology")[0]])
def test_tissue_all_over_is_stretched_between_its_percentiles(image: NDArray[np.uint8]) -> None:
    low, high = np.percentile(image, [0.5, 99.5])
    expected = np.clip((image - low) * (255 / (high - low)), 0, 255)
    assert np.abs(prepare_image(image, stretch=True) - expected).max() <= 2


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_constant_image_stays_as_it_is(value: int) -> None:
    image = np.full((60, 60, 3), value, np.uint8)
    assert np.array_equal(prepare_image(image, stretch=True), image)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_fractions_of_any_size_look_the_same(factor: float) -> None:
    assert np.abs(seen(FLUORESCENCE * factor).astype(int) - seen(FLUORESCENCE * 1.5)).max() <= 1


def test_noise_is_not_stretched() -> None:
    glass = noise(HE, 241, 1.2, 256)
    assert np.array_equal(prepare_image(glass, stretch=True), glass)


def test_all_channels_share_one_scale() -> None:
    stretched = prepare_image(HE, stretch=True)
    pairs = set(zip(HE.ravel().tolist(), stretched.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(HE)), "a number becomes the same in every channel"


# One way for all


@pytest.mark.parametrize("image", [HE, FLUORESCENCE, counts(), HE.astype(np.uint16) * 200, counts(90, np.float32)])
def test_training_and_the_library_see_what_predict_sees(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slides, "STRIP_PIXELS", 128 * 24)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb" if image.ndim == 3 else "minisblack")
    with open_image(tmp_path / "a.tif") as slide:
        tone = tone_of(slide, stretch=True)
        assert len(list(slide.strips())) > 4
        rgb = tone.rgb(slide.read(0, slide.height))
    monkeypatch.undo()
    assert np.array_equal(read_image(tmp_path / "a.tif"), rgb)
    assert np.array_equal(prepare_image(rgb, stretch=True), tone.prepare(rgb))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9), (15, 128), (33, 33), (40, 40)], ids=str)
def test_a_small_grey_image_is_seen_alike_with_one_channel_and_with_three(shape: tuple[int, int]) -> None:
    """Files of one channel are read as such by predict; training has three."""
    for image in (np.resize(HE[:, :, 0], shape), np.resize(FLUORESCENCE[40:], shape)):
        assert np.array_equal(seen(image), prepare_image(np.repeat(image[:, :, None], 3, axis=2), stretch=True))


def test_grey_on_a_high_ground_is_seen_alike_with_one_channel_and_with_three() -> None:
    field = 95 + FLUORESCENCE / 255 * 60 + np.random.default_rng(0).normal(0, 1.5, FLUORESCENCE.shape)
    grey = field.round().astype(np.uint8)
    assert len(np.unique(seen(grey))) > 10
    assert np.ptp(seen(grey)) > 200
    assert np.array_equal(seen(grey), prepare_image(np.repeat(grey[:, :, None], 3, axis=2), stretch=True))


@pytest.mark.parametrize(
    "hot", [np.s_[:, 40], np.s_[:, 40:42], np.s_[60], np.s_[30:50, 70:90]], ids=["column", "two", "row", "patch"]
)
def test_hot_lines_are_not_seen(hot: Any) -> None:
    clean = counts()
    spoilt = clean.copy()
    spoilt[hot] = 65_535
    assert np.abs(seen(clean).astype(int) - seen(spoilt)).max(axis=2).mean() < 2
    assert (seen(spoilt)[hot] == 255).mean() < 0.2
