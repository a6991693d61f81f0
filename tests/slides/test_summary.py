"""The counts of predict: a row for each image of the folder, however it came to be there."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.scale import Scale
from sac_lightning.images import tiff_pixels
from sac_lightning.images.selection import DEFAULT, Selection
from sac_lightning.inference.doubt import CROWDED
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides import segmentation
from sac_lightning.slides.count_lines import MOST_LINES, tell_counts
from sac_lightning.slides.options import write_options
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.regions import Regions
from sac_lightning.slides.segmentation import segment_file
from sac_lightning.slides.summary import COLUMNS, FOUND, NOT_COUNTED, write_summary

NO_POINTS = np.zeros((0, 3), dtype=np.float32)
Scene = Callable[..., NDArray[np.uint8]]


@pytest.fixture
def output(tmp_path: Path) -> OutputFolder:
    """Made, and empty."""
    folder = OutputFolder(tmp_path / "out")
    folder.make()
    return folder


def done(
    predictor: Predictor, path: Path, output: OutputFolder, selection: Selection = DEFAULT, **area: Any
) -> dict[str, Any]:
    """Segment an image as the command does, and give its row."""
    row = segment_file(predictor, path, NO_POINTS, output, selection, **{"tissue": False, **area}).row
    write_options(output.options_file(path.stem + selection.suffix), {"instances": "components", FOUND: row})
    return row


def table(output: OutputFolder) -> dict[str, dict[str, str]]:
    with output.summary_file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return {row["image"]: row for row in reader}


def labels_of(output: OutputFolder, name: str) -> NDArray[Any]:
    return np.asarray(tifffile.imread(output.path / "labels" / f"{name}.tif"))


def test_a_row_says_what_the_label_map_does(
    output: OutputFolder, dark: Callable[..., Predictor], scene: Scene, tmp_path: Path
) -> None:
    image = scene(96, 128)
    Image.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", image, resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    for name in ("a.png", "b.tif"):
        done(dark(), tmp_path / name, output)
    rows = write_summary(output)
    assert list(rows) == ["a", "b"]
    written = table(output)
    areas = np.bincount(labels_of(output, "a").ravel())[1:]
    assert len(areas) > 5
    for name, row in written.items():
        assert row["nuclei"] == str(len(areas))
        assert row["area"] == str(96 * 128)
        assert float(row["cover"]) == pytest.approx(areas.sum() / (96 * 128), abs=1e-4)
        assert float(row["median_area"]) == np.median(areas)
        assert (row["density_per_mm2"] != "") == (row["area_um2"] != "") == (name == "b")
    assert float(written["b"]["area_um2"]) == pytest.approx(96 * 128 / 16)
    assert float(written["b"]["density_per_mm2"]) == pytest.approx(len(areas) / (96 * 128 / 16) * 1e6, rel=1e-4)
    assert float(written["b"]["median_area_um2"]) == pytest.approx(np.median(areas) / 16, abs=1e-3)


def test_what_a_person_says_of_the_pixels_goes_before_the_file(
    output: OutputFolder, dark: Callable[..., Predictor], scene: Scene, tmp_path: Path
) -> None:
    Image.fromarray(scene(64, 64)).save(tmp_path / "a.png")
    small = dark()
    given = Predictor(small.model, small.view, scale=Scale(micrometres=0.5), mpp=0.5)
    assert done(given, tmp_path / "a.png", output)["area_um2"] == 64 * 64 / 4


def test_in_strips_it_is_the_same(
    output: OutputFolder,
    dark: Callable[..., Predictor],
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Image.fromarray(scene(150, 90)).save(tmp_path / "a.tif")
    square = Regions(shapely.box(10, 20, 70, 120))
    whole = [done(dark(), tmp_path / "a.tif", output, regions=regions) for regions in (None, square)]
    monkeypatch.setattr(tiff_pixels, "SMALL_PIXELS", 0)
    monkeypatch.setattr(segmentation, "BAND_PIXELS", 1)
    parts = [done(dark(), tmp_path / "a.tif", output, regions=regions) for regions in (None, square)]
    assert parts == whole
    assert whole[1]["area"] == pytest.approx(60 * 100, rel=0.05), "the regions alone"
    assert whole[1]["nuclei"] < whole[0]["nuclei"]


def test_pages_of_a_file_have_a_row_each_and_former_rows_stay(
    output: OutputFolder, dark: Callable[..., Predictor], scene: Scene, tmp_path: Path
) -> None:
    pages = [Image.fromarray(scene(64, 64, seed)) for seed in (0, 1)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    done(dark(), tmp_path / "a.tif", output)
    first = write_summary(output)["a"]
    done(dark(), tmp_path / "a.tif", output, Selection(page=2))
    rows = write_summary(output)
    assert list(rows) == ["a", "a_page2"]
    assert rows["a"] == first
    for name in rows:
        assert rows[name]["nuclei"] == labels_of(output, name).max()


@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}", '{"found": {"nuclei": "many"}}'])
def test_results_without_counts_are_counted_from_their_table(
    content: str | None, output: OutputFolder, dark: Callable[..., Predictor], scene: Scene, tmp_path: Path
) -> None:
    Image.fromarray(scene(64, 64)).save(tmp_path / "a.png")
    nuclei = done(dark(), tmp_path / "a.png", output)["nuclei"]
    options = output.options_file("a")
    options.unlink() if content is None else options.write_text(content)
    rows = write_summary(output)
    assert rows["a"] == {**dict.fromkeys(COLUMNS), "image": "a", "nuclei": nuclei, "warnings": NOT_COUNTED}
    assert tell_counts(rows) == [f"a: {nuclei} nuclei", f"doubt: a: {NOT_COUNTED}"]


def test_without_results_there_is_no_table_and_a_fault_leaves_the_older_one(
    output: OutputFolder,
    dark: Callable[..., Predictor],
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert write_summary(output) == {}
    assert not output.summary_file.exists()
    for name in ("a", "b"):
        Image.fromarray(scene(64, 64)).save(tmp_path / f"{name}.png")
    done(dark(), tmp_path / "a.png", output)
    write_summary(output)
    before = output.summary_file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert list(write_summary(output)) == ["a"], "nothing is new, so a folder that may not be written will do"
    done(dark(), tmp_path / "b.png", output)
    (output.path / "measurements" / "._a.csv").write_bytes(b"\0\5\26\7")  # of macOS, on other systems' disks
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_summary(output)
    assert output.summary_file.read_bytes() == before
    assert not list(output.path.glob(".*"))
    monkeypatch.undo()
    assert list(write_summary(output)) == ["a", "b"]


def test_doubts_are_in_the_table_and_told_with_their_images(
    output: OutputFolder, dark: Callable[..., Predictor], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((64, 64, 3), 20, dtype=np.uint8)).save(tmp_path / f"{name}.png")
        done(dark(), tmp_path / f"{name}.png", output)
    rows = write_summary(output)
    assert [row["warnings"] for row in table(output).values()] == [CROWDED, CROWDED]
    assert tell_counts(rows) == [
        "a: 1 nucleus, 100.0 % covered",
        "b: 1 nucleus, 100.0 % covered",
        f"doubt: a, b: {CROWDED}",
    ]


def test_of_many_images_one_line_is_told() -> None:
    row = {"density_per_mm2": None, "cover": 0.1, "warnings": ""}
    rows = {f"i{number}": {**row, "nuclei": number} for number in range(MOST_LINES + 1)}
    assert tell_counts(rows) == ["21 images: 210 nuclei, from 0 (i0) to 20 (i20)"]
    known = {"a": {**row, "nuclei": 1234, "density_per_mm2": 4567.8}}
    assert tell_counts(known) == ["a: 1,234 nuclei, 4,568 per mm², 10.0 % covered"]
