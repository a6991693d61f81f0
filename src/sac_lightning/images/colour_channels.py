"""Whether channels of an image are one picture in colour: by their names, their colours, or what is in them."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.background import BRIGHT, full_scale

Colour = tuple[int, int, int]
# Returns, of the channels of these numbers, pixels (n, channels).
Sampler = Callable[[Sequence[int]], NDArray[Any]]

RED_GREEN_BLUE = ("red", "green", "blue")
ALPHA = 3
LETTERS = ("r", "g", "b", "a")
# What programs call channels of which they know nothing.
IDLE_WORDS = {"channel", "chan", "ch", "c", "z", "t", "s", "plane", "band", "component", "sample", "layer"}
IDLE_WORDS |= {"image", "colour", "color", "rgb", "rgba", "bit", "bits"}
# A number of so many digits is a wavelength, and not that of a channel.
WAVELENGTH_DIGITS = 3
# The middle of a picture in bright field is bright, and that of each of its channels no less than this part of the
# range: the green of dense tissue has .15, a channel of fluorescence below .1.
LEAST = 0.12
# Stains take light away: such channels reach at most so many times further above their middle than below; nuclei
# on a ground that seems bright reach 8 times further.
TAIL = 5.0
# Its channels rise and fall together, at least so much: stained tissue has .7 and more, other things 0.
TOGETHER = 0.4
# So much of an alpha plane is 0 or the highest number; the rest are edges.
ALPHA_SHARE = 0.9


def find_colours(names: Sequence[str], shown: Sequence[Colour | None], sample: Sampler) -> tuple[int, ...] | None:
    """Return the numbers of red, green and blue, and of alpha if there is one; None: they are no one picture.

    Names that say the colours, and nothing else, are believed. Where they say nothing, the colours in which a
    viewer shows the channels do, and without these their order; where names say more than the colours, they may
    be those of dyes. In all these cases the pixels must be those of a picture in bright field.

    Args:
        names: Of all channels, "" for one without.
        shown: Red, green and blue in which a viewer shows each, None where nothing is said; may be empty.
        sample: Returns pixels of some channels.
    """
    if len(names) not in (3, 4):
        return None
    words = [_words(name) for name in names]
    told = [_colours_of(one) for one in words]
    rest = [not one for one in _without_common(words)]
    order = _order(told, rest)
    if order is None and all(rest):
        stated = [None if colour is None else _primary(colour) for colour in shown]
        order = _order([set() if one is None else {one} for one in stated], [True] * len(names))
        if order is None and len({colour for colour in shown if colour is not None}) <= 1:
            order = tuple(range(len(names)))
    if order is None or not (say_colours(names) or looks_bright(sample(order[:ALPHA]))):
        return None
    if len(order) <= ALPHA or ALPHA in told[order[ALPHA]]:
        return order
    # Of a fourth channel without a name only its numbers tell.
    return order if looks_like_alpha(sample(order[ALPHA:])) else None


def say_colours(names: Sequence[str]) -> bool:
    """Return whether names say red, green and blue, perhaps alpha, in any order, and nothing else."""
    words = [_words(name) for name in names]
    only = all(one <= {*RED_GREEN_BLUE, *LETTERS, "alpha"} for one in words)
    return only and len(names) in (3, 4) and _order([_colours_of(one) for one in words], [False] * 4) is not None


def looks_bright(pixels: NDArray[Any]) -> bool:
    """Return whether pixels (n, 3) are of a picture in bright field, and not of three dyes in the dark."""
    if pixels.dtype.kind not in "uf" or not len(pixels):
        return False
    low, middle, high = np.percentile(pixels, (1, 50, 99), axis=0)
    full = full_scale(float(high.max()), pixels.dtype, colour=True)
    if middle.mean() < BRIGHT * full or middle.min() < LEAST * full:
        return False
    if (high - middle > TAIL * np.maximum(middle - low, pixels.dtype.kind == "u")).any():
        return False
    # The scale of more than 8 bits is a guess, by which the ground of a camera seems bright, too.
    return _move_together(pixels) or bool(pixels.dtype == np.uint8 and middle.min() >= BRIGHT * full)


def looks_like_alpha(pixels: NDArray[Any]) -> bool:
    """Return whether numbers of one channel are, but for a few, nothing or all."""
    highest = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
    return bool(pixels.size) and float(((pixels == 0) | (pixels == highest)).mean()) >= ALPHA_SHARE


def _move_together(pixels: NDArray[Any]) -> bool:
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations: NDArray[np.float64] = np.corrcoef(pixels.T.astype(np.float64))
    return bool((correlations >= TOGETHER).all())


def _words(name: str) -> set[str]:
    """Return the words of a name that say something: "Ch 1" and "C=0" have none."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = {word for word in re.findall(r"[^\W\d_]+|\d+", apart) if word not in IDLE_WORDS}
    if "lut" in words:
        return set()  # the table in which it is shown
    return {word for word in words if not word.isdecimal() or len(word) >= WAVELENGTH_DIGITS}


def _without_common(words: Sequence[set[str]]) -> list[set[str]]:
    """Return the words of each name that are not in all of them: "H&E 1" and "H&E 2" differ by their number."""
    common = {word for word in words[0] if all(word in one for one in words)}
    return [one - common for one in words]


def _colours_of(words: set[str]) -> set[int]:
    """Return which of red, green, blue and alpha words begin with, or are the first letter of."""
    found = {index for index, colour in enumerate(RED_GREEN_BLUE) for word in words if word.startswith(colour)}
    found |= {ALPHA} if "alpha" in words else set()
    return found or {LETTERS.index(word) for word in words if word in LETTERS}


def _primary(colour: Colour) -> int | None:
    """Return which of red, green and blue a colour is a pure one of."""
    lit = [index for index, value in enumerate(colour) if value > 0]
    return lit[0] if len(lit) == 1 else None


def _order(told: Sequence[set[int]], rest: Sequence[bool]) -> tuple[int, ...] | None:
    """Return where red, green, blue and, if there are four, the other one are.

    Args:
        told: Which colours each channel says.
        rest: Which channels may be the fourth by saying nothing.
    """
    where = [[index for index, colours in enumerate(told) if colours == {colour}] for colour in range(4)]
    if any(len(one) != 1 for one in where[:ALPHA]):
        return None
    order = tuple(one[0] for one in where[:ALPHA])
    others = [index for index in range(len(told)) if index not in order]
    if any(index not in where[ALPHA] and not rest[index] for index in others):
        return None
    return (*order, *others)
