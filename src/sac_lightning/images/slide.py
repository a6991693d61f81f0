"""An open image: its size, its rows on request, its channels, and the size of its pixels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:  # whoever opens a slide has found them: the chain of imports stays short
    from sac_lightning.images.selection import Candidate, Plane

# Of any number type: (rows, W) grey or (rows, W, 3) RGB.
Pixels = NDArray[Any]

# What is read at a time of an image that is only looked through.
STRIP_PIXELS = 2**23


@dataclass(frozen=True)
class Slide:
    """An open image, of any size: one plane of one image of a file.

    Attributes:
        height: In pixels.
        width: In pixels.
        read: Returns the rows from the first number to before the second, (n, W) grey or (n, W, 3) RGB, in the
            file's own numbers. What is not there (tiles that are missing, pixels that are transparent) is
            background.
        micrometres: Width and height of a pixel, if the file has them.
        piece: How many rows the file's tiles have, which are decoded together.
        candidates: The images that the file holds; empty: it holds one, of which it says no more.
        plane: Where a stack has this plane; None: the file has no stack.
        note: What was chosen of what else is there, such as ``series 2 of 3 (slide)``; empty: there was no choice.
        levels: Height and width of the resolutions that can be opened, this one first; may be empty.
        open_level: Returns the resolution of an index of ``levels``; None: there is only this one.
    """

    height: int
    width: int
    read: Callable[[int, int], Pixels]
    micrometres: tuple[float, float] | None = None
    piece: int = 1
    candidates: "tuple[Candidate, ...]" = ()
    plane: "Plane | None" = None
    note: str = ""
    levels: tuple[tuple[int, int], ...] = ()
    open_level: "Callable[[int], Slide] | None" = None

    def whole_pieces(self, bottom: int) -> int:
        """Return the end of the rows above ``bottom`` and of those decoded with them, unless they are many."""
        if self.piece * self.width > STRIP_PIXELS:
            return min(bottom, self.height)
        return min(-(-bottom // self.piece) * self.piece, self.height)

    def strips(self) -> Iterator[Pixels]:
        """Yield all rows, in strips of some STRIP_PIXELS."""
        for top, bottom in self.strip_ends():
            yield self.read(top, bottom)

    def strip_ends(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of each strip, and the row behind its last."""
        step = self.whole_pieces(max(1, STRIP_PIXELS // self.width))
        for top in range(0, self.height, step):
            yield top, min(top + step, self.height)


def whole_slide(pixels: Pixels, micrometres: tuple[float, float] | None = None, note: str = "") -> Slide:
    """Make a slide of an image in memory, (H, W) or (H, W, 3)."""
    height, width = pixels.shape[:2]
    return Slide(height, width, lambda top, bottom: pixels[top:bottom], micrometres, note=note)
