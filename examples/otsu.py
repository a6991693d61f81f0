"""What needs no model: Otsu's threshold and a watershed of distances, on a data set's test images.

    SAC_DATA=DIR python examples/otsu.py

prints Dice, AJI and PQ, means over images, of DSB2018 and MoNuSeg: what any model has to be better than.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2gray, rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from sac_lightning.data import DSB2018, MoNuSeg, NucleiDataModule
from sac_lightning.training.metrics.instance_scores import InstanceScores
from sac_lightning.training.metrics.overlaps import find_overlaps

LEAST_AREA = 30
LEAST_DISTANCE = 5


def tell_apart(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the label map (H, W) of an image (H, W, 3): its stain, or its light, or in bright field its dark."""
    is_colour = np.ptp(image.astype(int), axis=-1).mean() > 5
    grey = rgb2hed(image)[..., 0] if is_colour else rgb2gray(image)
    smooth = gaussian(grey, 1)
    mask = smooth > threshold_otsu(smooth)
    if not is_colour and mask.mean() > 0.5:
        mask = ~mask
    mask = ndimage.binary_fill_holes(remove_small_objects(mask, max_size=LEAST_AREA))
    distance = gaussian(ndimage.distance_transform_edt(mask), 1)
    peaks = peak_local_max(distance, min_distance=LEAST_DISTANCE, labels=ndimage.label(mask)[0])
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-distance, markers, mask=mask), np.int32)


def score(data: NucleiDataModule) -> dict[str, float]:
    """Return the figures of a data set's test images."""
    scores, dices = InstanceScores(), []
    for sample in data.samples.test:
        image, truth = sample.load()
        found = tell_apart(image)
        scores.update(find_overlaps(found, truth))
        dices.append(2 * ((found > 0) & (truth > 0)).sum() / max(1, (found > 0).sum() + (truth > 0).sum()))
    figures = scores.compute()
    return {"dice": float(np.mean(dices)), **{name: float(figures[name]) for name in ("aji", "pq")}}


if __name__ == "__main__":
    for data in (DSB2018(), MoNuSeg()):
        print(data.name, *(f"{name} {value:.3f}" for name, value in score(data).items()))
