"""Masks in files: what is certain of them is read, what is doubtful is refused with the option that settles it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from sac_lightning.core.errors import UserError
from sac_lightning.core.masks import MaskMeaning
from sac_lightning.data.truth_file import StoredTruth, name_colours, read_truth

# Up to so many values, a mask may be one of classes; one with more has edges of grey.
MOST_CLASSES = 8
# A label map's numbers have about one connected region each; classes and edges of grey have many.
MOST_REGIONS_PER_LABEL = 1.25
# Lossy compression leaves noise around black of less than this part of the range of values.
NOISE = 1 / 16


def read_mask(path: Path, meaning: MaskMeaning) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Read which pixels (H, W) of a mask are nucleus, and the different values that it stores.

    Without options, a mask of two values is read: 0 and any other, or two colours one of which is black.

    Args:
        path: Of the file.
        meaning: What the options say.

    Raises:
        UserError: The file cannot be read, or it does not show which of its values are nucleus.
    """
    stored = read_truth(path)
    if stored.palette is not None:
        stored = _resolve_palette(stored, path, meaning)
    values = find_values(stored.values)
    mask = _read_values(stored, values, path, meaning)
    return (~mask if meaning.inverted else mask), values


def find_values(array: NDArray[Any]) -> NDArray[Any]:
    """Return the different values of an array, sorted."""
    if array.dtype in (np.uint8, np.uint16):
        return np.flatnonzero(np.bincount(array.ravel()))
    return np.unique(array) + np.zeros((), array.dtype)  # Adding 0 makes 0 of -0.


def _read_values(stored: StoredTruth, values: NDArray[Any], path: Path, meaning: MaskMeaning) -> NDArray[np.bool_]:
    if meaning.values is not None:
        if stored.lossy and len(values) > 2:
            raise UserError(
                f"{path} is compressed with loss, as JPEG is, which changes values: say data.threshold=128 "
                "instead of data.mask_values"
            )
        wanted = [bool(value) for value in meaning.values] if values.dtype == np.bool_ else list(meaning.values)
        return np.isin(stored.values, wanted)
    if values.dtype == np.bool_:
        return stored.values
    if meaning.threshold is not None:
        if stored.lossy and len(values) > 2 and meaning.threshold < NOISE * (float(values[-1]) + 1):
            raise UserError(
                f"{path} is compressed with loss, as JPEG is, and data.threshold={meaning.threshold:g} takes its "
                f"noise for nuclei: say data.threshold={_middle(values):g}"
            )
        if len(values) == 2 and not stored.lossy and 0 < values[1] < meaning.threshold:
            raise UserError(
                f"{path} holds {format_values(values)}, all below data.threshold={meaning.threshold:g}: say a "
                "threshold that suits all masks, or save them with the same two values"
            )
        return stored.values >= meaning.threshold
    if values[0] >= 0 and (len(values) == 1 or (len(values) == 2 and values[0] == 0)):
        mask: NDArray[np.bool_] = stored.values != 0
        return mask
    raise UserError(f"{path} holds {_explain_values(stored, values)}")


def _explain_values(stored: StoredTruth, values: NDArray[Any]) -> str:
    """Return what is doubtful about the values of a mask, with the option that settles it."""
    if values.dtype.kind == "f" and (values != np.floor(values)).any() and not stored.lossy:
        least = "0.5" if values[0] >= 0 and values[-1] <= 1 else "0"
        return (
            f"fractions from {values[0]:g} to {values[-1]:g}: say from which on they are nucleus, such as "
            f"data.threshold={least}"
        )
    named = format_values(values)
    if not stored.lossy and values[0] >= 0 and len(values) > 2 and _looks_like_label_map(stored.values):
        return (
            f"{named}, each in one place, as a label map does: rename masks/ to instances/, or, if they are "
            f"classes, say which are nucleus, such as data.mask_values=[{values[-1]:g}]"
        )
    if len(values) <= MOST_CLASSES and not stored.lossy:
        likely = values[-1] if values[-1] != 0 else values[0]
        return f"{named}: say which of them are nucleus, such as data.mask_values=[{likely:g}]"
    why = (
        "as JPEG and other lossy compression leave them"
        if stored.lossy
        else "as resizing or a soft brush leaves them"
    )
    return f"{named}, {why}: say from which on they are nucleus, such as data.threshold={_middle(values):g}"


def _looks_like_label_map(values: NDArray[Any]) -> bool:
    labels, regions = label(values.astype(np.int64), background=0, connectivity=2, return_num=True)
    found = len(find_values(values[labels > 0]))
    return bool(regions <= MOST_REGIONS_PER_LABEL * found)


def _middle(values: NDArray[Any]) -> int:
    """Return the middle of the least range of values that these fit into."""
    return next((top // 2 for top in (2**8, 2**16) if values[-1] < top), int(values[-1]) // 2)


def format_values(values: NDArray[Any]) -> str:
    """Return the values of a mask as text: all of a few, or how many and their range."""
    if len(values) > MOST_CLASSES:
        return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
    *others, last = [f"{value:g}" for value in values]
    if not others:
        return f"the value {last} alone"
    zero = "" if 0 in values else " and no 0"
    return f"the values {', '.join(others)} and {last}{zero}"


def _resolve_palette(stored: StoredTruth, path: Path, meaning: MaskMeaning) -> StoredTruth:
    """Return the greys of a palette's colours; its indices, if the colours are no greys."""
    assert stored.palette is not None
    used = find_values(stored.values)
    if used[-1] >= len(stored.palette):
        raise UserError(f"{path} uses colours that its palette lacks: save it in grey")
    colours = stored.palette[used]
    visible = colours[:, 3] > 0
    red, green, blue = colours[:, :3].T
    if visible.all() and (red == green).all() and (green == blue).all():
        return StoredTruth(stored.palette[stored.values, 0], None, stored.lossy)
    # One colour on nothing is nucleus, even black.
    background = ~visible if visible.sum() == 1 < len(used) else ~visible | ~colours[:, :3].any(axis=1)
    if meaning.values is None and len(used) == 2 and background.sum() == 1:
        return StoredTruth(np.isin(stored.values, used[~background]), None, stored.lossy)
    if meaning.values is None and len(used) == 1:
        return StoredTruth(np.full(stored.values.shape, not background[0]), None, stored.lossy)
    if meaning.values is None:
        raise UserError(
            f"{path} is in colour ({name_colours(colours)}, which its palette numbers "
            f"{', '.join(map(str, used))}): rename masks/ to instances/ if these are labels, or say which are "
            f"nucleus, such as data.mask_values=[{used[-1]}]"
        )
    return StoredTruth(stored.values, None, stored.lossy)
