"""The predict command: images in, results out, and a sentence for what went wrong."""

import csv
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.commands import saved, untrained
from tests.processes import Processes

from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.inference.drawing import NEGATIVE_RGB, POSITIVE_RGB
from sac_lightning.inference.predictor import load
from sac_lightning.model.precision import resolve_precision
from sac_lightning.predict import check
from sac_lightning.slides import row_store
from sac_lightning.slides.find_images import find_images
from sac_lightning.slides.overlay import Overlay
from sac_lightning.slides.point_files import read_points
from sac_lightning.slides.run import predict

SIZES = {"a.png": (40, 50), "b.jpg": (64, 64), "c d.tif": (20, 90)}
STEMS = ["a", "b", "c d"]
ENDINGS = {"masks": "png", "labels": "tif", "overlays": "png", "geojson": "geojson", "measurements": "csv"}


@cache
def saved_once(tiny: tuple[str, ...], folder: Path) -> Path:
    """A checkpoint of a model without points of its own; what it says depends on the image and on given points."""
    torch.manual_seed(0)
    task = untrained(*tiny, "model=lora", "view.crop=40")
    folder.mkdir()
    return saved(task, folder / "best.ckpt")


@pytest.fixture
def checkpoint(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, one for all tests."""
    return saved_once(tuple(tiny), tmp_path_factory.getbasetemp() / "predict")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three images of different kinds and sizes, and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The output folder, not there yet."""
    return tmp_path / "some" / "output"


def run(checkpoint: Path, images: Path, output: Path, **settings: Any) -> None:
    cfg = compose_config("predict", [])
    # The images are noise, in which there is no tissue.
    given = {"checkpoint": checkpoint, "images": images, "output": output, "tissue": "off", **settings}
    for key, value in given.items():
        cfg[key] = str(value) if isinstance(value, Path) else value
    predict(cfg)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def written(output: Path, kind: str) -> list[str]:
    return sorted(os.listdir(output / kind))


def refusal(checkpoint: Path, images: Path, output: Path, **settings: Any) -> str:
    """The sentence that stops the command before anything is written."""
    with pytest.raises(UserError) as refused:
        run(checkpoint, images, output, **settings)
    assert "\n" not in str(refused.value)
    assert not output.is_dir() or not any(path.is_file() for path in output.rglob("*"))
    return str(refused.value)


def failures(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on the console that report an image that failed."""
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


# What is written


def test_every_image_gets_its_results(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images, output)
    assert written(output, "") == sorted([*ENDINGS, "options", "summary.csv"]), "and nothing else, hidden or not"
    assert written(output, "options") == [f"{stem}.json" for stem in STEMS]
    for kind, ending in ENDINGS.items():
        assert written(output, kind) == [f"{stem}.{ending}" for stem in STEMS]
    for stem, size in zip(STEMS, SIZES.values(), strict=True):
        mask, overlaid = read(output / "masks" / f"{stem}.png"), read(output / "overlays" / f"{stem}.png")
        assert mask.shape == size
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255}
        assert overlaid.shape == (*size, 3)
    told = capsys.readouterr().out
    assert "3 segmented, 0 already there, 0 failed" in told
    for kind in ENDINGS:
        assert str(output / kind) in told


def test_the_mask_is_the_predictors(checkpoint: Path, images: Path, output: Path) -> None:
    run(checkpoint, images, output)
    predictor = load(checkpoint)
    masks = [predictor.segment(read(images / name)).mask for name in ("a.png", "b.jpg", "c d.tif")]
    for stem, mask in zip(STEMS, masks, strict=True):
        assert np.array_equal(read(output / "masks" / f"{stem}.png") == 255, mask)
    assert any(mask.any() for mask in masks), "a model that finds nothing tests nothing"


def test_the_overlay_is_the_image_where_nothing_was_found(checkpoint: Path, images: Path, output: Path) -> None:
    run(checkpoint, images, output)
    mask, overlaid = read(output / "masks" / "a.png") > 0, read(output / "overlays" / "a.png")
    assert np.array_equal(overlaid[~mask], read(images / "a.png")[~mask])
    assert (overlaid[mask] != read(images / "a.png")[mask]).any()


def test_one_image_instead_of_a_folder(checkpoint: Path, images: Path, output: Path) -> None:
    run(checkpoint, images / "b.jpg", output)
    assert written(output, "masks") == written(output, "overlays") == ["b.png"]


def test_the_images_are_left_as_they_are(checkpoint: Path, images: Path, output: Path) -> None:
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    run(checkpoint, images, output)
    assert {path.name: path.read_bytes() for path in images.iterdir()} == before


def test_a_pattern_instead_of_a_folder(checkpoint: Path, images: Path, output: Path) -> None:
    run(checkpoint, images / "?.*", output)
    assert written(output, "masks") == ["a.png", "b.png"]


def test_the_probability_on_request(checkpoint: Path, images: Path, output: Path) -> None:
    run(checkpoint, images / "a.png", output, probability=True)
    probability = load(checkpoint).segment(read(images / "a.png")).probability
    assert np.array_equal(read(output / "probabilities" / "a.tif"), probability)


def test_other_forms_on_request(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images, output)
    run(checkpoint, images, output, geojson="compressed")
    assert "0 segmented, 3 already there" in capsys.readouterr().out, "the plain ones are the results, too"
    run(checkpoint, images, output, geojson="compressed", formats=["ome-zarr", "imagej"])
    told = capsys.readouterr().out
    assert "3 segmented" in told, "as they lack the new forms"
    assert str(output / "ome_zarr") in told
    assert str(output / "imagej_rois") in told
    assert written(output, "geojson") == [f"{stem}.geojson.gz" for stem in STEMS]
    assert written(output, "ome_zarr") == [f"{stem}.ome.zarr" for stem in STEMS]
    assert written(output, "imagej_rois") == [f"{stem}.zip" for stem in STEMS]


def test_a_form_that_there_is_not_is_refused_before_any_work(checkpoint: Path, images: Path) -> None:
    for override, told in (
        ("formats=[ome-zarr,zip]", "formats=zip is none"),
        ("geojson=gz", "geojson=gz is none"),
    ):
        cfg = compose_config("predict", [f"checkpoint={checkpoint}", f"images={images}", "output=x", override])
        with pytest.raises(UserError, match=told):
            check(cfg)


def test_files_that_imagej_does_not_open_by_itself_are_told(
    checkpoint: Path,
    images: Path,
    output: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_store, "MOST_PIXELS", 2000)
    run(checkpoint, images, output)
    told = [line for line in capsys.readouterr().out.splitlines() if "ImageJ" in line]
    assert told == [
        f"{output / 'labels' / 'b.tif'} is larger than ImageJ opens by itself: open it there with Bio-Formats"
    ]


def test_points_that_mean_nothing_are_skipped_and_told(
    checkpoint: Path, images: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [10.5, 20.5]},
            "properties": {"classification": {"name": name, "color": [1, 2, 3]}},
        }
        for name in ("Positive", "Ignore*")
    ]
    points = tmp_path / "a.geojson"
    points.write_text(json.dumps(features))
    run(checkpoint, images, output, points=points)
    assert "skipped in a.geojson: 1 of Ignore*" in capsys.readouterr().out


def test_another_page_on_request(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Image.fromarray(read(images / "b.jpg"))
    second = first.rotate(90)
    first.save(images / "pages.tif", save_all=True, append_images=[second])
    for page in (1, 2):
        run(checkpoint, images / "pages.tif", output, page=page)
        assert f"took page {page} of 2 of pages.tif\n1 segmented, 0 already there" in capsys.readouterr().out
    for name, image in (("pages", first), ("pages_page2", second)):
        mask = load(checkpoint).segment(np.array(image)).mask
        assert np.array_equal(read(output / "masks" / f"{name}.png") > 0, mask)
    features = json.loads((output / "geojson" / "pages_page2.geojson").read_text())["features"]
    assert all(feature["geometry"]["plane"] == {"c": 0, "z": 0, "t": 1} for feature in features)
    with pytest.raises(SystemExit):
        run(checkpoint, images / "pages.tif", output, page=3, overwrite=True)
    assert "has 2 pages, no page 3" in failures(capsys)[0]


def test_whatever_goes_wrong_with_an_image_the_others_are_segmented(
    checkpoint: Path,
    images: Path,
    output: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sac_lightning.slides import run as module

    def segment(predictor: Any, path: Path, *rest: Any) -> str:
        if path.name == "b.jpg":
            raise MemoryError
        if path.name == "a.png":
            raise RuntimeError("CUDA error:\nof some kind")
        return segment_file(predictor, path, *rest)

    segment_file = module.segment_file
    monkeypatch.setattr(module, "segment_file", segment)
    with pytest.raises(SystemExit):
        run(checkpoint, images, output)
    told = failures(capsys)
    assert told[0].endswith("a.png could not be segmented (RuntimeError: CUDA error: of some kind)")
    assert told[1].endswith("b.jpg could not be segmented (MemoryError)")
    assert written(output, "masks") == ["c d.png"]


def test_a_full_disk_ends_the_command(
    checkpoint: Path, images: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sac_lightning.slides import run as module

    def segment(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "segment_file", segment)
    with pytest.raises(OSError, match="No space left"):
        run(checkpoint, images, output)


# What is there already


def test_what_is_there_is_skipped_and_the_rest_is_done(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images, output)
    (output / "masks" / "a.png").write_bytes(b"mine")
    (output / "overlays" / "b.png").unlink()
    (output / "measurements" / "c d.csv").unlink()
    capsys.readouterr()
    run(checkpoint, images, output)
    assert (output / "masks" / "a.png").read_bytes() == b"mine"
    assert read(output / "overlays" / "b.png").shape == (64, 64, 3)
    assert (output / "measurements" / "c d.csv").read_text().startswith("label,area,")
    assert "2 segmented, 1 already there, 0 failed" in capsys.readouterr().out


def test_overwrite_does_all_again(checkpoint: Path, images: Path, output: Path) -> None:
    run(checkpoint, images, output)
    (output / "masks" / "a.png").write_bytes(b"mine")
    run(checkpoint, images, output, overwrite=True)
    assert read(output / "masks" / "a.png").shape == (40, 50)


def summarised(output: Path) -> list[str]:
    """The images of the table, which says of each how many rows its measurements have."""
    with (output / "summary.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        measured = (output / "measurements" / f"{row['image']}.csv").read_text().splitlines()
        assert row["nuclei"] == str(len(measured) - 1)
        assert row["cover"], "counted, and not only from measurements"
    return [row["image"] for row in rows]


def test_the_table_of_all_has_who_was_there_and_who_came_and_none_who_failed(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images / "a.png", output)
    assert summarised(output) == ["a"]
    content = (images / "b.jpg").read_bytes()
    (images / "b.jpg").write_bytes(b"no picture")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run(checkpoint, images, output)
    assert summarised(output) == ["a", "c d"]
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told if " covered" in line] == ["a", "c d"], "was there, came"
    assert f"summary       {output / 'summary.csv'}" in told
    (images / "b.jpg").write_bytes(content)
    run(checkpoint, images / "b.jpg", output)
    assert summarised(output) == STEMS


def test_a_command_that_was_stopped_leaves_no_table_that_lacks_images_or_tells_of_former_results(
    checkpoint: Path, images: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sac_lightning.slides import run as module

    def segment(predictor: Any, path: Path, *rest: Any) -> Any:
        if path.name == "b.jpg":
            raise KeyboardInterrupt
        return segment_file(predictor, path, *rest)

    segment_file = module.segment_file
    run(checkpoint, images, output)
    with monkeypatch.context() as patch:
        patch.setattr(module, "segment_file", segment)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint, images, output, mpp="off", overwrite=True)
    assert not (output / "summary.csv").exists()
    run(checkpoint, images / "a.png", output, mpp="off")
    assert summarised(output) == STEMS


def regions_file(tmp_path: Path, name: str, side: int, **properties: Any) -> Path:
    square = [[0, 0], [side, 0], [side, side], [0, side], [0, 0]]
    geometry = {"type": "Polygon", "coordinates": [square]}
    path = tmp_path / f"{name}.geojson"
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": properties}))
    return path


def told_of_others(capsys: pytest.CaptureFixture[str], *arguments: Path, **settings: Any) -> str:
    """The one line of a run that leaves all that is there, made by other options."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run(*arguments, **settings)
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "0 segmented, 0 already there, 0 failed, " in captured.out
    assert "there by other options" in captured.out
    (line,) = captured.err.splitlines()
    assert "set overwrite=true to replace them, or choose another output" in line
    return line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("regions", lambda tmp_path: regions_file(tmp_path, "b", 30)),
        ("tissue", lambda tmp_path: regions_file(tmp_path, "b", 30)),
        ("tissue", lambda _: "auto"),
        ("mpp", lambda _: "off"),
        ("precision", lambda _: "32-true" if resolve_precision("auto", "cpu") == "bf16-mixed" else "bf16-mixed"),
        ("points", lambda tmp_path: points_file(tmp_path, "image,x,y,label\na.png,10,20,1\n")),
    ],
)
def test_results_by_other_options_are_told_and_left(
    option: str,
    value: Any,
    checkpoint: Path,
    images: Path,
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(checkpoint, images / "a.png", output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    other = {option: value(tmp_path)}
    told = told_of_others(capsys, checkpoint, images / "a.png", output, **other)
    assert told.startswith(f"error: results of a.png in {output} were made by other options ({option}): ")
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    run(checkpoint, images / "a.png", output, **other, overwrite=True)
    assert "1 segmented" in capsys.readouterr().out
    run(checkpoint, images / "a.png", output, **other)
    assert "0 segmented, 1 already there, 0 failed\n" in capsys.readouterr().out


def test_results_that_say_nothing_of_precision_were_made_in_full_precision(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images / "a.png", output, precision="32-true")
    file = output / "options" / "a.json"
    former = json.loads(file.read_text())
    assert former.pop("precision") is None
    file.write_text(json.dumps(former))
    run(checkpoint, images / "a.png", output, precision="32-true")
    assert "0 segmented, 1 already there, 0 failed\n" in capsys.readouterr().out
    assert "(precision)" in told_of_others(capsys, checkpoint, images / "a.png", output, precision="bf16-mixed")


def test_another_checkpoint_or_image_is_told_and_each_image_has_its_own_points(
    checkpoint: Path, images: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = points_file(tmp_path, "image,x,y,label\na.png,10,20,1\nb.jpg,5,5,1\n")
    run(checkpoint, images, output, points=points)
    moved = tmp_path / "moved.csv"
    moved.write_text("image,x,y,label\nb.jpg,5,5,1\na.png,10,20,1\n")
    (tmp_path / "copy.ckpt").write_bytes(checkpoint.read_bytes())
    run(tmp_path / "copy.ckpt", images, output, points=moved)
    assert "0 segmented, 3 already there, 0 failed\n" in capsys.readouterr().out, "the same, elsewhere"
    points_file(tmp_path, "image,x,y,label\na.png,10,20,1\nb.jpg,5,6,1\n")
    Image.fromarray(np.zeros((20, 90, 3), np.uint8)).save(images / "c d.tif")
    task = torch.load(checkpoint, weights_only=True)
    torch.save(task | {"epoch": 9}, tmp_path / "copy.ckpt")
    with pytest.raises(SystemExit):
        run(checkpoint, images, output, points=points)
    captured = capsys.readouterr()
    assert "0 segmented, 1 already there, 0 failed, 2 there by other options" in captured.out
    assert [line.partition(" in ")[0] for line in captured.err.splitlines()] == [
        "error: results of b.jpg",
        "error: results of c d.tif",
    ]
    assert "(points)" in captured.err
    assert "(images)" in captured.err
    points_file(tmp_path, "image,x,y,label\na,10,20,1\n")
    told = told_of_others(capsys, tmp_path / "copy.ckpt", images / "a.png", output, points=points)
    assert "(checkpoint)" in told


def test_results_of_before_are_there_whatever_they_were_made_by(
    checkpoint: Path, images: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images, output)
    for stem, content in zip(STEMS, (None, "no JSON", "[]"), strict=True):
        file = output / "options" / f"{stem}.json"
        file.unlink() if content is None else file.write_text(content)
    run(checkpoint, images, output, mpp="off")
    assert "0 segmented, 3 already there, 0 failed\n" in capsys.readouterr().out


def test_results_that_are_gone_are_made_by_what_is_asked_now(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint, images / "a.png", output)
    for kind, ending in ENDINGS.items():
        (output / kind / f"a.{ending}").unlink()
    run(checkpoint, images / "a.png", output, mpp="off")
    assert "1 segmented, 0 already there, 0 failed\n" in capsys.readouterr().out
    assert json.loads((output / "options" / "a.json").read_text())["mpp"] == "off"


# What goes wrong with one image


def test_a_bad_image_among_good_ones_is_reported_and_the_others_are_done(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "b.png").write_bytes(b"no picture")
    (images / "b.jpg").unlink()
    with pytest.raises(SystemExit) as stopped:
        run(checkpoint, images, output)
    assert stopped.value.code == 1
    assert written(output, "masks") == written(output, "overlays") == ["a.png", "c d.png"]
    captured = capsys.readouterr()
    assert "2 segmented, 0 already there, 1 failed" in captured.out
    told = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1
    assert str(images / "b.png") in told[0]


def test_a_pipe_among_images_is_not_waited_for(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(images / "b.tif")
    (images / "b.jpg").unlink()
    with pytest.raises(SystemExit):
        run(checkpoint, images, output)
    assert written(output, "masks") == ["a.png", "c d.png"]
    (told,) = failures(capsys)
    assert "b.tif cannot be read as an image (it is a pipe or a device)" in told


def test_a_point_outside_an_image_is_reported_with_its_image(
    checkpoint: Path, images: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = points_file(tmp_path, "image,x,y,label\na.png,60,3,1\nb.jpg,5,5,1\n")
    with pytest.raises(SystemExit):
        run(checkpoint, images, output, points=points)
    assert written(output, "masks") == ["b.png", "c d.png"]
    (told,) = failures(capsys)
    assert "a.png" in told, "which of a thousand images?"
    assert "(60, 3)" in told


# What goes wrong before any image


def test_a_folder_without_images_is_told(checkpoint: Path, tmp_path: Path, output: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    assert str(tmp_path / "empty") in refusal(checkpoint, tmp_path / "empty", output)


def test_images_that_are_not_there_are_told(checkpoint: Path, tmp_path: Path, output: Path) -> None:
    assert str(tmp_path / "none") in refusal(checkpoint, tmp_path / "none", output)


def test_two_images_that_would_write_one_result_are_told_and_the_others_segmented(
    checkpoint: Path, images: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(images / "a.bmp")
    with pytest.raises(SystemExit):
        run(checkpoint, images, output)
    told = failures(capsys)
    assert len(told) == 1
    assert "a.bmp and" in told[0]
    assert "a.png would write the same result" in told[0]
    assert written(output, "masks") == ["b.png", "c d.png"]


def test_a_file_that_is_no_checkpoint_is_told(images: Path, output: Path, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    assert "text.ckpt" in refusal(tmp_path / "text.ckpt", images, output)
    assert "none.ckpt" in refusal(tmp_path / "none.ckpt", images, output)


def test_an_output_that_cannot_be_a_folder_is_told(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I was here first")
    assert str(tmp_path / "file") in refusal(checkpoint, images, tmp_path / "file")


def test_images_are_found_in_order_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.Jpeg", "c.TIFF", "d.txt", ".e.png.part"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(str(tmp_path)).images] == ["a.Jpeg", "b.PNG", "c.TIFF"]


# Expert points


def points_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode())
    return path


def test_points_of_a_file_are_used(checkpoint: Path, images: Path, output: Path, tmp_path: Path) -> None:
    points = points_file(tmp_path, "image,x,y,label\na.png,10,20,1\na.png,30,6,0\nc d,60,7,1\n")
    run(checkpoint, images, output, points=points)
    predictor = load(checkpoint)
    image = read(images / "a.png")
    with_points = predictor.segment(image, [[10, 20], [30, 6]], [1, 0])
    assert np.array_equal(read(output / "masks" / "a.png") > 0, with_points.mask)
    assert not np.array_equal(with_points.probability, predictor.segment(image).probability)
    overlaid = read(output / "overlays" / "a.png")
    assert tuple(overlaid[20, 10]) == POSITIVE_RGB
    assert tuple(overlaid[6, 30]) == NEGATIVE_RGB
    assert tuple(read(output / "overlays" / "c d.png")[7, 60]) == POSITIVE_RGB
    assert np.array_equal(read(output / "masks" / "b.png") > 0, predictor.segment(read(images / "b.jpg")).mask), (
        "an image without points goes without"
    )


def test_points_of_qupath_are_used(checkpoint: Path, images: Path, output: Path, tmp_path: Path) -> None:
    geometry = {"type": "MultiPoint", "coordinates": [[10.5, 20.5], [30.5, 6.5]]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": "Positive"}}}
    points = tmp_path / "a.geojson"
    points.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    run(checkpoint, images, output, points=points)
    overlaid = read(output / "overlays" / "a.png")
    assert tuple(overlaid[20, 10]) == tuple(overlaid[6, 30]) == POSITIVE_RGB
    mask = load(checkpoint).segment(read(images / "a.png"), [[10, 20], [30, 6]]).mask
    assert np.array_equal(read(output / "masks" / "a.png") > 0, mask)


def test_points_are_read_by_name_with_or_without_ending(images: Path, tmp_path: Path) -> None:
    # As a spreadsheet writes it: a mark of UTF-8, lines that end in CR LF, columns in another order.
    path = points_file(tmp_path, "\ufefflabel,x,y,image\r\n1,1.5,2,a\r\n0,3,4,a.png\r\n1,-0.5,0,b.jpg\r\n")
    points = read_points(path, find_images(str(images)).images)
    assert points.keys() == {"a.png", "b.jpg"}
    assert points["a.png"].tolist() == [[1.5, 2, 1], [3, 4, 0]]
    assert points["b.jpg"].tolist() == [[-0.5, 0, 1]]


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("image,x,y\na.png,3,4\n", 2, "label"),
        ("file,x,y,label\na.png,3,4,1\n", 2, "image"),
        ("image,x,y,label\na.png,3,4,1\na.png,three,4,1\n", 3, "x"),
        ("image,x,y,label\na.png,3\n", 2, "y"),
        ("image,x,y,label\na.png,3,4,nucleus\n", 2, "label"),
        ("image,x,y,label\nz.png,3,4,1\n", 2, "z.png"),
        ("image;x;y;label\na.png;3;4;1\n", 2, "columns"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(
    text: str, line: int, named: str, checkpoint: Path, images: Path, output: Path, tmp_path: Path
) -> None:
    sentence = refusal(checkpoint, images, output, points=points_file(tmp_path, text))
    assert "points.csv" in sentence
    assert f"line {line}" in sentence
    assert named in sentence


@pytest.mark.parametrize(("x", "label"), [("nan", "1"), ("5", "2"), ("5", "0.5"), ("inf", "1")])
def test_a_point_that_means_nothing_is_reported_with_its_image(
    x: str,
    label: str,
    checkpoint: Path,
    images: Path,
    output: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = points_file(tmp_path, f"image,x,y,label\na.png,{x},4,{label}\n")
    with pytest.raises(SystemExit):
        run(checkpoint, images / "a.png", output, points=points)
    (told,) = failures(capsys)
    assert "a.png" in told
    assert not written(output, "masks")


def test_boxes_are_refused_before_the_work_by_what_takes_points_alone(
    checkpoint: Path, images: Path, output: Path, tmp_path: Path
) -> None:
    path = points_file(tmp_path, "image,x,y,label,right,bottom\na.png,3,4,1,9,9\na.png,3,4,1,,\n")
    sentence = refusal(checkpoint, images, output, points=path)
    assert "boxes (1 are given) are for instances=prompts" in sentence
    assert not output.exists()


def test_a_points_file_that_cannot_be_read_is_told(
    checkpoint: Path, images: Path, output: Path, tmp_path: Path
) -> None:
    assert "none.csv" in refusal(checkpoint, images, output, points=tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("image,x,y,label\né.png,1,1,1\n".encode("latin-1"))
    assert "latin.csv" in refusal(checkpoint, images, output, points=tmp_path / "latin.csv")


def test_points_at_the_edge_are_drawn_as_far_as_they_reach() -> None:
    image = np.full((9, 9, 3), 100, dtype=np.uint8)
    points = np.array([[-0.5, -0.5], [8.49, 8.49]], dtype=np.float32)
    overlay = Overlay(9, 9, is_large=False)
    overlay.append(image, np.zeros((9, 9), dtype=np.int32))
    picture = overlay.draw(points, np.array([1, 0]))
    assert tuple(picture[0, 0]) == POSITIVE_RGB
    assert tuple(picture[8, 8]) == NEGATIVE_RGB
    assert (image == 100).all()


# As a person types it


def test_the_command_runs_from_any_folder(
    checkpoint: Path, images: Path, tmp_path: Path, processes: Processes
) -> None:
    (images / "broken.png").write_bytes(b"no picture")
    (tmp_path / "best.ckpt").symlink_to(checkpoint)
    arguments = ["checkpoint=best.ckpt", "images=images", "output=out"]
    answer = processes.run("sac_lightning.predict", *arguments, folder=tmp_path)
    assert answer.returncode == 1, answer.stderr
    assert "3 segmented, 0 already there, 1 failed" in answer.stdout
    assert "Traceback" not in answer.stderr
    assert "error: images/broken.png cannot be read" in answer.stderr
    assert written(tmp_path / "out", "masks") == [f"{stem}.png" for stem in STEMS]
    assert sorted(os.listdir(tmp_path)) == ["best.ckpt", "images", "out"], "nothing else is left behind"
