"""Read label maps, and write PNG files, whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.data.truth_file import read_truth

# Larger numbers are renumbered, so that arrays of their counts stay small.
MAX_LABEL = 65_535


def read_instances(path: Path) -> NDArray[np.int32]:
    """Read a label map (H, W): 0 is background; the numbers stay as they are unless one exceeds 65535.

    Of a palette, the index is the label, whatever its colour, unless another than the first looks like background.

    Raises:
        UserError: The file cannot be read, is in colour, is a JPEG, has labels that are negative or fractions,
            or a palette whose background is not the first colour.
    """
    stored = read_truth(path)
    if stored.palette is not None:
        _refuse_palette(stored.values, stored.palette, path)
    labels = stored.values
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        raise UserError(f"{path} holds labels that are not whole numbers: save it with 8 or 16 bits")
    if labels.min() < 0:
        raise UserError(f"{path} has labels from {labels.min():g} to {labels.max():g}: save 0 for the background")
    if stored.lossy and labels.any():
        raise UserError(
            f"{path} is compressed with loss, as JPEG is, which changes labels: save it anew as PNG or TIFF"
        )
    return _number_labels(labels)


def _refuse_palette(indices: NDArray[Any], palette: NDArray[np.uint8], path: Path) -> None:
    """Raise UserError if the black or transparent pixels of a label map are not those of index 0."""
    nothing = (palette[:, 3] == 0) | ~palette[:, :3].any(axis=1)
    used = np.unique(indices)
    dark = [int(index) for index in used if index < len(nothing) and nothing[index]]
    if dark and not nothing[0]:
        raise UserError(
            f"{path} has a palette whose background is not number 0 (number {dark[0]} is black or transparent): "
            "save whole numbers with 0 for the background"
        )


def _number_labels(labels: NDArray[Any]) -> NDArray[np.int32]:
    if labels.max() <= MAX_LABEL:
        return labels.astype(np.int32)
    numbers, inverse = np.unique(labels, return_inverse=True)
    first = 0 if numbers[0] == 0 else 1
    return inverse.reshape(labels.shape).astype(np.int32) + np.int32(first)


def write_image(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG, whole or not at all: (H, W, 3) RGB, or (H, W) grey with 8 or 16 bits."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")
