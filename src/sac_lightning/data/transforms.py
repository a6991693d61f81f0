"""Turn an image of any size into a training sample: a random window, mirrored, rotated, with colour jitter."""

import os
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # Importing it would look for updates online.

import albumentations as A

from sac_lightning.core.view import View
from sac_lightning.data.augmentation import STRONG, Augment
from sac_lightning.data.stain import StainJitter
from sac_lightning.data.turned_window import TurnedWindow

REDUCE_AND_ENLARGE: dict[Any, Any] = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}


@lru_cache(maxsize=256)  # a window's side may be drawn
def training_transform(view: View, augment: Augment = True, coarser: float | None = None) -> A.Compose:
    """Build the transform: a random window (or the whole image) at the input size, then the augmentation.

    The augmentation is our choice, the paper is silent: all eight symmetries, because nuclei have no preferred
    direction, and mild colour jitter, which imitates differences in stain and exposure. A whole image at its
    own size is only mirrored left to right.

    Args:
        view: How the model sees images.
        augment: False: only the window. STRONG: see vary_light, and windows that are turned by any angle.
        coarser: Half of the windows are reduced by up to this factor and enlarged again, as an image of lower
            magnification is when it is brought to the model's. None: none.
    """
    size = view.image_size
    steps: list[A.BasicTransform] = []
    if view.crop is not None and augment == STRONG:
        steps.append(TurnedWindow(view.crop))
    elif view.crop is not None:
        steps.append(A.PadIfNeeded(view.crop, view.crop, border_mode=cv2.BORDER_REFLECT_101))
        steps.append(A.RandomCrop(view.crop, view.crop))
    if augment and coarser is not None:
        steps.append(A.Downscale((1 / coarser, 1.0), REDUCE_AND_ENLARGE, p=0.5))
    if size is not None and size != view.crop:
        # What the tables were trained with: enlarged by INTER_AREA, which is nearly the nearest pixel.
        smooth = augment == STRONG and view.crop is not None and size > view.crop
        interpolation = cv2.INTER_LINEAR if smooth else cv2.INTER_AREA
        steps.append(A.Resize(size, size, interpolation=interpolation, mask_interpolation=cv2.INTER_NEAREST_EXACT))
    if augment:
        steps.append(A.SquareSymmetry() if size is not None or view.crop is not None else A.HorizontalFlip())
        steps += vary_light() if augment == STRONG else [mild_jitter()]
    return A.Compose(steps)


def mild_jitter() -> A.BasicTransform:
    """Return the jitter of colours that all tables were trained with."""
    return A.ColorJitter(brightness=0.15, contrast=0.15, saturation=0.15, hue=0.03, p=0.8)


def vary_light() -> list[A.BasicTransform]:
    """Return what imitates other laboratories and microscopes: their stains, exposure, gamma and focus."""
    return [
        StainJitter(),
        A.RandomBrightnessContrast(brightness_limit=0.1, contrast_limit=0.2, p=0.8),
        A.RandomGamma(gamma_limit=(75, 135), p=0.5),
        A.GaussianBlur(blur_limit=0, sigma_limit=(0.3, 1.0), p=0.2),
    ]


def apply_transform(
    transform: A.Compose, image: NDArray[np.uint8], instances: NDArray[np.int32], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Transform a training sample; the same seed gives the same sample in any worker.

    Args:
        transform: From training_transform.
        image: (H, W, 3) RGB, 0..255.
        instances: (H, W) label map.
        seed: Seed of all random choices.

    Returns:
        image (S, S, 3) and label map (S, S).
    """
    transform.set_random_seed(seed)
    # OpenCV resizes and pads 16-bit label maps, and labels in the canonical layout fit into 16 bits.
    sample = transform(image=image, mask=instances.astype(np.uint16))
    return sample["image"], sample["mask"].astype(np.int32)
