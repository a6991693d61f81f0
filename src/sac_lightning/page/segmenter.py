"""The model behind the page: its abilities and its answers, with each image encoded once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sac_lightning.core.prompts import Selection
from sac_lightning.inference.doubt import count_unsure, find_doubts
from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.encoded_nuclei import EncodedNuclei
from sac_lightning.inference.kept_images import KeptImages
from sac_lightning.inference.magnification import Magnification
from sac_lightning.inference.predictor import Nuclei, Predictor, empty_nuclei
from sac_lightning.model.point_selection import PointSelection
from sac_lightning.model.promptable import Promptable, decodes_nuclei
from sac_lightning.page.picture_file import Picture, refuse_enlarged

MOST_ANSWERS = 8

Click = tuple[float, float, int]
"""x and y in pixels of the image; 1 nucleus, 0 background."""


@dataclass(frozen=True)
class Question:
    """The question of a visitor about an image.

    Attributes:
        clicks: Points that the visitor gives.
        points: n automatic points on nuclei, and as many on the background, per window.
        selection: How they are chosen, see PointSelection.
        threshold: See PointSelection.
    """

    clicks: tuple[Click, ...]
    points: int
    selection: Selection
    threshold: float


class Segmenter:
    """A predictor that remembers the images it has encoded and its last answers.

    Attributes:
        takes_points: Whether the model takes points.
        has_generator: Whether it chooses points by itself.
        first: The question asked of a new image: no clicks, and points as the model was trained.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Args: predictor: Any, a compared network's or an exported one's among them."""
        self._predictor = predictor
        self._images: KeptImages[EncodedImage | EncodedNuclei] = KeptImages()
        self._answers: OrderedDict[tuple[str, Question], Nuclei] = OrderedDict()
        self._magnifications: dict[str, Magnification] = {}
        self._lock = threading.RLock()
        self._model = predictor.model if isinstance(predictor.model, Promptable) else None
        self.takes_points = self._model is not None
        self.has_generator = self._model is not None and self._model.has_generator
        self._needs_point = self._model is not None and (
            not self._model.has_trained_decoder or decodes_nuclei(self._model)
        )
        self.first = Question((), 0, "O", 0.5)
        if self._model is not None and self.has_generator:
            chosen = self._model.point_selection
            self.first = Question((), chosen.points, chosen.selection, chosen.threshold)

    def lacks_points(self, question: Question) -> bool:
        """Return whether there are no points where the decoder, SAM's own or one of single nuclei, needs one."""
        return self._needs_point and not question.clicks and not question.points

    def magnify(self, picture: Picture) -> Magnification:
        """Return how much a picture is enlarged or reduced for the model, and why."""
        if picture.key not in self._magnifications:
            found = self._predictor.magnify(picture.micrometres, lambda: picture.rgb)
            self._magnifications[picture.key] = found
        return self._magnifications[picture.key]

    def doubt(self, picture: Picture, nuclei: Nuclei) -> tuple[str, ...]:
        """Return a sentence for each reason to doubt the nuclei of a picture, see doubt.find_doubts."""
        areas = np.bincount(nuclei.instances.ravel())[1:]
        median = float(np.median(areas)) if len(areas) else None
        cover = float((nuclei.instances > 0).mean())
        unsure, nuclear = count_unsure(nuclei.probability)
        factor = self.magnify(picture).factor
        return find_doubts(cover, median, self._predictor.scale, factor, unsure / max(nuclear, 1))

    def encode(self, picture: Picture, progress: Callable[[int, int], object] = lambda done, total: None) -> None:
        """Encode a picture, which takes long, unless it has been done.

        Args:
            picture: The image.
            progress: Called with the number of windows that have been encoded, and of all.
        """
        self._encode_picture(picture, progress)

    def answer(self, picture: Picture, question: Question) -> Nuclei:
        """Return the nuclei of a picture."""
        with self._lock:
            key = (picture.key, question)
            if key not in self._answers:
                self._answers[key] = self._segment_picture(picture, question)
                while len(self._answers) > MOST_ANSWERS:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(key)
            return self._answers[key]

    def _segment_picture(self, picture: Picture, question: Question) -> Nuclei:
        if self.lacks_points(question):
            return empty_nuclei(*picture.rgb.shape[:2])
        clicks = np.array(question.clicks, dtype=np.float64).reshape(-1, 3)
        image = self._encode_picture(picture)
        points, labels, selection = clicks[:, :2], clicks[:, 2], self._selection(question)
        if self._needs_point and isinstance(image, EncodedImage):
            return image.segment_each(points, labels, selection=selection)
        return image.segment(points, labels, selection=selection)

    def _selection(self, question: Question) -> PointSelection | None:
        """Return the selection of points; what the page does not ask is as the model was trained."""
        if self._model is None or not self.has_generator:
            return None
        trained = self._model.point_selection
        return PointSelection(
            question.points,
            question.selection,
            question.threshold,
            trained.fill_with_random,
            trained.keep_raw_centroid,
            trained.min_area,
            trained.margin,
        )

    def _encode_picture(
        self, picture: Picture, progress: Callable[[int, int], object] = lambda done, total: None
    ) -> EncodedImage | EncodedNuclei:
        with self._lock:
            found = self._images.find(picture.key)
            if found is None:
                factor = self.magnify(picture).factor
                refuse_enlarged(picture, factor)
                scaled = self._predictor.at_scale(factor)
                encode = EncodedNuclei if decodes_nuclei(scaled.model) else EncodedImage
                found = self._images.keep(picture.key, encode(scaled, picture.rgb, progress))
            return found
