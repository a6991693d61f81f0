"""Which image of a file that holds several: the one that is asked for, else the largest that is no overview."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sac_lightning.core.errors import UserError

# What scanners call the pictures beside a slide; as the last word of a name, but for the idle ones ...
OVERVIEWS = {"label", "labelimage", "macro", "macroimage", "thumbnail", "thumb", "overview", "map", "mask"}
# ... and, if nothing else is called so, as the first: "Thumbnail of 7".
FIRST_WORDS = {"macro", "macroimage", "thumbnail", "overview"}
IDLE_WORDS = {"image", "picture", "photo", "scan", "camera", "view", "area", "slide", "series", "barcode"}
IDLE_WORDS |= {"of", "the", "x", "jpg", "jpeg", "png", "tif", "tiff"}
# How many candidates a note names.
NAMED_CANDIDATES = 4


@dataclass(frozen=True)
class Selection:
    """What a person asks for.

    Attributes:
        series: Which image of a file with several, counted from 1. None: the largest that is no overview.
        page: Which plane of it, counted from 1. None: the first.
        channel: Which channel, counted from 1, or its name; ``haematoxylin``: of colours, what that stain alone
            would show. None: colours as they are, else the first.

    Raises:
        UserError: The channel is empty.
    """

    series: int | None = None
    page: int | None = None
    channel: int | str | None = None

    def __post_init__(self) -> None:
        """Refuse an empty channel."""
        if isinstance(self.channel, str) and not self.channel.strip():
            raise UserError("channel is empty: give its number from 1 or its name, or leave it out")

    @property
    def suffix(self) -> str:
        """What follows the name of the results, so that those of two images of one file never meet."""
        parts = []
        if self.series is not None:
            parts.append(f"_series{self.series}")
        if self.page is not None and self.page > 1:
            parts.append(f"_page{self.page}")
        if self.channel is not None:
            parts.append("_channel" + re.sub(r"[^\w-]+", "-", str(self.channel)))
        return "".join(parts)


# What is read where nobody asks for another.
DEFAULT = Selection()


@dataclass(frozen=True)
class Plane:
    """Where a stack has a plane, each counted from 0, as QuPath does: depth, channel, time."""

    z: int = 0
    c: int = 0
    t: int = 0


@dataclass(frozen=True)
class Candidate:
    """An image of a file.

    Attributes:
        name: What the file calls it; may be empty.
        levels: Height and width of its resolutions, the largest first.
        pages: How many planes it has.
        channels: The names of its channels; empty: it is in colour, or has one.
        is_overview: Whether it is a thumbnail, label or macro picture, and no image by itself.
    """

    name: str
    levels: tuple[tuple[int, int], ...]
    pages: int = 1
    channels: tuple[str, ...] = ()
    is_overview: bool = False

    @property
    def pixels(self) -> int:
        """How many pixels its largest resolution has."""
        height, width = self.levels[0]
        return height * width


def is_overview_name(name: str) -> bool:
    """Return whether a scanner calls a picture beside the slide like that.

    A "macro 10x10" or "Label image" is one; "label-free DIC" or "MAP2" is an image.
    """
    words = [word for word in re.findall(r"[^\W_]+", name.lower()) if _tells(word)]
    return bool(words) and (words[0] in FIRST_WORDS or words[-1] in OVERVIEWS)


def _tells(word: str) -> bool:
    """Return whether a word of a name is neither idle nor a number or size, such as 2 or 10x10."""
    return word not in IDLE_WORDS and re.fullmatch(r"\d+(x(\d+)?)?", word) is None


def name_candidates(candidates: Sequence[Candidate]) -> str:
    """Return the images of a file as text."""
    named = [
        f"series {number} ({one.name + ', ' if one.name else ''}{one.levels[0][1]}x{one.levels[0][0]})"
        for number, one in enumerate(candidates[:NAMED_CANDIDATES], 1)
    ]
    more = len(candidates) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def describe_choice(
    candidates: Sequence[Candidate], series: int, page: int, pages: int, channel: int | None
) -> str:
    """Return what was chosen, empty if there was no choice.

    Args:
        candidates: The images of the file.
        series: Index of the one that was taken.
        page: Index of its plane.
        pages: How many there are to choose from.
        channel: Index of its channel; None: it has no channels.
    """
    parts = []
    chosen = candidates[series]
    if len(candidates) > 1:
        name = f" ({chosen.name})" if chosen.name else ""
        parts.append(f"series {series + 1} of {len(candidates)}{name}")
    if channel is not None and len(chosen.channels) > 1:
        name = f" ({chosen.channels[channel]})" if chosen.channels[channel] else ""
        parts.append(f"channel {channel + 1} of {len(chosen.channels)}{name}")
    if pages > 1:
        parts.append(f"page {page + 1} of {pages}")
    return ", ".join(parts)
