"""The texts of the page, in plain words."""

import re

import numpy as np
from numpy.typing import NDArray

from sac_lightning.inference.predictor import Nuclei
from sac_lightning.model.register import DEFAULT, REGISTER
from sac_lightning.page.picture_file import MAX_BYTES, MAX_SIDE, Picture

TITLE = "Find the nuclei in an image"
INTRODUCTION = (
    "Choose an image. The program marks what it takes for nuclei. Where it is wrong, click: on a nucleus that it "
    "missed, or on background that it took for one. Then take the result with you."
)
UPLOAD = (
    f"Or your own image: PNG, JPEG, TIFF, WebP, BMP or a microscope's file, at most {MAX_SIDE:,} pixels a side "
    f"and {MAX_BYTES // 2**20} MB. It stays on the computer that runs this page."
)
SHIPPED = (
    f"This is the model that comes with the program. It has learned from {REGISTER[DEFAULT].data}. On images "
    "unlike these expect mistakes. With a model that was trained on images like yours "
    "(`python -m sac_lightning.demo checkpoint=FILE`) it does better."
)
LEGEND = (
    "Large dots with a plus or a minus are your clicks, small dots the program's own points. Blue stands for "
    "nucleus, pink for background."
)
NO_CLICKS = (
    "**This model takes no points**: it is one of the networks that SAC is compared with, so clicking and the "
    "settings of points are switched off."
)
NO_AUTOMATIC = (
    "**This model sets no points by itself** (automatic points need a checkpoint that was trained with them): "
    "click on the nuclei."
)
POINTS = (
    "The program sets so many points on nuclei, and as many on background, in each part of the image that it "
    "looks at. 0: only your clicks count."
)
SELECTION = "In the middle of each region (O), the largest first; or anywhere (R)."
THRESHOLD = "The program sets a point only where it is at least so sure. Higher: fewer, safer places."


def describe_model(takes_points: bool, has_generator: bool, is_own: bool) -> str:
    """Describe the model, in Markdown."""
    if not takes_points:
        return NO_CLICKS
    if not has_generator:
        return NO_AUTOMATIC
    return "" if is_own else SHIPPED


def summary(
    picture: Picture, nuclei: Nuclei, is_empty: bool, magnified: str = "", doubts: tuple[str, ...] = ()
) -> str:
    """Summarise what was found, what is to be doubted of it, and what was done to the image, in Markdown.

    Args:
        picture: The image.
        nuclei: In it.
        is_empty: Whether nobody has asked for anything yet.
        magnified: What was done to the image's magnification.
        doubts: A sentence for each reason to doubt the nuclei.
    """
    parts = [_summary(picture, nuclei, is_empty)]
    parts += [f"**Doubtful:** {doubt}." for doubt in doubts]
    if magnified:
        parts.append(f"The image was {magnified}.")
    if picture.note:
        # Names of the file's own, without what Markdown or HTML would make of them.
        note = re.sub(r"[^\w ,()-]+", " ", picture.note)
        parts.append(f"Taken: {note} of the file.")
    return "\n\n".join(parts)


def _summary(picture: Picture, nuclei: Nuclei, is_empty: bool) -> str:
    if is_empty:
        return "### Click on a nucleus to begin."
    areas = areas_of(nuclei.instances)
    covered = 100 * float(nuclei.mask.mean())
    if len(areas) == 0:
        return "### No nuclei found\nClick on one to show the program what to look for."
    noun = "nucleus" if len(areas) == 1 else "nuclei"
    median = float(np.median(areas))
    size = f"{median:,.0f} pixels"
    if picture.micrometres is not None:
        size += f" ({median * picture.micrometres[0] * picture.micrometres[1]:,.1f} µm²)"
    return f"### {len(areas):,} {noun}\nMedian area {size}. Nuclei cover {covered:.1f} % of the image."


def areas_of(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the areas of the nuclei of a label map in pixels."""
    return np.bincount(labels.ravel())[1:].astype(np.int64)


def count_clicks(count: int) -> str:
    """Return a sentence with the number of clicks."""
    return f"{count} click{'s' * (count != 1)} so far." if count else "No clicks yet."
