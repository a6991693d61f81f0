"""The model behind the server: it finds what is asked for, in images of which the last few are kept encoded."""

import hashlib
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sac_lightning.data.label_maps import look_up
from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.encoded_nuclei import EncodedNuclei
from sac_lightning.inference.kept_images import KeptImages
from sac_lightning.inference.predictor import Nuclei, Predictor
from sac_lightning.model.point_selection import PointSelection
from sac_lightning.model.promptable import Promptable, decodes_nuclei
from sac_lightning.qupath.answers import Feature, format_nuclei
from sac_lightning.qupath.questions import Prompt, Question
from sac_lightning.qupath.refusal import RefusalError
from sac_lightning.qupath.view_file import read_view, refuse_size


class Finder:
    """Answers questions, one at a time, from any thread.

    Attributes:
        name: Of the model.
    """

    def __init__(self, predictor: Predictor, name: str) -> None:
        """Args: predictor: any, a compared network's or an exported one's among them; name: of its model."""
        self.name = name
        self._predictor = predictor
        self._images: KeptImages[EncodedImage | EncodedNuclei] = KeptImages()
        self._lock = threading.Lock()
        model = predictor.model
        self._needs_points = isinstance(model, Promptable) and not model.has_trained_decoder

    def find_all(self, question: Question) -> list[Feature]:
        """Find all nuclei of an image, told apart as predict does. Raise UserError if the image is of no use."""
        if self._needs_points and not self._chooses_points():
            raise RefusalError(f"{self.name} finds nothing by itself: draw points or boxes on nuclei")
        with self._lock:
            nuclei = self._encode_view(question.b64img).segment()
            return format_nuclei(nuclei, range(1, int(nuclei.instances.max()) + 1), self.name)

    def find_prompted(self, prompt: Prompt) -> list[Feature]:
        """Find the nucleus at each point and in the box. Raise UserError if image or prompts are of no use."""
        with self._lock:
            image = self._encode_view(prompt.b64img)
            if isinstance(image, EncodedNuclei):
                nuclei = _decode_nuclei(image, prompt)
                numbers = list(range(1, int(nuclei.instances.max()) + 1))
            else:
                nuclei, numbers = self._find_under(image, prompt)
            return format_nuclei(nuclei, numbers, self.name)

    def _chooses_points(self) -> bool:
        model = self._predictor.model
        return isinstance(model, Promptable) and model.has_generator and model.point_selection.points > 0

    def _encode_view(self, text: str) -> EncodedImage | EncodedNuclei:
        """Return the image in a question, encoded, unless it has been: for the next click in the same view."""
        key = hashlib.sha256(text.encode()).hexdigest()
        found = self._images.find(key)
        if found is not None:
            return found
        view = read_view(text)
        factor = self._predictor.magnify(None, lambda: view).factor
        height, width = view.shape[:2]
        refuse_size(width / min(factor, 1), height / min(factor, 1))
        scaled = self._predictor.at_scale(factor)
        encode = EncodedNuclei if decodes_nuclei(scaled.model) else EncodedImage
        return self._images.keep(key, encode(scaled, view))

    def _find_under(self, image: EncodedImage, prompt: Prompt) -> tuple[Nuclei, list[int]]:
        """Return the nuclei of a model that knows no single ones, and which of them a prompt lies on.

        A box is its middle. SAM's own decoder is shown every point by itself, a trained one all of them.
        """
        asking, background = map(_to_array, (prompt.points(1), prompt.points(0)))
        for left, top, right, bottom in _boxes(prompt, image):
            asking = np.concatenate([asking, _to_array([((left + right) / 2, (top + bottom) / 2)])])
        points, signs = _join(asking, background)
        nuclei = (
            image.segment_each(points, signs, selection=PointSelection(0))
            if self._needs_points
            else image.segment(points, signs)
        )
        numbers = dict.fromkeys(look_up(nuclei.instances, asking).tolist())
        return nuclei, [number for number in numbers if number]


def _decode_nuclei(image: EncodedNuclei, prompt: Prompt) -> Nuclei:
    """Return the nuclei that prompts stand for: of each point, and of the box."""
    points, signs = _join(_to_array(prompt.points(1)), _to_array(prompt.points(0)))
    return image.segment(points, signs, selection=PointSelection(0), boxes=_boxes(prompt, image))


def _boxes(prompt: Prompt, image: EncodedImage | EncodedNuclei) -> list[tuple[float, ...]]:
    """Return the box of a prompt, if there is one, within the image, from the middles of pixels."""
    if prompt.bbox is None:
        return []
    left, top, right, bottom = prompt.bbox
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height)
    if left >= right or top >= bottom:
        raise RefusalError(f"the box {prompt.bbox} is empty, or outside of what the viewer shows: draw it there")
    return [tuple(edge - 0.5 for edge in (left, top, right, bottom))]


def _to_array(points: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    return np.array(points, np.float32).reshape(-1, 2)


def _join(
    positive: NDArray[np.float32], negative: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return points (N, 2) and their labels (N,)."""
    return np.concatenate([positive, negative]), np.repeat([1, 0], [len(positive), len(negative)])
