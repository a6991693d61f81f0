"""PGM and PPM of more than 8 bits, which Pillow scales (grey) or cuts off (colour): their own numbers."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Binary grey or colour; width, height and highest number, comments between them, and one space before the data.
HEADER = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
LONGEST_HEADER = 4096


def read_deep_netpbm(path: Path) -> NDArray[Any] | None:
    """Return the numbers (H, W) or (H, W, 3) of a binary PGM or PPM of more than 8 bits, None of others.

    Raises:
        ValueError: The file is shorter than it says.
    """
    with path.open("rb") as file:
        header = HEADER.match(file.read(LONGEST_HEADER))
    if header is None or not 255 < int(header[4]) < 2**16:
        return None
    width, height = int(header[2]), int(header[3])
    shape = (height, width, 3) if header[1] == b"6" else (height, width)
    # Mapped, a header that claims too much takes no memory.
    stored = np.memmap(path, ">u2", "r", header.end(), shape)
    return stored.astype(np.uint16)
