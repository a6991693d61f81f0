"""docs/architecture.md holds: each journey goes the way that the page tells, and is no longer than it says."""

import re
from pathlib import Path

import pytest
from tests.architecture.journeys import JOURNEYS
from tests.architecture.walk import Walk, follow, room

from sac_lightning.core.view import View

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
STATION = re.compile(
    r"^\d+\. \*\*(?P<room>\w+)\*\*: \[(?P<name>[\w./]+)\]\(\.\./src/sac_lightning/(?P<file>[\w./]+)\)"
)


@pytest.fixture(scope="module", params=list(JOURNEYS))
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Walk]:
    """The name of a journey and the way that it goes."""
    return request.param, JOURNEYS[request.param](tmp_path_factory.mktemp("journey"))


def stated(name: str) -> dict[str, int]:
    """The files, changes and passages of a journey as the page's table has them."""
    cells = re.search(rf"^\| {name} \|(.+)\|$", PAGE.read_text(), re.M)
    assert cells is not None, f"{PAGE.name} has no row {name}"
    numbers = [int(number) for number in cells[1].split("|")]
    return dict(zip(("files", "changes", "passages"), numbers[:3], strict=True))


def stations(name: str) -> list[re.Match[str]]:
    """The stations of a journey as the page lists them."""
    section = PAGE.read_text().split(f"### {name[0].upper()}{name[1:]}\n")[1].split("\n#")[0]
    return [match for line in section.splitlines() if (match := STATION.match(line))]


def test_journey_is_no_longer_than_stated(journey: tuple[str, Walk]) -> None:
    name, walk = journey
    measured = {"files": len(walk.files), "changes": len(walk.changes), "passages": len(walk.passages)}
    limits = stated(name)

    grown = {what: number for what, number in measured.items() if number > limits[what]}
    assert not grown, f"{name} has grown to {grown}, {PAGE.name} says {limits}: {walk.files} {walk.changes}"


def test_page_lists_the_way(journey: tuple[str, Walk]) -> None:
    name, walk = journey
    way = iter(walk.stops)
    lost = [station["file"] for station in stations(name) if station["file"] not in way]

    assert not lost, f"not passed, or not in this order: {lost}"


@pytest.mark.parametrize("name", JOURNEYS)
def test_page_names_the_rooms(name: str) -> None:
    listed = stations(name)

    assert 5 <= len(listed) <= 12
    for station in listed:
        assert station["room"] in (room(station["file"]), "door")
        assert station["file"].endswith(station["name"])


def test_walk_goes_there_and_back() -> None:
    walk = Walk(["predict.py", "slides/run.py", "core/view.py", "slides/run.py", "core/files.py", "slides/run.py"])

    assert walk.files == ["predict.py", "slides/run.py", "core/view.py", "core/files.py"]
    assert len(walk.changes) == 5
    assert walk.passages == [("predict.py", "slides"), ("slides", "core"), ("core", "slides")]


def test_calls_and_returns_are_followed() -> None:
    view = View(64, crop=8)

    with follow("predict.py") as walk:
        view.windows(8, 8)

    assert walk.changes == [("predict.py", "core/view.py"), ("core/view.py", "predict.py")]
