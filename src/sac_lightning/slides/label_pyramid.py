"""A label map as OME-Zarr (NGFF 0.4): several resolutions, written some rows at a time.

Version 0.4 and not 0.5, as QuPath 0.6 and Bio-Formats read it; napari and SpatialData read both.
"""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zlib
from numpy.typing import DTypeLike

from sac_lightning.slides.row_store import RowStore

VERSION = "0.4"
CHUNK = 512
# Of the lowest resolution at most, in height and width.
SMALLEST = 1024


def write_ome_zarr(
    store: RowStore, path: Path, dtype: DTypeLike, micrometres: tuple[float, float] | None, name: str
) -> None:
    """Write a label map as an OME-Zarr of its own, which viewers show as labels.

    Args:
        store: The rows of the label map.
        path: Of the folder, which is there or can be made.
        dtype: Of its numbers, integers; all must fit.
        micrometres: Width and height of a pixel.
        name: Of the image.
    """
    group = zarr.open_group(path, mode="w", zarr_format=2)
    factors = write_levels(group, store, dtype)
    width, height = micrometres or (1.0, 1.0)
    unit = {} if micrometres is None else {"unit": "micrometer"}
    multiscale: dict[str, Any] = {
        "version": VERSION,
        "name": name,
        "type": "nearest",
        "axes": [{"name": axis, "type": "space", **unit} for axis in ("y", "x")],
        "datasets": describe_levels(factors, (height, width)),
    }
    group.attrs["multiscales"] = [multiscale]
    group.attrs["image-label"] = {"version": VERSION}


def write_levels(group: Any, store: RowStore, dtype: DTypeLike) -> list[int]:
    """Write a label map to arrays 0, 1, and so on of a group; return by which factor each is reduced.

    A lower resolution has every second row and column: a mean of labels would be another nucleus.
    """
    factors = [1]
    while max(store.height, store.width) / factors[-1] > SMALLEST:
        factors.append(2 * factors[-1])
    for level, factor in enumerate(factors):
        shape = -(-store.height // factor), -(-store.width // factor)
        array = group.create_array(
            str(level),
            shape=shape,
            chunks=(min(CHUNK, shape[0]), min(CHUNK, shape[1])),
            dtype=np.dtype(dtype),
            fill_value=0,
            compressors=Zlib(1),  # every reader of Zarr has it
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        for top in range(0, shape[0], CHUNK):
            bottom = min((top + CHUNK) * factor, store.height)
            array[top : top + CHUNK] = store.read_reduced(top * factor, bottom, factor).astype(dtype)
    return factors


def describe_levels(factors: list[int], pixel: tuple[float, float]) -> list[dict[str, Any]]:
    """Return the metadata of the arrays that write_levels wrote.

    Args:
        factors: As it returned them.
        pixel: Height and width of a pixel of the first.
    """
    return [
        {
            "path": str(level),
            "coordinateTransformations": [{"type": "scale", "scale": [factor * length for length in pixel]}],
        }
        for level, factor in enumerate(factors)
    ]
