"""An image seen from afar: by the file's own smaller resolutions, without decoding the whole."""

import numpy as np

from sac_lightning.images.slide import Pixels, Slide


def reduce_slide(slide: Slide, most_pixels: int) -> tuple[Pixels, float]:
    """Return an image with at most so many pixels, and how many pixels of a side are one in it.

    Args:
        slide: The image. The smallest of its levels that has as many pixels is averaged down.
        most_pixels: At least 1.

    Returns:
        (h, w) or (h, w, 3) in the file's own numbers; the factor, by which x and y are to be multiplied.
    """
    level = slide
    if slide.open_level is not None:
        enough = [index for index, (height, width) in enumerate(slide.levels) if height * width >= most_pixels]
        if enough and enough[-1] > 0:
            level = slide.open_level(enough[-1])
    step = max(1, int(np.ceil(np.sqrt(level.height * level.width / most_pixels))))
    parts, rest = [], level.read(0, 0)
    for strip in level.strips():
        rows = np.concatenate([rest, strip])
        whole = len(rows) // step * step
        parts.append(_average(rows[:whole], step))
        rest = rows[whole:]
    if not sum(map(len, parts)):
        parts = [_average(np.repeat(rest[:1], step, axis=0), step)]
    return np.concatenate(parts), step * slide.width / level.width


def _average(rows: Pixels, step: int) -> Pixels:
    """Return the means of blocks of some pixels; columns that fill no block are left out."""
    height, width = rows.shape[0] // step, max(1, rows.shape[1] // step)
    used = rows[: height * step, : width * step]
    columns = used.shape[1] // width
    blocks = used.reshape(height, step, width, columns, *used.shape[2:])
    means = blocks.mean(axis=(1, 3), dtype=np.float32)
    result: Pixels = (np.round(means) if rows.dtype.kind in "iu" else means).astype(rows.dtype)
    return result
