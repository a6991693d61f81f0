"""An image with its truth, and the two forms in which models get it: training windows and whole images."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
import torch
from albumentations import Compose
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sac_lightning.core.errors import UserError
from sac_lightning.core.masks import MaskMeaning
from sac_lightning.core.view import View
from sac_lightning.data.augmentation import Augment
from sac_lightning.data.experts import ExpertPoints, draw_expert_points
from sac_lightning.data.image_file import read_instances
from sac_lightning.data.label_maps import connected_components
from sac_lightning.data.mask_file import read_mask
from sac_lightning.data.transforms import apply_transform, training_transform
from sac_lightning.data.windows import WindowPoints, cut_window
from sac_lightning.images.open_image import read_image
from sac_lightning.images.selection import DEFAULT, Selection
from sac_lightning.images.tone import prepare_image


class Sample(Protocol):
    """An image with its label map that can be loaded by name."""

    @property
    def name(self) -> str:
        """Name, unique within a data set."""

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the image (H, W, 3) RGB and its label map (H, W), 0 = background."""


@dataclass(frozen=True)
class FileSample:
    """An image file and the file of its truth.

    Attributes:
        name: Unique within a data set.
        image: The image.
        instances: The label map, or the mask.
        mask: Which values of the mask are nucleus; each connected region is one. None: a label map.
        selection: Which image, plane and channel of the image file.
    """

    name: str
    image: Path
    instances: Path
    mask: MaskMeaning | None = None
    selection: Selection = DEFAULT

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Read the image and its label map.

        Raises:
            UserError: One of them cannot be read, their sizes differ, or what the truth means is doubtful.
        """
        image, instances = read_image(self.image, self.selection), self.read_truth()
        if image.shape[:2] != instances.shape:
            turned = ", turned by 90 degrees," if image.shape[1::-1] == instances.shape else ""
            raise UserError(
                f"{self.image} is {image.shape[1]}x{image.shape[0]} pixels but {self.instances} is{turned} "
                f"{instances.shape[1]}x{instances.shape[0]}: make the two agree"
            )
        return image, instances

    def read_truth(self) -> NDArray[np.int32]:
        """Read the label map (H, W), 0 = background."""
        if self.mask is None:
            return read_instances(self.instances)
        return connected_components(read_mask(self.instances, self.mask)[0])


@dataclass(frozen=True)
class LoadedSample:
    """A sample kept in memory."""

    name: str
    image: NDArray[np.uint8]
    instances: NDArray[np.int32]

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the image and label map in memory."""
        return self.image, self.instances


class TrainingBatch(TypedDict):
    """A batch of training windows."""

    images: Tensor  # (B, 3, S, S) RGB in 0..255
    masks: Tensor  # (B, 1, S, S) in {0, 1}
    instances: Tensor  # (B, 1, S, S) int32 label maps, 0 = background
    expert_coords: Tensor  # (B, E, 2) xy in pixels of ``images``
    expert_labels: Tensor  # (B, E): 1 nucleus, 0 background, -1 padding
    seeds: Tensor  # (B,), of the random point selection
    names: list[str]


@dataclass
class WholeImage:
    """One image of a validation or test set, at its native resolution."""

    name: str
    image: Tensor  # (3, H, W) in 0..255, prepared by the view
    instances: Tensor  # (H, W) label map
    expert_points: WindowPoints  # one set of points per window of the view
    seed: int
    factor: float = 1.0  # how many of its pixels are one of the model's training, see View.at_scale

    def to(self, device: torch.device) -> "WholeImage":
        """Return a copy with its tensors on another device."""
        expert_points = WindowPoints(self.expert_points.coords.to(device), self.expert_points.labels.to(device))
        return replace(
            self, image=self.image.to(device), instances=self.instances.to(device), expert_points=expert_points
        )


class TrainingWindows(Dataset[dict[str, object]]):
    """Random windows of images. Item (epoch, index) is the same in every process and for any number of workers."""

    def __init__(
        self,
        samples: Sequence[Sample],
        view: View,
        expert_points: ExpertPoints,
        crops_per_image: int,
        seed: int,
        augment: Augment = True,
        zoom: tuple[float, float] | None = None,
        coarser: float | None = None,
        factors: Sequence[float] | None = None,
    ) -> None:
        """Create the data set.

        Args:
            samples: The images.
            view: How the model sees them.
            expert_points: Expert points of each window.
            crops_per_image: Number of windows of each image per epoch.
            seed: Seed of windows, augmentation and expert points.
            augment: See data.base.Loading. False: an index gives the same item in every epoch.
            zoom: See data.base.Loading.
            coarser: See data.base.Loading.
            factors: How many pixels of each image are one of the data set's, see core.scale. Default: 1 each.
        """
        self.samples = samples
        self.view = view
        self.expert_points = expert_points
        self.crops_per_image = crops_per_image
        self.seed = seed
        self.augment = augment
        self.zoom = zoom if augment else None
        self.coarser = coarser
        self.factors = [1.0] * len(samples) if factors is None else factors
        # To find an image's tissue takes longer than all else that is done with a window.
        self._prepared: dict[int, tuple[NDArray[np.uint8], NDArray[np.int32]]] = {}

    def __len__(self) -> int:
        """Return the number of windows per epoch."""
        return len(self.samples) * self.crops_per_image

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> dict[str, object]:
        """Return a training window by (epoch, index)."""
        epoch, index = epoch_and_index
        generator = np.random.default_rng([self.seed, epoch if self.augment else 0, index])
        place = index // self.crops_per_image
        image, instances = self._prepare(place)
        window, labels = apply_transform(
            self._draw_transform(self.factors[place], generator),
            image,
            instances,
            int(generator.integers(2**31)),
        )
        expert_coords, expert_labels = draw_expert_points(labels, self.expert_points, generator)
        return {
            "images": torch.from_numpy(window).permute(2, 0, 1).float(),
            "masks": torch.from_numpy(labels > 0)[None].float(),
            "instances": torch.from_numpy(labels)[None],
            "expert_coords": torch.from_numpy(expert_coords),
            "expert_labels": torch.from_numpy(expert_labels),
            "seeds": int(generator.integers(2**31)),
            "names": self.samples[place].name,
        }

    def _prepare(self, place: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return an image as the model sees it, and its label map; those in memory are prepared once."""
        sample = self.samples[place]
        if place in self._prepared:
            return self._prepared[place]
        image, instances = sample.load()
        prepared = prepare_image(image, self.view.stretch), instances
        if isinstance(sample, LoadedSample):
            self._prepared[place] = prepared
        return prepared

    def _draw_transform(self, factor: float, generator: np.random.Generator) -> Compose:
        """Return the transform of a window of an image, of a side that is drawn if there is a range."""
        if self.zoom is not None:
            factor *= float(np.exp(generator.uniform(*np.log(self.zoom))))
        return training_transform(self.view.at_scale(factor), self.augment, self.coarser)


class WholeImages(Dataset[WholeImage]):
    """The images of a validation or test set."""

    def __init__(
        self,
        samples: Sequence[Sample],
        view: View,
        expert_points: ExpertPoints,
        seed: int,
        factors: Sequence[float] | None = None,
    ) -> None:
        """Create the data set.

        Args:
            samples: The images.
            view: How the model sees them.
            expert_points: Expert points of each window of the view.
            seed: Seed of the expert points.
            factors: How many pixels of each image are one of the model's training. Default: 1 each.
        """
        self.samples = samples
        self.view = view
        self.expert_points = expert_points
        self.seed = seed
        self.factors = [1.0] * len(samples) if factors is None else factors

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.samples)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> WholeImage:
        """Return an image by (epoch, index); it is the same in every epoch."""
        _, index = epoch_and_index
        sample = self.samples[index]
        image, instances = sample.load()
        seed = zlib.crc32(sample.name.encode())
        label_map = torch.from_numpy(instances)
        generator = np.random.default_rng([self.seed, seed])
        drawn = [
            draw_expert_points(cut_window(label_map[None], window)[0].numpy(), self.expert_points, generator)
            for window in self.view.at_scale(self.factors[index]).windows(*instances.shape)
        ]
        return WholeImage(
            name=sample.name,
            image=torch.from_numpy(prepare_image(image, self.view.stretch)).permute(2, 0, 1).float(),
            instances=label_map,
            expert_points=WindowPoints(
                torch.from_numpy(np.stack([coords for coords, _ in drawn])),
                torch.from_numpy(np.stack([labels for _, labels in drawn])),
            ),
            seed=seed,
            factor=self.factors[index],
        )
