"""Every prompt by itself: each centroid of the prompt generator decoded alone, its neighbours as background."""

from typing import TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View, Window
from sac_lightning.data.windows import nearest_windows, to_input_pixels
from sac_lightning.inference.prompt_sets import prompt_sets
from sac_lightning.inference.suppression import Candidate
from sac_lightning.inference.thresholds import EveryNucleus, EveryPrompt
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.point_selection import region_centroids
from sac_lightning.model.prompt_generator import INTERIOR, MASK
from sac_lightning.model.promptable import Promptable

BATCH = 32
"""Prompt sets per pass of the decoder."""
MAX_PIXELS = 2**24
"""Of an image: the embeddings of all its windows are kept, some hundreds of megabytes for so many pixels."""

Centres: TypeAlias = NDArray[np.float32]


def refuse_model(model: nn.Module, separation: EveryPrompt | None = None) -> None:
    """Raise UserError if a model's prompts cannot be decoded one by one.

    Args:
        model: The model.
        separation: By which they are to be, if that is known.
    """
    if not isinstance(model, Promptable):
        raise UserError("instances=prompts is for models that take points: choose watershed or components")
    if model.dense:
        raise UserError(
            "instances=prompts cannot take a model with a dense prompt, which shows all nuclei at once: choose "
            "watershed or components"
        )
    if separation is not None and isinstance(separation, EveryNucleus) != model.decodes_nuclei:
        raise UserError(
            "the thresholds of instances=prompts belong to a model with another prompts.objective: tune them "
            "again with python -m sac_lightning.evaluate checkpoint=F instances=prompts tune=true"
        )


def refuse_given_points(count: int) -> None:
    """Raise UserError if there are expert points, which this method does not use."""
    if count:
        raise UserError(
            "instances=prompts decodes the model's own points and takes no expert points: leave them out, or "
            "choose watershed"
        )


def refuse_size(height: int, width: int, factor: float = 1.0) -> None:
    """Raise UserError if an image is too large for the embeddings of all its windows to be kept.

    Args:
        height: In pixels.
        width: In pixels.
        factor: How many of them are one of the training, see View.at_scale: an enlarged image has more windows.
    """
    pixels = round(height * width * max(1.0, factor**-2))
    if pixels > MAX_PIXELS:
        enlarged = ", which it has where it is enlarged for the model" if factor < 1 else ""
        raise UserError(
            f"instances=prompts takes images of up to {MAX_PIXELS:,} pixels, not {pixels:,}{enlarged}: choose "
            "instances=watershed, or cut the image into regions"
        )


@torch.no_grad()
def candidates(model: nn.Module, prediction: Prediction, view: View) -> list[Candidate]:
    """Decode the centroids that the selection O takes (Eq. 5), each alone.

    They are those of the whole image's blended map, at the model's own threshold; without a generator, of the
    model's own probability. The nearest centroids around one are its negative points. As the decoder has learnt
    masks of all nuclei (Eq. 6-7), a nucleus is what is connected to its point. The score is the decoder's estimate
    of its mask's IoU.

    Args:
        model: See refuse_model.
        prediction: Of the image, with its embeddings.
        view: The view that it was made by.

    Returns:
        One per centroid whose mask has its point; none where the decoder calls its own point background.
    """
    assert isinstance(model, Promptable)
    assert prediction.image_embeddings is not None, "predict with keep_embeddings"
    maps = prediction.generator_maps
    probability = prediction.probability if maps is None else maps[INTERIOR if len(maps) > 1 else MASK]
    mask = (probability > model.point_selection.threshold).cpu().numpy()
    height, width = mask.shape
    windows = view.windows(height, width)
    centres = region_centroids(mask, mask.size)
    owners = nearest_windows(centres, windows)
    coords, labels = prompt_sets(centres, owners, windows)
    found = []
    for start in range(0, len(centres), BATCH):
        part = slice(start, start + BATCH)
        signs = torch.from_numpy(labels[part]).to(probability.device)
        points = to_input_pixels(torch.from_numpy(coords[part]).to(probability.device), signs, windows[0], view)
        embeddings = prediction.image_embeddings[torch.from_numpy(owners[part]).to(probability.device)]
        logits, iou = model.decode(embeddings, points, signs)
        for i, score in enumerate(iou.float().tolist(), start=start):
            window = windows[owners[i]]
            found.append(_candidate(logits[i - start], score, centres[i], window, (height, width)))
    return [candidate for candidate in found if candidate is not None]


def _candidate(
    logits: Tensor, score: float, centre: Centres, window: Window, size: tuple[int, int]
) -> Candidate | None:
    """Return what is connected to a centroid (2,) in a decoded mask (1, h, w), within the image."""
    wanted = (window.height, window.width)
    sized = F.interpolate(logits.float()[None], wanted, mode="bilinear", align_corners=False)[0, 0]
    (rows, columns), in_window = window.clip(*size)
    mask = (sized[in_window] > 0).cpu().numpy()
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    x, y = round(float(centre[0])) - columns.start, round(float(centre[1])) - rows.start
    if not mask[y, x]:
        return None
    left, top, width, height = statistics[regions[y, x], :4].tolist()
    tight = regions[top : top + height, left : left + width] == regions[y, x]
    return Candidate(columns.start + left, rows.start + top, tight, score)
