"""Strips of an image with their nuclei, each decoded by itself; only some rows and windows are in memory.

The nuclei are those of the whole image. A point is decoded when all around it are known, a nucleus is painted when
all that it may meet are decoded, and rows are given away when no nucleus that may reach them is still to come.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from sac_lightning.inference.competition import compete, drop_doubles, keep_largest_part
from sac_lightning.inference.nuclei_of_points import (
    DecodedNucleus,
    EncodedWindows,
    Points,
    decode_points,
    field_pixels,
    find_own_points,
    join_windows,
    points_shown,
    sizes_of,
)
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.thresholds import EveryNucleus
from sac_lightning.model.point_selection import positive_map
from sac_lightning.model.promptable import Promptable
from sac_lightning.slides.open_regions import clear_open_regions
from sac_lightning.slides.strips import Strip


def decode_strips(
    predictor: Predictor, strips: Iterable[Strip], size: tuple[int, int], given: Points
) -> Iterator[Strip]:
    """Add to strips the nuclei in them.

    Args:
        predictor: Whose model decodes nuclei.
        strips: From top to bottom, with the windows that are new in them.
        size: Height and width of the image.
        given: (N, 3 or 5) a person's points and boxes, see nuclei_of_points.add_boxes.
    """
    rows = _Rows(predictor, size, given)
    for strip in strips:
        rows.add(strip)
        del strip  # A slide is larger than memory: no reference to what is given away may stay.
        yield from rows.take()


class _Rows:
    """The rows that nuclei may still reach, and what is known of these."""

    def __init__(self, predictor: Predictor, size: tuple[int, int], given: Points) -> None:
        assert isinstance(predictor.model, Promptable)
        assert isinstance(predictor.separation, EveryNucleus)
        self.predictor = predictor
        self.model, self.view, self.thresholds = predictor.model, predictor.view, predictor.separation
        self.height, width = size
        self.given, self.top = given, 0
        self.strips: list[Strip] = []
        self.encoded: list[EncodedWindows] = []
        # Of these rows; of the first, the regions whose points are known are cleared.
        self.interior = np.zeros((0, width), bool)
        self.probability = np.zeros((0, width), np.float32)
        self.best = np.zeros((0, width), np.float32)
        self.numbers = np.zeros((0, width), np.int32)
        clicked = given[given[:, 2] == 1]
        self.points, self.sizes = clicked[:, :2].astype(np.float32), sizes_of(clicked)
        self.is_given = np.ones(len(clicked), bool)
        self.is_pending = np.ones(len(clicked), bool)
        self.undecided: list[DecodedNucleus] = []
        self.rivals: list[DecodedNucleus] = []  # decided, but another may be a double of one of them
        self.painted: dict[int, DecodedNucleus] = {}
        self.count = 0
        self.found: list[DecodedNucleus] = []
        self.negatives = given[given[:, 2] == 0]

    @property
    def bottom(self) -> int:
        return self.top + len(self.interior)

    def add(self, strip: Strip) -> None:
        """Add the next rows of the image, and find, decode and paint what can be."""
        self.strips.append(replace(strip, encoded=None))
        if strip.encoded is not None:
            self.encoded.append(strip.encoded)
        size = strip.probability.shape
        maps = strip.generator_maps
        interior = np.zeros(size, bool)
        if maps is not None:
            interior = positive_map(maps) > self.model.point_selection.threshold
        pixel = np.full(size, self.thresholds.pixel, np.float32)
        self.interior = np.concatenate([self.interior, interior])
        self.probability = np.concatenate([self.probability, strip.probability])
        self.best = np.concatenate([self.best, pixel])
        self.numbers = np.concatenate([self.numbers, np.zeros(size, np.int32)])
        if self.encoded:
            self._decide(self._decode(self._find_points()))
        else:  # Nothing but glass so far.
            self.final = self.bottom

    def _find_points(self) -> int:
        """Find the points of complete interiors; return the row above which all points are known."""
        complete = self.interior.copy()
        known = self.top + (len(complete) if self.bottom == self.height else clear_open_regions(complete))
        shift = np.array([0, self.top], np.float32)
        moved = self.given.copy()
        moved[:, :2] -= shift
        own = find_own_points(complete, self.model.point_selection, moved) + shift
        self.interior &= ~complete
        self.points = np.concatenate([self.points, own])
        self.sizes = np.pad(self.sizes, ((0, len(own)), (0, 0)))
        self.is_given = np.append(self.is_given, np.zeros(len(own), bool))
        self.is_pending = np.append(self.is_pending, np.ones(len(own), bool))
        return self.height if self.bottom == self.height else known

    def _decode(self, known: int) -> int:
        """Decode the points around which all are known; return the row above which no nucleus is to come."""
        windows = join_windows(self.encoded)
        field = field_pixels(self.model, windows)
        is_last = known == self.height
        asked = self.is_pending & (is_last | (self.points[:, 1] + field <= known))
        negatives = self.negatives[:, :2].astype(np.float32)
        with self.predictor.autocast():
            decoded = decode_points(
                self.model, windows, self.view, self.points, self.is_given, negatives, asked, sizes=self.sizes
            )
        self.undecided += [nucleus for nucleus in decoded if nucleus.score > self.thresholds.score]
        self.found += decoded
        self.is_pending &= ~asked
        pending = min([known, *self.points[self.is_pending, 1].tolist()])
        near = self.is_pending | (self.points[:, 1] > pending - field)
        self.points, self.sizes, self.is_given, self.is_pending = (
            values[near] for values in (self.points, self.sizes, self.is_given, self.is_pending)
        )
        self._forget_windows(windows, int(pending))
        return self.height if is_last else int(pending - field)

    def _forget_windows(self, windows: EncodedWindows, row: int) -> None:
        """Keep the windows that reach below a row, and the last of them in any case."""
        kept = [i for i, each in enumerate(windows.windows) if each.top + each.height > row]
        kept = kept or [len(windows.windows) - 1]
        chosen = [windows.windows[i] for i in kept]
        self.encoded = [EncodedWindows(chosen, windows.embeddings[kept], windows.generator_logits[kept])]

    def _decide(self, horizon: int) -> None:
        """Paint the nuclei that no nucleus still to come can meet."""
        is_last = horizon == self.height
        distinct = {id(each) for each in drop_doubles([*self.rivals, *self.undecided], self.thresholds.overlap)}
        ready = [each for each in self.undecided if is_last or each.bottom <= horizon]
        for nucleus in ready:
            if id(nucleus) in distinct:
                self.count += 1
                self.painted[self.count] = nucleus
                compete(nucleus, self.count, self.probability, self.best, self.numbers, self.top)
        done = {id(nucleus) for nucleus in ready}
        self.undecided = [each for each in self.undecided if id(each) not in done]
        end = self.height if is_last else min([horizon, *(each.top for each in self.undecided)])
        for number in [number for number, each in self.painted.items() if is_last or each.bottom <= end]:
            keep_largest_part(self.painted.pop(number), number, self.numbers, self.top)
        self.final = min([end, *(each.top for each in self.painted.values())])
        self.rivals = [each for each in [*self.rivals, *ready] if each.bottom > end]

    final = 0
    """The row of the image above which all is decided."""

    def take(self) -> Iterator[Strip]:
        """Give away the strips that are final."""
        while self.strips and self.top + len(self.strips[0].raw) <= self.final:
            strip = self.strips.pop(0)
            count = len(strip.raw)
            # Those of a person are known from the start, and so are given away with the first.
            points, labels = points_shown(self.found, self.negatives if self.top == 0 else None)
            self.found = []
            nuclei = self.numbers[:count].copy()
            yield replace(strip, nuclei=nuclei, points=points, labels=labels)
            del strip
            self.interior, self.numbers = self.interior[count:].copy(), self.numbers[count:].copy()
            self.probability, self.best = self.probability[count:].copy(), self.best[count:].copy()
            self.top += count
