"""The way of a call through the package: the files that it passes, and how often it goes from room to room."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import sac_lightning

PACKAGE = f"{Path(sac_lightning.__file__).parent}/"


def room(file: str) -> str:
    """Return the room of a file, its first folder; a file at the top of the package is a room by itself."""
    return file.split("/")[0]


@dataclass
class Walk:
    """The way of a reader who follows every call into its file and goes back with it.

    Attributes:
        stops: Files below the package, one for each call of one of our functions and for each return to one.
    """

    stops: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """The files in the order in which they are entered first."""
        return list(dict.fromkeys(self.stops))

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The steps from a file to one in another room, by a call or a return; a repeated one counts once."""
        steps = zip(self.stops, self.stops[1:], strict=False)
        return [(start, end) for start, end in dict.fromkeys(steps) if room(start) != room(end)]

    @property
    def passages(self) -> list[tuple[str, str]]:
        """The rooms that the changes lead from and to; one that several files share counts once."""
        return list(dict.fromkeys((room(start), room(end)) for start, end in self.changes))


@contextmanager
def follow(door: str | None = None) -> Iterator[Walk]:
    """Follow the calls of a block, imports left out.

    Args:
        door: The file of the command that makes these calls. None: a user of the library does.
    """
    walk = Walk([] if door is None else [door])

    def note(frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return") or _file(frame) is None:
            return
        way = list(_ours(frame))
        if any(name == "<module>" for _, name in way):
            return
        if event == "call":
            walk.stops.append(way[0][0])
        elif len(way) > 1:
            walk.stops.append(way[1][0])
        elif door is not None:
            walk.stops.append(door)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield walk
    finally:
        sys.setprofile(before)


def _ours(frame: FrameType | None) -> Iterator[tuple[str, str]]:
    """Yield the file and the function of a frame and of its callers, as far as they are of the package."""
    while frame is not None:
        file = _file(frame)
        if file is not None:
            yield file, frame.f_code.co_name
        frame = frame.f_back


def _file(frame: FrameType) -> str | None:
    """Return the file of a frame below the package; None where it is not of the package."""
    path = frame.f_code.co_filename
    return path.removeprefix(PACKAGE) if path.startswith(PACKAGE) else None
