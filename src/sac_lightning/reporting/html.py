"""One HTML page with every table, figure and claim; it opens from disk and loads nothing from the network."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path
from string import Template
from urllib.parse import quote

from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from sac_lightning.core.files import whole_file
from sac_lightning.reporting.charts import COLOURS

LIBRARY = "plotly.min.js"
# Plotly's names for the line styles of the charts.
DASHES = ("solid", "dash", "dot", "dashdot")
# For an image whose file is absent: hide it and show the sentence after it.
ABSENT = 'onerror="this.hidden = true; this.nextElementSibling.hidden = false"'
# A cell with a number, perhaps followed by an interval, a deviation or a unit; not "3-point 1-expert".
NUMBER = re.compile("[-+<±\u2212]?\\d(?!.*[A-Za-z]{5})")


@dataclass(frozen=True)
class Curve:
    """A curve to hover over: epochs counted from 1, and validation Dice in percent."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True)
class Section:
    """A table or figure on the page; all texts are plain text.

    Attributes:
        name: Anchor, unique on the page.
        title: Heading.
        introduction: Paragraphs, separated by empty lines.
        header: Header of the table; empty if there is no table.
        rows: Rows of the table, each as long as the header; the first column names them.
        curves: Curves, drawn in one chart.
        pictures: Captions and paths relative to the page, with "/"; the files may be absent.
        notes: Remarks below the table.
    """

    name: str
    title: str
    introduction: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    curves: Sequence[Curve]
    pictures: Sequence[tuple[str, str]]
    notes: Sequence[str]


def write_html(folder: Path, sections: Sequence[Section], name: str = "index.html") -> Path:
    """Write the page and, beside it, the library that draws its curves, from the installed package.

    Args:
        folder: Folder of the page; created if needed.
        sections: Sections in the page's order.
        name: Name of the page.

    Returns:
        Path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / name
    for path, text in ((folder / LIBRARY, get_plotlyjs()), (page, html_page(sections))):
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    return page


def html_page(sections: Sequence[Section]) -> str:
    """Return the page as text; the same sections give the same text."""
    template = Template((files(__package__) / "page.html").read_text(encoding="utf-8"))
    links = [f'<li><a href="#{_anchor(part)}">{escape(part.title)}</a></li>' for part in sections]
    return template.substitute(
        contents="\n".join(["<ul>", *links, "</ul>"]), sections="\n".join(_section(part) for part in sections)
    )


def _anchor(section: Section) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", section.name)


def _section(section: Section) -> str:
    paragraphs = [text.strip() for text in re.split(r"\n\s*\n", section.introduction) if text.strip()]
    parts = [
        f'<section id="{_anchor(section)}">',
        f"<h2>{escape(section.title)}</h2>",
        *(f"<p>{escape(text)}</p>" for text in paragraphs),
        _table(section) if section.header else "",
        _notes(section.notes) if section.notes else "",
        _chart(section.curves) if section.curves else "",
        _gallery(section.pictures) if section.pictures else "",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _table(section: Section) -> str:
    columns = zip(*section.rows, strict=True) if section.rows else [()] * len(section.header)
    classes = [' class="number"' if _is_numeric(column) else "" for column in columns]
    classes[0] = ""
    header = [
        f'<th scope="col"{kind}>{escape(text)}</th>' for text, kind in zip(section.header, classes, strict=True)
    ]
    lines = []
    for first, *others in section.rows:
        cells = [f"<td{kind}>{escape(text)}</td>" for text, kind in zip(others, classes[1:], strict=True)]
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>')
    return "\n".join(
        [
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(section.title)}">',
            "<table>",
            f"<thead><tr>{''.join(header)}</tr></thead>",
            "<tbody>",
            *lines,
            "</tbody>",
            "</table>",
            "</div>",
        ]
    )


def _is_numeric(cells: Sequence[str]) -> bool:
    """Return whether a column is numeric: of its cells with a digit (not "not run"), at least half are numbers."""
    with_digits = [cell for cell in cells if re.search(r"\d", cell)]
    return bool(with_digits) and 2 * sum(bool(NUMBER.match(cell)) for cell in with_digits) >= len(with_digits)


def _notes(notes: Sequence[str]) -> str:
    return "\n".join(['<ul class="notes">', *(f"<li>{escape(note)}</li>" for note in notes), "</ul>"])


def _chart(curves: Sequence[Curve]) -> str:
    """Return the chart's place, with a sentence for when the library is absent, and Plotly's figure as JSON."""
    figure = {
        "data": [_trace(index, curve) for index, curve in enumerate(curves)],
        "layout": {
            "height": 400 + 10 * len(curves),
            "margin": {"l": 55, "r": 10, "t": 10, "b": 45},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hovermode": "closest",
            "showlegend": True,
            "legend": {"orientation": "h", "y": -0.2},
            "xaxis": {"title": {"text": "epoch"}, "zeroline": False, "automargin": True},
            "yaxis": {"title": {"text": "validation Dice (percent)"}, "zeroline": False, "automargin": True},
        },
    }
    return "\n".join(
        [
            '<div class="chart">',
            f'<p class="missing">Run python -m sac_lightning.report to put {LIBRARY} beside this page.</p>',
            "</div>",
            f'<script type="application/json">{inline_json(figure)}</script>',
        ]
    )


def inline_json(value: object) -> str:
    """Return JSON that is safe in a script element: it holds no "</script>" or "<!--", which would end it."""
    return json.dumps(value, sort_keys=True, allow_nan=False).replace("<", "\\u003c")


def _trace(index: int, curve: Curve) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        # Plotly interprets tags such as <b> in a name.
        "name": escape(curve.label, quote=False),
        "x": list(curve.xs),
        "y": [y if isfinite(y) else None for y in curve.ys],
        "line": {
            "color": COLOURS[index % len(COLOURS)],
            "dash": DASHES[index // len(COLOURS) % len(DASHES)],
        },
        "marker": {"size": 4},
        "hovertemplate": "epoch %{x}: %{y:.2f}",
    }


def _gallery(pictures: Sequence[tuple[str, str]]) -> str:
    """Return a gallery to page through; without JavaScript, pictures appear one below the other."""
    figures = []
    for caption, path in pictures:
        figures += [
            "<figure>",
            f'<img src="{escape(quote(path))}" alt="{escape(caption)}" loading="lazy" {ABSENT}>',
            f'<p class="absent" hidden>{escape(path)} is not here: run python -m sac_lightning.report where the '
            "data sets and the runs are.</p>",
            f"<figcaption>{escape(caption)}</figcaption>",
            "</figure>",
        ]
    return "\n".join(
        [
            '<div class="gallery">',
            '<div class="turn" hidden>',
            '<button type="button">previous</button>',
            '<span class="count" aria-live="polite"></span>',
            '<button type="button">next</button>',
            "</div>",
            *figures,
            "</div>",
        ]
    )
