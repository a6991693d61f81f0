"""Which files are images, by their names; without the libraries that read them."""

import os
from pathlib import Path

from sac_lightning.core.errors import UserError

IMAGE_ENDINGS = (".png", ".webp", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")


def refuse_name(path: Path) -> None:
    """Raise UserError if a file name is not valid UTF-8: records, tables and the console could not print it."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        name = os.fsencode(path.name).decode("ascii", "backslashreplace")
        raise UserError(f"the file name {name} is not in UTF-8: rename the file") from error
