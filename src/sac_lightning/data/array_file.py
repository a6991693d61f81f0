"""Arrays that NumPy saved: ``.npy``, or ``.npz`` with one array in it."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.data.stored_pixels import StoredPixels

ARRAY_ENDINGS = (".npy", ".npz")


def read_array(path: Path) -> StoredPixels:
    """Read an array of (H, W), or with axes of length 1 before or after, or (H, W, 3) channels.

    No code in the file is run.

    Raises:
        UserError: The file cannot be read, holds Python objects or several arrays, or one of another shape;
            an array of 2 or 4 channels does not say that the last one is alpha.
    """
    try:
        # A mapped file that is shorter than it claims is refused before memory is taken.
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.ndarray):
            return StoredPixels(_split_planes(np.array(loaded), path))
        with loaded as archive:
            if len(archive.files) != 1:
                names = ", ".join(archive.files) or "none"
                raise UserError(f"{path} holds {len(archive.files)} arrays ({names}): save the label map alone")
            return StoredPixels(_split_planes(archive[archive.files[0]], path))
    except UserError:
        raise
    except (OSError, ValueError, EOFError, MemoryError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} is no plain array (Python objects in it are not read): save the label map by numpy.save"
        ) from error


def _split_planes(array: NDArray[Any], path: Path) -> list[NDArray[Any]]:
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[2] in (2, 4):
        raise UserError(
            f"{path} holds an array of shape {array.shape}, of which it does not say what each channel is: "
            "save one plane of (height, width)"
        )
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3):
        return [array]
    if array.ndim == 3:
        return list(array)
    raise UserError(f"{path} holds an array of shape {array.shape}: save one of (height, width)")
