"""Charts: the values of their lines, bars and markers, and the same files for the same records."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from sac_lightning.reporting.charts import draw_bars, draw_convergence, draw_dice_against
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow

HOSTILE = "<script>alert(\"$x_1$\")</script> & 'q' 100 %"


def record(dice: float | None = None, history: Sequence[float] = (), seed: int = 0) -> Record:
    metrics = {} if dice is None else {"dice": dice}
    rows = [{"epoch": epoch, "val/dice": value, "val/iou": value / 2} for epoch, value in enumerate(history)]
    return Record(Path("results.json"), {"seed": seed, "metrics": metrics, "parameters": {}, "history": rows})


def measured(label: str, *records: Record, paper: float | None = None, dataset: str = "monuseg") -> MeasuredRow:
    figures = {} if paper is None else {"dice": paper}
    return MeasuredRow(TableRow("table3_prompts", label, dataset, (), figures, ""), records)


def scored(label: str, *dice: float, **about: Any) -> MeasuredRow:
    return measured(label, *(record(value, seed=seed) for seed, value in enumerate(dice)), **about)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


# Figure 4


def test_a_curve_is_the_validation_dice_in_percent_by_epoch_from_one(
    tmp_path: Path, figures: list[Figure]
) -> None:
    draw_convergence(tmp_path / "figure4", [measured("SAC", record(history=[0.5, 0.6, 0.65]))])
    axis = figures[0].axes[0]
    (line,) = axis.lines
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == pytest.approx([50, 60, 65])
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "validation Dice (percent)")
    assert not axis.collections
    assert legend(figures[0]) == ["SAC"]


def test_another_metric_can_be_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    draw_convergence(tmp_path / "figure4", [measured("SAC", record(history=[0.5, 0.6]))], "val/iou")
    assert list(figures[0].axes[0].lines[0].get_ydata()) == pytest.approx([25, 30])
    assert figures[0].axes[0].get_ylabel() == "validation IoU (percent)"


def test_several_seeds_give_their_mean_in_a_band_from_lowest_to_highest(
    tmp_path: Path, figures: list[Figure]
) -> None:
    seeds = [record(history=[0.1, 0.6]), record(history=[0.2, 0.7]), record(history=[0.6, 0.8])]
    draw_convergence(tmp_path / "figure4", [measured("SAC", *seeds)])
    axis = figures[0].axes[0]
    assert list(axis.lines[0].get_ydata()) == pytest.approx([30, 70])
    (band,) = axis.collections
    corners = {(float(x), round(float(y), 6)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(1, 10), (1, 60), (2, 60), (2, 80)}


def test_the_mean_ends_where_the_first_seed_stopped(tmp_path: Path, figures: list[Figure]) -> None:
    seeds = [record(history=[0.1, 0.6, 0.9, 0.9]), record(history=[0.2, 0.7])]
    draw_convergence(tmp_path / "figure4", [measured("SAC", *seeds)])
    assert list(figures[0].axes[0].lines[0].get_xdata()) == [1, 2]


def test_a_row_that_was_not_run_is_left_out_and_the_others_keep_their_colours(
    tmp_path: Path, figures: list[Figure]
) -> None:
    sam, sac = measured("SAM", record(history=[0.2])), measured("SAC", record(history=[0.5]))
    draw_convergence(tmp_path / "both", [sam, sac])
    draw_convergence(tmp_path / "one", [measured("SAM"), sac])
    both, one = figures[0].axes[0].lines, figures[2].axes[0].lines
    assert [len(both), len(one)] == [2, 1]
    assert one[0].get_color() == both[1].get_color() != both[0].get_color()
    assert legend(figures[2]) == ["SAC"]


def test_twenty_rows_have_twenty_kinds_of_lines(tmp_path: Path, figures: list[Figure]) -> None:
    draw_convergence(tmp_path / "many", [measured(f"row {i}", record(history=[0.1, 0.2])) for i in range(20)])
    lines = figures[0].axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


# Figure 5


def test_the_test_dice_stands_at_its_number_in_the_numbers_order(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [scored("a", 0.7), scored("b", 0.5), scored("c"), scored("d", 0.8)]
    draw_dice_against(tmp_path / "figure5", rows, "point pairs", [3, 1, 8, 256])
    axis = figures[0].axes[0]
    assert list(axis.lines[0].get_xdata()) == [1, 3, 256]
    assert list(axis.lines[0].get_ydata()) == pytest.approx([50, 70, 80])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "3", "256"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("point pairs", "test Dice (percent)")
    assert not axis.collections


def test_rows_with_the_same_number_stand_above_each_other(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [scored("O", 0.7), scored("R", 0.5, 0.5), scored("none", 0.6)]
    draw_dice_against(tmp_path / "figure5", rows, "points", [1, 1, 0])
    assert list(figures[0].axes[0].lines[0].get_xdata()) == [0, 1, 1]


def test_error_bars_are_the_standard_deviation_over_seeds(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [scored("a", 0.6, 0.7, 0.8), scored("b", 0.9)]
    draw_dice_against(tmp_path / "figure5", rows, "point pairs", [1, 3])
    axis = figures[0].axes[0]
    (bar,) = axis.collections
    # Of 60, 70 and 80: mean 70, deviation sqrt((100 + 0 + 100) / 2) = 10.
    assert np.array(bar.get_segments()) == pytest.approx(np.array([[[1, 60], [1, 80]]]))
    assert "standard deviation over seeds" in axis.get_ylabel()


def test_given_intervals_are_drawn_instead(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [scored("a", 0.6, 0.8), scored("b", 0.9)]
    draw_dice_against(tmp_path / "figure5", rows, "point pairs", [1, 3], [None, (0.85, 0.92)])
    axis = figures[0].axes[0]
    (bar,) = axis.collections
    assert np.array(bar.get_segments()) == pytest.approx(np.array([[[3, 85], [3, 92]]]))
    assert "bootstrap interval" in axis.get_ylabel()


# bars


def test_bars_are_the_mean_dice_from_the_top_down_with_the_papers_beside(
    tmp_path: Path, figures: list[Figure]
) -> None:
    rows = [
        scored("SAM", 0.2, paper=24.03),
        scored("MSA"),
        scored("new", 0.6, 0.8),
        scored("SAC", 0.8, paper=84.0),
    ]
    draw_bars(tmp_path / "table3", rows)
    axis = figures[0].axes[0]
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([20, 70, 80])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["SAM", "new", "SAC"]
    assert [bar.get_y() + bar.get_height() / 2 for bar in axis.patches] == pytest.approx(axis.get_yticks())
    bottom, top = axis.get_ylim()
    assert bottom > top
    assert [text.get_text() for text in axis.texts] == ["20.0", "70.0", "80.0"]
    papers = next(line for line in axis.lines if line.get_label() == "paper")
    assert papers.get_xydata().tolist() == [[24.03, 0], [84.0, 2]]
    assert papers.get_markerfacecolor() == "none"
    assert set(legend(figures[0])) == {"measured", "paper"}


def test_bars_have_error_bars(tmp_path: Path, figures: list[Figure]) -> None:
    draw_bars(tmp_path / "table3", [scored("a", 0.6, 0.7, 0.8), scored("b", 0.5)])
    draw_bars(tmp_path / "table3", [scored("a", 0.6), scored("b", 0.5)], [None, (0.4, 0.55)])
    (deviation,), (interval,) = figures[0].axes[0].collections, figures[2].axes[0].collections
    assert np.array(deviation.get_segments()) == pytest.approx(np.array([[[60, 0], [80, 0]]]))
    assert np.array(interval.get_segments()) == pytest.approx(np.array([[[40, 1], [55, 1]]]))
    assert "paper" not in legend(figures[0])


def test_no_word_of_bars_is_cut_by_the_edge(tmp_path: Path) -> None:
    label, title = "SAM-FT 0-point 0-expert (monuseg)", "Table 4: expert points without automatic ones (scale=cpu)"
    found = draw_bars(tmp_path / "table4", [scored(label, 0.7)], title=title)
    assert found is not None
    pixels = np.asarray(Image.open(found[0]).convert("L"))
    edge = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    assert min(side.min() for side in edge) == 255


def test_rows_of_several_data_sets_say_which(tmp_path: Path, figures: list[Figure]) -> None:
    draw_bars(tmp_path / "table4", [scored("SAC", 0.6), scored("SAC", 0.5, dataset="glas")])
    labels = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert labels == ["SAC (monuseg)", "SAC (glas)"]


# files


def every_chart(folder: Path, rows: Sequence[MeasuredRow]) -> list[tuple[Path, Path] | None]:
    return [
        draw_convergence(folder / "convergence", rows, title="Figure 4"),
        draw_dice_against(folder / "against", rows, "point pairs", range(len(rows)), title="Figure 5"),
        draw_bars(folder / "bars", rows, title="Table 3"),
    ]


ROWS = [
    measured("SAC", record(0.8, [0.1, 0.2]), record(0.7, [0.15, 0.3], seed=1), paper=84.0),
    measured(HOSTILE, record(0.4, [0.1, 0.3])),
]


def test_every_chart_is_a_png_and_an_svg_beside_it_named_after_the_path(tmp_path: Path) -> None:
    draw_convergence(tmp_path / "new" / "v1.5_cpu", ROWS)
    assert sorted(os.listdir(tmp_path / "new")) == ["v1.5_cpu.png", "v1.5_cpu.svg"]
    for files in every_chart(tmp_path, ROWS):
        assert files is not None
        png, svg = files
        with Image.open(png) as image:
            assert image.format == "PNG"
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")
        assert png.stem == svg.stem


def test_the_same_rows_give_the_same_bytes_whatever_the_users_own_style(tmp_path: Path) -> None:
    every_chart(tmp_path / "one", ROWS)
    with mpl.rc_context({"font.size": 20, "savefig.dpi": 30, "text.parse_math": True, "lines.linewidth": 7}):
        every_chart(tmp_path / "two", ROWS)
    for file in sorted(os.listdir(tmp_path / "one")):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_files_hold_no_date_and_no_programs_name(tmp_path: Path) -> None:
    for files in every_chart(tmp_path, ROWS):
        assert files is not None
        with Image.open(files[0]) as image:
            assert set(image.info) <= {"dpi"}
        text = files[1].read_text()
        assert "dc:date" not in text
        assert "Matplotlib" not in text


def test_a_label_is_drawn_as_it_is(tmp_path: Path) -> None:
    every_chart(tmp_path, ROWS)
    for name in ("convergence", "bars"):
        texts = ["".join(node.itertext()) for node in ElementTree.parse(tmp_path / f"{name}.svg").iter()]
        assert HOSTILE in texts


@pytest.mark.parametrize("rows", [[], [measured("SAC")], [measured("SAC", record())]])
def test_without_anything_measured_nothing_is_written(rows: list[MeasuredRow], tmp_path: Path) -> None:
    assert every_chart(tmp_path, rows) == [None, None, None]
    assert not os.listdir(tmp_path)


def test_a_model_that_was_not_trained_has_bars_and_no_curve(tmp_path: Path) -> None:
    assert [files is None for files in every_chart(tmp_path, [scored("SAM", 0.2)])] == [True, False, False]


def test_colours_differ_in_lightness_or_hue_for_colour_blind_readers(
    tmp_path: Path, figures: list[Figure]
) -> None:
    draw_convergence(tmp_path / "seven", [measured(f"row {i}", record(history=[0.1, 0.2])) for i in range(7)])
    colours = np.array(
        [[int(to_hex(line.get_color())[i : i + 2], 16) for i in (1, 3, 5)] for line in figures[0].axes[0].lines]
    )
    # What a red-green blind eye makes of sRGB, by the matrix of Machado, Oliveira and Fernandes (2009).
    deuteranopia = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = ((colours / 255) ** 2.2) @ deuteranopia.T
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 9 * np.eye(7)
    assert apart.min() > 0.08
