"""The last few images that were encoded, kept to be asked again."""

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

MOST_BYTES = 2 * 2**30
"""What kept images may take; the one in use is kept whatever it takes."""


class Encoded(Protocol):
    """An image that was encoded.

    Attributes:
        bytes: Size of what is kept of it.
    """

    bytes: int


Kept = TypeVar("Kept", bound=Encoded)


class KeptImages(Generic[Kept]):
    """Encoded images by a key of their pixels, those that were asked last. Not for several threads at a time."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._images: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._images)

    def find(self, key: str) -> Kept | None:
        """Return the image of a key, None if it is not kept."""
        if key in self._images:
            self._images.move_to_end(key)
        return self._images.get(key)

    def keep(self, key: str, image: Kept) -> Kept:
        """Keep an image, in place of those that were asked longest ago, and return it."""
        self._images[key] = image
        while len(self._images) > 1 and sum(each.bytes for each in self._images.values()) > MOST_BYTES:
            self._images.popitem(last=False)
        return image
