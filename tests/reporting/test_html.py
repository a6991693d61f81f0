"""The HTML page: well-formed, without external resources, and with every text as given."""

import json
import math
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sac_lightning.reporting.html import Curve, Section, html_page, inline_json, write_html

VOID = {"meta", "link", "img", "br"}
HOSTILE = '</script><script>alert("1")</script> <!-- & \' $contents ${x} <b>'
PLOTLY = "plotly.min.js"


def section(**about: Any) -> Section:
    given: dict[str, Any] = {
        "name": "table3_prompts",
        "title": "Table 3",
        "introduction": "Prompts on MoNuSeg.",
        "header": ["row", "paper", "ours"],
        "rows": [["SAC", "84.03", "78.2 ± 0.3"], ["MSA", "81.62", "not run"]],
        "curves": [Curve("SAC, seed 0", [1, 2], [50.0, 60.5])],
        "pictures": [("Dice by row", "table3_prompts/dice_cpu.png")],
        "notes": ["Intervals are over images."],
    }
    return Section(**{**given, **about})


class Page(HTMLParser):
    """A page as a reader finds it: elements with their attributes and texts; raises where they do not nest."""

    def __init__(self, text: str) -> None:
        """Parses it."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open, [name for name, _, _ in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for _, _, texts in self.open:
            texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def find(self, tag: str, **attributes: str) -> list[tuple[str, dict[str, str | None], list[str]]]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return [element for element in self.elements if element[0] == tag and wanted.items() <= element[1].items()]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return ["".join(texts) for _, _, texts in self.find(tag, **attributes)]

    def figures(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts("script", type="application/json")]


def test_the_page_has_the_table_the_notes_and_the_title_of_every_section() -> None:
    page = Page(html_page([section(), section(name="table4", title="Table 4", introduction="One.\n\nTwo.")]))
    assert page.texts("h2") == ["Table 3", "Table 4"]
    assert page.texts("th", scope="col")[:3] == ["row", "paper", "ours"]
    assert page.texts("th", scope="row")[:2] == ["SAC", "MSA"]
    assert page.texts("td")[:4] == ["84.03", "78.2 ± 0.3", "81.62", "not run"]
    assert page.texts("p")[-4:-2] == ["One.", "Two."]
    assert [text.strip() for text in page.texts("ul", class_="notes")] == ["Intervals are over images."] * 2


def test_the_contents_lead_to_every_section() -> None:
    page = Page(html_page([section(), section(name="Table 4 / ours", title="Table 4")]))
    links = [attributes["href"] for _, attributes, _ in page.find("a")]
    anchors = [f"#{attributes['id']}" for _, attributes, _ in page.find("section")]
    assert links == anchors == ["#table3_prompts", "#Table-4-ours"]
    assert page.texts("a") == ["Table 3", "Table 4"]


def test_a_section_without_table_curves_and_pictures_has_no_empty_ones() -> None:
    page = Page(html_page([section(header=[], rows=[], curves=[], pictures=[], notes=[], introduction="")]))
    assert not page.find("table")
    assert not page.find("div", class_="chart")
    assert not page.find("div", class_="gallery")
    assert not page.find("ul", class_="notes")
    assert Page(html_page([])).texts("main") == ["\n\n"]
    assert Page(html_page([section(rows=[])])).texts("th") == ["row", "paper", "ours"]


def test_nothing_is_asked_for_from_elsewhere() -> None:
    text = html_page([section(pictures=[("ours", "https://example.org/x.png")])])
    page = Page(text)
    asked = [a[name] for _, a, _ in page.elements for name in ("src", "href", "action", "data") if name in a]
    assert asked == ["data:,", "#table3_prompts", "https%3A//example.org/x.png", PLOTLY]
    assert not re.search(
        r"https?://|url\(|@import|fetch\(|XMLHttpRequest", text.replace("https://example.org", "")
    )


# hostile texts


def test_hostile_texts_are_texts_everywhere() -> None:
    honest = Page(html_page([section()]))
    page = Page(
        html_page(
            [
                section(
                    name=HOSTILE,
                    title=HOSTILE,
                    introduction=HOSTILE,
                    header=[HOSTILE, "paper", HOSTILE],
                    rows=[[HOSTILE, "84.03", HOSTILE], ["MSA", "81.62", "not run"]],
                    curves=[Curve(HOSTILE, [1, 2], [50.0, 60.5])],
                    pictures=[(HOSTILE, f"figures/{HOSTILE}.png")],
                    notes=[HOSTILE],
                )
            ]
        )
    )
    assert [tag for tag, _, _ in page.elements] == [tag for tag, _, _ in honest.elements]
    assert page.texts("h2") == page.texts("a") == page.texts("figcaption") == [HOSTILE]
    assert page.texts("th", scope="col") == [HOSTILE, "paper", HOSTILE]
    assert page.texts("th", scope="row") == [HOSTILE, "MSA"]
    assert page.texts("td")[1] == HOSTILE
    assert page.texts("li")[-1] == HOSTILE
    assert HOSTILE in page.texts("p")
    assert page.find("img")[0][1]["alt"] == HOSTILE
    assert page.find("div", role="region")[0][1]["aria-label"] == HOSTILE
    # Only what the page itself does when an event comes.
    handlers = {name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")}
    assert handlers == {"onerror"}


def test_json_in_a_script_cannot_end_it() -> None:
    value = {HOSTILE: [HOSTILE, "<!--", "<script", 1.5]}
    assert "<" not in inline_json(value)
    assert json.loads(inline_json(value)) == value


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=40))
def test_any_text_comes_back_from_the_page(text: str) -> None:
    made = section(
        header=[text, text],
        rows=[[text, text]],
        curves=[Curve(text, [1], [2])],
        notes=[text],
        pictures=[(text, "x")],
    )
    page = Page(html_page([made]))
    assert page.texts("th") == [text] * 3
    assert page.texts("td") == page.texts("figcaption") == [text]
    assert page.texts("li")[-1] == text
    name = page.figures()[0]["data"][0]["name"]
    assert name.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text
    assert "<" not in name


# tables


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (["84.03", "81.4 ± 0.3"], True),
        (["-0.31", "+1.20 (+0.80 to +1.60; p = 0.031)"], True),
        (["12,746,129", "-", "not run"], True),
        (["23 s", ""], True),
        (["<0.001", "0.5 %"], True),
        (["not run", "-"], False),
        (["monuseg", "dsb2018"], False),
        (["3-point 3-expert", "256 centroids cost twice the time"], False),
        (["holds", "holds (+42.1)"], False),
    ],
)
def test_columns_of_numbers_stand_to_the_right_with_their_header(cells: list[str], right: bool) -> None:
    page = Page(html_page([section(header=["", "column"], rows=[["1", cell] for cell in cells])]))
    kind = "number" if right else None
    aligned = [element[1].get("class") for element in page.find("td")]
    assert aligned == [kind] * len(cells)
    assert [element[1].get("class") for element in page.find("th", scope="col")] == [None, kind]
    assert all("class" not in element[1] for element in page.find("th", scope="row"))


def test_a_row_of_another_length_than_the_header_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        html_page([section(rows=[["SAC", "84.03"]])])


# curves


def test_the_curves_are_a_figure_that_plotly_accepts_with_the_values_given() -> None:
    curves = [Curve(f"row {i}", range(1, 4), [i + 0.5, i + 1.25, math.nan]) for i in range(9)]
    (figure,) = Page(html_page([section(curves=curves)])).figures()
    traces = go.Figure(figure).data  # It raises where a key or a value is not Plotly's.
    assert [trace.name for trace in traces] == [curve.label for curve in curves]
    assert [list(trace.x) for trace in traces] == [[1, 2, 3]] * 9
    assert [list(trace.y) for trace in traces] == [[i + 0.5, i + 1.25, None] for i in range(9)]
    assert len({(trace.line.color, trace.line.dash) for trace in traces}) == 9


def test_in_the_place_of_a_chart_stands_how_to_get_the_library() -> None:
    page = Page(html_page([section()]))
    sentence = f"Run python -m sac_lightning.report to put {PLOTLY} beside this page."
    assert page.texts("p", class_="missing") == [sentence]
    assert [text.strip() for text in page.texts("div", class_="chart")] == [sentence]
    # The page's script finds the figure right behind the chart.
    tags = [(tag, attributes.get("class")) for tag, attributes, _ in page.elements]
    assert tags[tags.index(("div", "chart")) + 2] == ("script", None)


# pictures


def test_pictures_have_buttons_captions_and_a_sentence_for_when_they_are_absent() -> None:
    pictures = [("Dice by row", "table3/dice.png"), ("cells #1", "table3/cells #1?.png")]
    page = Page(html_page([section(pictures=pictures)]))
    assert [element[1]["src"] for element in page.find("img")] == ["table3/dice.png", "table3/cells%20%231%3F.png"]
    assert page.texts("figcaption") == ["Dice by row", "cells #1"]
    assert page.texts("button") == ["previous", "next"]
    absent = page.find("p", class_="absent")
    assert all("hidden" in attributes for _, attributes, _ in absent)
    assert "".join(absent[1][2]).startswith("table3/cells #1?.png is not here: run python -m sac_lightning.report")
    # An image hides itself and shows the element right behind it.
    tags = [(tag, attributes.get("class")) for tag, attributes, _ in page.elements]
    assert tags[tags.index(("img", None)) + 1] == ("p", "absent")


# files


def test_the_page_and_the_library_are_written_side_by_side_the_same_each_time(tmp_path: Path) -> None:
    path = write_html(tmp_path / "one", [section()])
    write_html(tmp_path / "two", [section()])
    assert path == tmp_path / "one" / "index.html"
    assert path.read_text(encoding="utf-8") == html_page([section()])
    assert sorted(os.listdir(tmp_path / "one")) == ["index.html", PLOTLY]
    assert "plotly.js v" in (tmp_path / "one" / PLOTLY).read_text(encoding="utf-8")[:200]
    for name in ("index.html", PLOTLY):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_page_is_for_phones_and_for_light_and_dark() -> None:
    text = html_page([section()])
    metas = {attributes.get("name"): attributes.get("content") for _, attributes, _ in Page(text).find("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "prefers-color-scheme: dark" in text
    assert text.startswith("<!DOCTYPE html>")
