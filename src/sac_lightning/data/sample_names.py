"""Names of images, under which a test writes its predictions."""

from collections import Counter
from collections.abc import Sequence

from sac_lightning.core.errors import UserError

LONGEST = 255 - len(".json")
"""Bytes of a name, so that the file of a prediction has at most 255, the most that file systems take."""


def refuse_names(names: Sequence[str]) -> None:
    """Raise UserError if a prediction could not be written under the name of its image, or two under one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"{count} images have the name {name}: give each a name of its own")
        if not name or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
            raise UserError(f"the name {name!r} of an image cannot be that of a file: rename the image")
        if len(name.encode()) > LONGEST:
            length = len(name.encode())
            raise UserError(f"the image {name[:40]}... has a name of {length} bytes: shorten it to {LONGEST}")
