"""Pictures of rows side by side: where masks and points lie, and what a panel shows without them."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import LoadedSample
from sac_lightning.inference.drawing import MASK_COLOUR, NEGATIVE_RGB, POSITIVE_RGB, overlay_mask
from sac_lightning.reporting.pictures import compare
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow

HOSTILE = "<script>$x_1$ & 'q'"


def sample(name: str = "cells", height: int = 40, width: int = 60) -> LoadedSample:
    """A grey image with two nuclei."""
    instances = np.zeros((height, width), dtype=np.int32)
    instances[5:15, 10:20] = 1
    instances[20:30, 40:50] = 2
    return LoadedSample(name, np.full((height, width, 3), 100, dtype=np.uint8), instances)


def square(height: int = 40, width: int = 60) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return mask


def run(
    folder: Path, masks: dict[str, np.ndarray], points: list[list[float]] | None = None, dice: float = 0.813
) -> Record:
    """A run that has left its masks, and its points on each of them."""
    (folder / "test").mkdir(parents=True)
    for name, mask in masks.items():
        Image.fromarray(mask).save(folder / "test" / f"{name}.png")
        if points is not None:
            (folder / "test" / f"{name}.json").write_text(json.dumps({"points": points}))
    return Record(folder / "results.json", {"images": [{"name": name, "dice": dice} for name in masks]})


def measured(label: str, *records: Record) -> MeasuredRow:
    return MeasuredRow(TableRow("figure5_pairs", label, "monuseg", (), {}, ""), records)


def shown(axis: Axes) -> np.ndarray:
    return np.asarray(axis.images[0].get_array())


def drawn_points(axis: Axes) -> dict[str, list[list[float]]]:
    """The points of a panel by colour."""
    colours = {tuple(np.array(POSITIVE_RGB) / 255): "blue", tuple(np.array(NEGATIVE_RGB) / 255): "pink"}
    return {
        colours[to_rgb(points.get_facecolor()[0])]: np.asarray(points.get_offsets()).tolist()
        for points in axis.collections
        if len(points.get_offsets())
    }


def test_a_line_is_the_image_the_truth_and_the_mask_of_each_row(tmp_path: Path, figures: list[Figure]) -> None:
    image = sample()
    rows = [
        measured("SAC", run(tmp_path / "sac", {"cells": square()})),
        measured("MSA", run(tmp_path / "msa", {"cells": ~square()}, dice=0.5)),
    ]
    compare(tmp_path / "figure5", [image], rows)
    panels = figures[0].axes
    assert (shown(panels[0]) == image.image).all()
    assert (shown(panels[1]) == overlay_mask(image.image, image.instances > 0)).all()
    assert (shown(panels[2]) == overlay_mask(image.image, square())).all()
    assert (shown(panels[2])[square()] != 100).any(axis=1).all()
    assert (shown(panels[2])[~square()] == 100).all()
    assert (shown(panels[3]) == overlay_mask(image.image, ~square())).all()
    titles = [panel.get_title() for panel in panels]
    assert titles == ["image", "truth", "SAC\nDice 81.3", "MSA\nDice 50.0"]
    assert panels[0].get_ylabel() == "cells"


def test_the_picture_file_shows_the_mask_in_the_rows_panel_only(tmp_path: Path) -> None:
    empty = LoadedSample("cells", sample().image, np.zeros((40, 60), dtype=np.int32))
    rows = [measured("SAC", run(tmp_path / "sac", {"cells": square()}))]
    files = compare(tmp_path / "picture", [empty], rows)
    assert files is not None
    with Image.open(files[0]) as opened:
        pixels = np.array(opened.convert("RGB")).astype(int)
    yellow = (np.abs(pixels - MASK_COLOUR).max(axis=2) <= 8).nonzero()[1]
    assert yellow.min() > pixels.shape[1] * 2 / 3


def test_points_are_blue_on_nuclei_and_pink_on_background_and_padding_is_not_drawn(
    tmp_path: Path, figures: list[Figure]
) -> None:
    points = [[10, 5, 1], [40, 20.5, 1], [2, 3, 0], [0, 0, -1]]
    compare(
        tmp_path / "picture", [sample()], [measured("SAC", run(tmp_path / "sac", {"cells": square()}, points))]
    )
    assert drawn_points(figures[0].axes[2]) == {"blue": [[10, 5], [40, 20.5]], "pink": [[2, 3]]}
    assert not figures[0].axes[0].collections
    assert not figures[0].axes[1].collections


def test_many_points_are_small(tmp_path: Path, figures: list[Figure]) -> None:
    for count in (1, 256):
        points = [[10, 5, 1]] * count
        rows = [measured("SAC", run(tmp_path / str(count), {"cells": square()}, points))]
        compare(tmp_path / "picture", [sample()], rows)
    few, many = (figure.axes[2].collections[0].get_sizes()[0] for figure in figures[::2])
    assert many < few / 4


def test_a_large_image_is_shown_at_512_pixels_with_its_mask_and_points_in_place(
    tmp_path: Path, figures: list[Figure]
) -> None:
    large = sample(height=512, width=1024)
    rows = [measured("SAC", run(tmp_path / "sac", {"cells": square(512, 1024)}, [[600.5, 100.5, 1]]))]
    compare(tmp_path / "picture", [large], rows)
    panel = shown(figures[0].axes[2])
    assert panel.shape == (256, 512, 3)
    assert ((panel != 100).any(axis=2) == square(256, 512)).all()
    # The border of the pixels 600 and 601 is the middle of the pixel 300.
    assert drawn_points(figures[0].axes[2]) == {"blue": [[300, 50]]}


def test_a_row_without_a_mask_says_not_run(tmp_path: Path, figures: list[Figure]) -> None:
    other = sample("other")
    rows = [
        measured("SAC", run(tmp_path / "sac", {"cells": square()}, [[1, 1, 1]])),
        measured("MSA"),
        measured("copied", Record(tmp_path / "records" / "msa.json", {"images": [{"name": "cells", "dice": 1}]})),
    ]
    compare(tmp_path / "picture", [sample(), other], rows)
    words = [[text.get_text() for text in axis.texts] for axis in figures[0].axes]
    assert words == [[], [], [], ["not run"], ["not run"], [], [], ["not run"], ["not run"], ["not run"]]
    assert figures[0].axes[3].get_title() == "MSA"
    assert figures[0].axes[4].get_title() == "copied"


def test_a_row_without_points_has_its_mask(tmp_path: Path, figures: list[Figure]) -> None:
    compare(tmp_path / "picture", [sample()], [measured("U-Net", run(tmp_path / "unet", {"cells": square()}))])
    assert (shown(figures[0].axes[2]) == overlay_mask(sample().image, square())).all()
    assert drawn_points(figures[0].axes[2]) == {}


def test_the_first_seed_stands_for_its_row(tmp_path: Path, figures: list[Figure]) -> None:
    first = run(tmp_path / "0", {"cells": square()}, dice=0.1)
    second = run(tmp_path / "1", {"cells": ~square()}, dice=0.9)
    compare(tmp_path / "picture", [sample()], [measured("SAC", first, second)])
    assert (shown(figures[0].axes[2]) == overlay_mask(sample().image, square())).all()
    assert figures[0].axes[2].get_title() == "SAC\nDice 10.0"


def test_without_any_prediction_nothing_is_written(tmp_path: Path) -> None:
    rows = [measured("SAC", run(tmp_path / "sac", {"other": square()})), measured("MSA")]
    assert compare(tmp_path / "out" / "picture", [sample()], rows) is None
    assert compare(tmp_path / "out" / "picture", [], rows) is None
    assert compare(tmp_path / "out" / "picture", [sample()], []) is None
    assert os.listdir(tmp_path) == ["sac"]


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [measured(HOSTILE, run(tmp_path / "sac", {"cells": square()}, [[1, 2, 1], [3, 4, 0]]))]
    one = compare(tmp_path / "new" / "one", [sample()], rows)
    two = compare(tmp_path / "new" / "two", [sample()], rows)
    assert one is not None
    assert two is not None
    assert sorted(os.listdir(tmp_path / "new")) == ["one.png", "one.svg", "two.png", "two.svg"]
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()
    texts = ["".join(node.itertext()) for node in ElementTree.parse(one[1]).iter()]
    assert HOSTILE in texts


def test_an_svg_of_many_panels_stays_below_five_megabytes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = [
        LoadedSample(
            f"noise{i}",
            generator.integers(0, 256, (400, 400, 3), dtype=np.uint8),
            np.zeros((400, 400), dtype=np.int32),
        )
        for i in range(5)
    ]
    masks = {image.name: square(400, 400) for image in images}
    rows = [measured(f"row {i}", run(tmp_path / str(i), masks)) for i in range(3)]
    files = compare(tmp_path / "picture", images, rows)
    assert files is not None
    assert 1_000_000 < files[1].stat().st_size < 5_000_000


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    rows = [measured("SAC", run(tmp_path / "sac", {"cells": square(60, 40)}))]
    with pytest.raises(UserError, match=r"cells\.png is 40x60 pixels but its image is 60x40"):
        compare(tmp_path / "picture", [sample()], rows)
    assert os.listdir(tmp_path) == ["sac"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"points": [[1, 2]]}', '{"points": [["x", 2, 1]]}', "\udcff"])
def test_a_file_that_holds_no_points_is_named(text: str, tmp_path: Path) -> None:
    rows = [measured("SAC", run(tmp_path / "sac", {"cells": square()}))]
    (tmp_path / "sac" / "test" / "cells.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"cells\.json holds no points"):
        compare(tmp_path / "picture", [sample()], rows)


def test_a_run_that_prompted_with_no_points_has_none(tmp_path: Path, figures: list[Figure]) -> None:
    compare(tmp_path / "picture", [sample()], [measured("SAM", run(tmp_path / "sam", {"cells": square()}, []))])
    assert drawn_points(figures[0].axes[2]) == {}
