"""The last few images that a predictor has encoded, kept to be asked again."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sac_lightning.inference.encoded_image import EncodedImage
from sac_lightning.inference.encoded_nuclei import EncodedNuclei
from sac_lightning.inference.predictor import Predictor
from sac_lightning.model.promptable import decodes_nuclei

MOST_BYTES = 2 * 2**30
"""What encoded images may take; the one in use is kept whatever it takes."""


class EncodedImages:
    """A cache of encoded images, those that were asked last. It is not made for several threads at a time."""

    def __init__(self, predictor: Predictor) -> None:
        """Args: predictor: by which they are encoded."""
        self._predictor = predictor
        self._images: OrderedDict[str, EncodedImage | EncodedNuclei] = OrderedDict()

    def find(self, key: str) -> EncodedImage | EncodedNuclei | None:
        """Return what is kept by a key, None where nothing is."""
        if key in self._images:
            self._images.move_to_end(key)
        return self._images.get(key)

    def encode(
        self,
        key: str,
        image: NDArray[np.uint8],
        factor: float = 1.0,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> EncodedImage | EncodedNuclei:
        """Encode an image, which takes long, and keep it.

        Args:
            key: By which it is found again.
            image: (H, W, 3) RGB.
            factor: How many of its pixels are one of the training.
            progress: Called with the number of windows that have been encoded, and of all.
        """
        scaled = self._predictor.at_scale(factor)
        encode = EncodedNuclei if decodes_nuclei(scaled.model) else EncodedImage
        self._images[key] = encode(scaled, image, progress)
        while len(self._images) > 1 and sum(each.bytes for each in self._images.values()) > MOST_BYTES:
            self._images.popitem(last=False)
        return self._images[key]
