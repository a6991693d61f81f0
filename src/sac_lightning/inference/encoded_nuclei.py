"""An image that has been encoded once, by a model that decodes nuclei: a click is a nucleus, and so is a box.

The model's own nuclei are found once. A click changes only what it lies on: a positive one is answered by its
nucleus, which takes the place of the one that was there; a negative one has the nucleus under it decoded again,
with the click for background, or drops it where the click lies in its interior. A box takes the place of those
whose points lie in the ellipse that it holds.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sac_lightning.data.label_maps import look_up, renumber_labels
from sac_lightning.data.windows import check_boxes, gather_points, place_points
from sac_lightning.images.tone import prepare_image
from sac_lightning.inference.competition import INSIDE, compete
from sac_lightning.inference.nuclei_of_points import (
    Points,
    add_boxes,
    decode_points,
    find_own_points,
    lie_in_boxes,
    sizes_of,
)
from sac_lightning.inference.predictor import Nuclei, Predictor, refuse_image
from sac_lightning.inference.separate import encoded_windows, separate_nuclei
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.inference.windows import segment
from sac_lightning.model.point_selection import PointSelection, positive_map
from sac_lightning.model.promptable import Promptable


class EncodedNuclei:
    """An image with its embeddings and its nuclei, kept to be corrected by clicks.

    Attributes:
        height, width: Of the image, in pixels.
        bytes: Size of what is kept of it.
    """

    def __init__(
        self,
        predictor: Predictor,
        image: NDArray[np.uint8],
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> None:
        """Encode an image: the part that takes long.

        Args:
            predictor: Whose model decodes nuclei.
            image: (H, W, 3) RGB.
            progress: Called with the number of windows that have been encoded, and of all.

        Raises:
            UserError: The image is not 8-bit RGB.
        """
        refuse_image(image)
        assert isinstance(predictor.model, Promptable)
        self.height, self.width = image.shape[:2]
        self._predictor, self._model = predictor, predictor.model
        pixels = torch.from_numpy(prepare_image(image, predictor.view.stretch)).permute(2, 0, 1).float()
        windows = predictor.view.windows(self.height, self.width)
        progress(0, len(windows))
        with predictor.autocast():
            self._prediction = segment(
                predictor.model, pixels.to(predictor.device), predictor.view, keep_embeddings=True
            )
        progress(len(windows), len(windows))
        self._encoded = encoded_windows(self._prediction, predictor.view)
        self.bytes = self._encoded.embeddings.nbytes + self._encoded.generator_logits.nbytes

    @cached_property
    def _own(self) -> NDArray[np.int32]:
        """(H, W), the nuclei without any click."""
        model, view = self._predictor.model, self._predictor.view
        with self._predictor.autocast():
            return separate_nuclei(model, self._prediction, view, self._predictor.separation)

    def segment(
        self,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        seed: int = 0,
        selection: PointSelection | None = None,
        boxes: ArrayLike | None = None,
    ) -> Nuclei:
        """Segment the image.

        Args:
            points: (N, 2) xy in image pixels: clicks. Default: none.
            labels: (N,), 1 nucleus, 0 background. Default: all 1.
            seed: Makes no difference.
            selection: Without automatic points (0), only clicked nuclei are found. Default: all of them.
            boxes: (M, 4) left, top, right, bottom in image pixels, each around a nucleus. Default: none.

        Raises:
            UserError: The points or boxes are of another form, or one lies outside the image.
        """
        size, windows = (self.width, self.height), self._encoded.windows
        placed = place_points(points, labels, size, windows, self._predictor.device)
        clicks = np.zeros((0, 3), np.float32) if placed is None else gather_points(placed, windows)
        clicks = add_boxes(clicks, check_boxes(boxes, size))
        is_automatic = selection is None or selection.points > 0
        instances = self._own.copy() if is_automatic else np.zeros((self.height, self.width), np.int32)
        own, shown = self._own_points(clicks), clicks[:, :3]
        if is_automatic:
            shown = np.concatenate([np.column_stack([own, np.ones(len(own), np.float32)]), shown])
        probability = self._prediction.probability.cpu().numpy()
        mask = probability > THRESHOLD
        if len(clicks):
            instances = self._correct(instances, clicks, own)
            mask = instances > 0
            probability = _agree(probability, mask)
        signs = shown[:, 2].astype(np.int64)
        return Nuclei(mask, probability, shown[:, :2], signs, instances)

    def _own_points(self, clicks: Points) -> Points:
        """Return the model's own points (P, 2) xy, without those in whose interior a click lies."""
        assert self._prediction.generator_maps is not None
        chosen = self._model.point_selection
        interior = positive_map(self._prediction.generator_maps.cpu().numpy()) > chosen.threshold
        return find_own_points(interior, chosen, clicks)

    def _boxed_points(self, clicks: Points) -> Points:
        """Return the model's own points (P, 2) xy whose place a box among clicks takes."""
        if not sizes_of(clicks).any():
            return clicks[:0, :2]
        own = self._own_points(clicks[:0, :3])
        return own[lie_in_boxes(own, clicks)]

    def _correct(self, instances: NDArray[np.int32], clicks: Points, own: Points) -> NDArray[np.int32]:
        """Return a label map (H, W) with the nuclei under clicks decoded anew, and those of clicks.

        Args:
            instances: (H, W), without them.
            clicks: (N, 3 or 5), boxes among them, see add_boxes.
            own: (P, 2), see _own_points.
        """
        is_positive = clicks[:, 2] == 1
        clicked, sizes = clicks[is_positive, :2], sizes_of(clicks[is_positive])
        touched = np.concatenate([clicks[:, :2], self._boxed_points(clicks)])
        under = np.setdiff1d(look_up(instances, touched), [0])
        points = np.concatenate([clicked, own])
        is_given = np.arange(len(points)) < len(clicked)
        asked = is_given | np.isin(look_up(instances, points), under)
        negatives = clicks[clicks[:, 2] == 0, :2]
        view = self._predictor.view
        sizes = np.pad(sizes, ((0, len(own)), (0, 0)))
        with self._predictor.autocast():
            decoded = decode_points(
                self._model, self._encoded, view, points, is_given, negatives, asked, sizes=sizes
            )
        # What a click does not lie on stays as it is: only a clicked nucleus may take of it.
        kept = np.where(np.isin(instances, under), 0, instances)
        numbers = np.zeros_like(kept)
        best = np.full(kept.shape, np.sqrt(INSIDE), np.float32)
        certain = np.ones(kept.shape, np.float32)
        first = int(kept.max(initial=0)) + 1
        for number, nucleus in enumerate(decoded, start=first):
            compete(nucleus, number, certain, best, numbers)
        asking = {tuple(point) for point in clicked.tolist()}
        of_own = first + sum(tuple(nucleus.point.tolist()) in asking for nucleus in decoded)
        takes = (numbers > 0) & ((kept == 0) | (numbers < of_own))
        return renumber_labels(np.where(takes, numbers, kept))


def _agree(probability: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a probability that knows nothing of clicks, moved to the side of THRESHOLD on which they put it."""
    above = np.nextafter(np.float32(THRESHOLD), np.float32(1))
    moved = np.where(mask, np.maximum(probability, above), np.minimum(probability, np.float32(THRESHOLD)))
    return np.asarray(moved, np.float32)
