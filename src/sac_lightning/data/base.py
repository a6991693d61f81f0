"""The base of all data modules: three sets of samples and the loaders over them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log2
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, default_collate
from tqdm import tqdm

from sac_lightning.core.configuration import read_choice
from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import Scale
from sac_lightning.core.view import View
from sac_lightning.data.augmentation import Augment, check_augment, check_coarser, check_zoom
from sac_lightning.data.epoch_sampler import EpochSampler, SameEpochSampler
from sac_lightning.data.examination import Oddity, examine_truths
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.nuclear_size import MOST_IMAGES, measure_samples
from sac_lightning.data.sample import FileSample, LoadedSample, Sample, TrainingWindows, WholeImage, WholeImages
from sac_lightning.data.sample_names import refuse_names
from sac_lightning.data.split import PARTS, split_hash

# Of images that no task sees: a module that is asked for its loaders by itself.
WHOLE_IMAGE = View(image_size=256)


def find_factor(scale: Scale, name: str, micrometres: float | None) -> float:
    """Return how many pixels of an image are one of the training, 1 if that is unknown; see Scale.factor_of."""
    if scale.micrometres is None or micrometres is None:
        return 1.0
    try:
        return scale.factor_of(micrometres)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


@dataclass
class Splits:
    """The training, validation and test samples of a data set; no sample is in two of them."""

    train: Sequence[Sample]
    val: Sequence[Sample]
    test: Sequence[Sample]


class FromTask(TypedDict, total=False):
    """What a data module takes from the task that a trainer runs, see NucleiDataModule.setup.

    Attributes:
        view: How the model sees images.
        expert_points: The expert points of each view.
        seed: The seed of crops, augmentation, order and expert points.
    """

    view: View
    expert_points: ExpertPoints
    seed: int


class Loading(FromTask, total=False):
    """How every data module loads its samples.

    Attributes:
        view, expert_points, seed: See FromTask. Default: the task's.
        batch_size: Training windows per step and process. Default: 8.
        workers: Loading processes, on which no number depends. Default: none.
        crops_per_image: Random windows of each image per epoch. Default: 1.
        in_memory: Keep the decoded images. Default: True, but for Folder.
        augment: Symmetries, colour jitter and other windows in each epoch. False: the same windows in every
            epoch, as they are. "strong": windows turned by any angle, and other stains, exposure, gamma and focus.
            Default: True.
        zoom: Between which factors the side of a training window varies, such as (0.8, 1.25), so that nuclei are
            smaller or larger in it. Default: none.
        coarser: Up to how many times as coarse as the image's own the pixels of half of the training windows look,
            such as 4. Default: as they are.
    """

    batch_size: int
    workers: int
    crops_per_image: int
    in_memory: bool
    augment: Augment
    zoom: Sequence[float] | None
    coarser: float | None


class NucleiDataModule(LightningDataModule):
    """Images with their label maps, as a task trains and tests on them.

    A data set of one's own is a subclass that returns its samples from ``splits``::

        class Slides(NucleiDataModule):
            def splits(self):
                return Splits(train=..., val=..., test=...)  # data.sample.FileSample(name, image, instances)

    Attributes:
        name: The name of the file in ``conf/data`` that configures this class; None if there is none.
        first_epoch: The first epoch of this training; more than 0 in one that is resumed.
        leave_out_single: Whether the last window of an epoch is left out if it is alone in its batch.
        oddities: What is odd in the data set, once its samples have been asked for.
        micrometres: Of a side of a pixel of its images; None: unknown, or not the same in each.
        trained: Of the model, if it was trained on other data: images are brought to its magnification.
    """

    name: str | None = None
    scores_objects = False
    """Whether its challenge scores objects, see metrics.objects."""
    micrometres: float | None = None

    def __init__(
        self,
        batch_size: int = 8,
        workers: int = 0,
        crops_per_image: int = 1,
        in_memory: bool = True,
        augment: Augment = True,
        zoom: Sequence[float] | None = None,
        coarser: float | None = None,
        **given: Unpack[FromTask],
    ) -> None:
        """Note how samples are loaded; see Loading."""
        super().__init__()
        self._given = given
        self.view = given.get("view", WHOLE_IMAGE)
        self.expert_points = given.get("expert_points", ExpertPoints())
        self.seed = given.get("seed", 0)
        self.batch_size = batch_size
        self.workers = workers
        self.crops_per_image = crops_per_image
        self.in_memory = in_memory
        self.augment = check_augment(augment)
        self.zoom = None if zoom is None else check_zoom(zoom)
        self.coarser = None if coarser is None else check_coarser(coarser)
        self.first_epoch = 0
        self.leave_out_single = False
        self.oddities: list[Oddity] = []
        self.trained: Scale | None = None
        self._found: Splits | None = None
        self._ready: dict[str, Sequence[Sample]] = {}

    @abstractmethod
    def splits(self) -> Splits:
        """Return the samples of the data set.

        Raises:
            UserError: A file is missing or does not fit the others; raised before any training.
        """

    def setup(self, stage: str) -> None:
        """Take view, expert points and seed from the task that the trainer runs.

        Args:
            stage: Lightning's, which makes no difference.

        Raises:
            UserError: This module was given others than the task has.
        """
        task = None if self.trainer is None else self.trainer.lightning_module
        for key in FromTask.__annotations__:
            wanted = getattr(task, key, None)
            if wanted is None:
                continue
            given = self._given.get(key, wanted)
            if given != wanted:
                raise UserError(
                    f"{type(self).__name__} was given the {key} {given}, but the task has {wanted}: "
                    f"leave {key} out of the data module, which then takes the task's"
                )
            setattr(self, key, wanted)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """Return the files that the samples of each part are read from, in their order.

        A run is the same only if their bytes are. Of a class that does not say here what it reads, all files below
        the folders that its settings name count as well, which is safe but may be too many.
        """
        splits = self.splits()
        return {
            part: [
                path
                for sample in getattr(splits, part)
                if isinstance(sample, FileSample)
                for path in (sample.image, sample.instances)
            ]
            for part in PARTS
        }

    @property
    def settings(self) -> dict[str, Any] | None:
        """What data.build.make_data makes this module from; None for a class that no configuration names."""
        if self.name is None:
            return None
        loading = ("batch_size", "workers", "crops_per_image", "in_memory", "augment", "zoom", "coarser")
        return {
            "_target_": read_choice("data", self.name)["_target_"],
            "name": self.name,
            **self.source_settings(),
            **{key: getattr(self, key) for key in loading},
        }

    def source_settings(self) -> dict[str, Any]:
        """Return the part of the settings that tells where the samples come from."""
        return {}

    @property
    def samples(self) -> Splits:
        """The splits, looked up once and their truths examined. No image has been read yet.

        Raises:
            UserError: See splits and data.examination.
        """
        if self._found is None:
            splits = self.splits()
            for part in PARTS:
                if not getattr(splits, part):
                    raise UserError(f"the data set has no image for {part}: change its split so that each has one")
            refuse_names([sample.name for part in PARTS for sample in getattr(splits, part)])
            self.oddities += examine_truths([sample for part in PARTS for sample in getattr(splits, part)])
            self._found = splits
        return self._found

    def read(self, *parts: str) -> None:
        """Read every image of these parts once, so that a bad one fails now and not after hours of training.

        Raises:
            UserError: An image cannot be read or does not fit its label map.
        """
        for part in parts:
            self._ready_samples(part)

    def _ready_samples(self, part: str) -> Sequence[Sample]:
        """Return the samples of a part, each read once; with ``in_memory``, return the decoded ones."""
        if part not in self._ready:
            samples = getattr(self.samples, part)
            progress = tqdm(samples, desc=f"reading {part} images", leave=False, disable=None)
            loaded = [self._read_sample(sample) for sample in progress]
            self._ready[part] = loaded if self.in_memory else samples
        return self._ready[part]

    def _read_sample(self, sample: Sample) -> Sample:
        image, instances = sample.load()
        return LoadedSample(sample.name, image, instances) if self.in_memory else sample

    def size_of(self, sample: Sample) -> float | None:
        """Return the micrometres of a side of a pixel of an image; None: unknown."""
        return self.micrometres

    @cached_property
    def own_micrometres(self) -> float | None:
        """Of a pixel of the training images, of the one in the middle if they differ; None: none is known."""
        known = [size for sample in self.samples.train if (size := self.size_of(sample)) is not None]
        return sorted(known)[len(known) // 2] if known else None

    def measure_scale(self) -> Scale:
        """Measure the size of pixels and nuclei of the training images, at the magnification of the training."""
        samples, factors = self._ready_samples("train"), self._factors("train")
        chosen = range(0, len(samples), -(-len(samples) // MOST_IMAGES))
        measured = measure_samples(
            [samples[i] for i in chosen], [factors[i] for i in chosen], self.own_micrometres
        )
        return (
            measured if self.zoom is None else replace(measured, reach=max(map(abs, map(log2, self.zoom))) or None)
        )

    def _factors(self, part: str) -> list[float]:
        """Return how many pixels of each image of a part are one of the model's training."""
        wanted = Scale(self.own_micrometres) if self.trained is None else self.trained
        return [find_factor(wanted, sample.name, self.size_of(sample)) for sample in getattr(self.samples, part)]

    def factors_by_name(self, part: str) -> dict[str, float]:
        """Return how many pixels of an image are one of the model's training, of each of which it is not one."""
        factors = zip(getattr(self.samples, part), self._factors(part), strict=True)
        return {sample.name: factor for sample, factor in factors if factor != 1}

    @property
    def split_hash(self) -> str:
        """SHA-256 (hex) of the assignment of images to splits."""
        return split_hash({sample.name: part for part in PARTS for sample in getattr(self.samples, part)})

    def train_dataloader(self) -> DataLoader[dict[str, object]]:
        """Return a loader of batches of random windows."""
        windows = TrainingWindows(
            self._ready_samples("train"),
            self.view,
            self.expert_points,
            self.crops_per_image,
            self.seed,
            self.augment,
            self.zoom,
            self.coarser,
            self._factors("train"),
        )
        return DataLoader(
            windows,
            batch_size=self.batch_size,
            sampler=self._training_sampler(len(windows)),
            collate_fn=default_collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )

    def _training_sampler(self, windows: int) -> EpochSampler:
        trainer: Any = self.trainer
        if trainer is not None and trainer.overfit_batches > 0:
            return SameEpochSampler(windows)
        batch_size = self.batch_size if self.leave_out_single else None
        return EpochSampler(windows, True, self.seed, self.first_epoch, batch_size)

    def val_dataloader(self) -> DataLoader[WholeImage]:
        """Return a loader of the validation images, one at a time."""
        return self._whole_images("val")

    def test_dataloader(self) -> DataLoader[WholeImage]:
        """Return a loader of the test images, one at a time."""
        return self._whole_images("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch to a device, or a whole image, which Lightning cannot move by itself."""
        if isinstance(batch, WholeImage):
            return batch.to(device)
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def whole_images(self, part: str) -> WholeImages:
        """Return all images of a part (val or test); in a distributed run, every process gets them all."""
        samples = self._ready_samples(part)
        return WholeImages(samples, self.view, self.expert_points, self.seed, self._factors(part))

    def _whole_images(self, part: str) -> DataLoader[WholeImage]:
        images = self.whole_images(part)
        return DataLoader(
            images,
            batch_size=None,
            sampler=SameEpochSampler(len(images)),
            num_workers=self.workers,
        )
