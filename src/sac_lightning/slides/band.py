"""What the files of results are written from: rows of an image with the nuclei in them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_lightning.images.slide import Pixels


@dataclass
class Band:
    """Rows of an image. The next band begins with those that are not ``final`` here.

    Attributes:
        top: The image's row that is the first here.
        final: How many rows, from the first, are as they will stay.
        raw: (n, W) or (n, W, 3) in the file's own numbers.
        rgb: (n, W, 3) uint8.
        probability: (n, W) float32.
        labels: (n, W) int32, all nuclei that are complete; numbered on from band to band.
        new: (n, W) int32, those of them that no band before had.
    """

    top: int
    final: int
    raw: Pixels
    rgb: NDArray[np.uint8]
    probability: NDArray[np.float32]
    labels: NDArray[np.int32]
    new: NDArray[np.int32]
