"""An image whose truth is a mask, and a truth whose image is missing."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.masks import MaskMeaning
from sac_lightning.data.label_maps import connected_components
from sac_lightning.data.mask_file import read_mask
from sac_lightning.data.sample import FileSample, Sample


@dataclass(frozen=True)
class MaskSample(FileSample):
    """An image file and the file of its mask, of which each connected region is a nucleus.

    Attributes:
        meaning: Which values of the mask are nucleus.
    """

    meaning: MaskMeaning = field(default_factory=MaskMeaning)

    def read_truth(self) -> NDArray[np.int32]:
        """Read the mask and label its connected regions."""
        return connected_components(read_mask(self.instances, self.meaning)[0])


@dataclass(frozen=True)
class WithoutImage:
    """A truth that no image belongs to, to be shown on black."""

    truth: FileSample

    @property
    def name(self) -> str:
        """The name of the truth's file, without ending."""
        return self.truth.name

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return a black image (H, W, 3) and the label map (H, W)."""
        instances = self.truth.read_truth()
        return np.zeros((*instances.shape, 3), np.uint8), instances


def make_sample(name: str, image: Path, truth: Path, meaning: MaskMeaning | None) -> FileSample:
    """Return the sample of two files; ``meaning`` is None where the truth is a label map."""
    return FileSample(name, image, truth) if meaning is None else MaskSample(name, image, truth, meaning)


def show_alone(name: str, truth: Path, meaning: MaskMeaning | None) -> Sample:
    """Return a truth without an image as a sample."""
    return WithoutImage(make_sample(name, truth, truth, meaning))
