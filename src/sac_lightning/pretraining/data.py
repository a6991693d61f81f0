"""Scenes as Lightning data: generated on the fly, each from the seed and its own number."""

import cv2
import numpy as np
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from sac_lightning.data.epoch_sampler import EpochSampler
from sac_lightning.pretraining.example import Example, make_example
from sac_lightning.pretraining.scene import draw_scene
from sac_lightning.pretraining.textures import make_texture_bank

# Scenes with numbers from here on are held out, because no training lasts long enough to reach them.
FIRST_HELD_OUT = 1 << 40


class Scenes(Dataset[Example]):
    """The examples of a seed, ``length`` of them per epoch, numbered from ``first`` on; none comes twice."""

    def __init__(self, seed: int, first: int, length: int, side: int, questions: int, smallest: int) -> None:
        """Set the range of scenes and the questions about them.

        Args:
            seed: Seed of all scenes.
            first: Number of the first scene.
            length: Examples per epoch.
            side: Side of a scene in pixels.
            questions: See make_example.
            smallest: See make_example.
        """
        self.seed = seed
        self.first = first
        self.length = length
        self.side = side
        self.questions = questions
        self.smallest = smallest

    def __len__(self) -> int:
        """Return the number of examples per epoch."""
        return self.length

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Example:
        """Make an example, from further scenes if the first one drawn shows no object large enough."""
        epoch, index = epoch_and_index
        rng = np.random.default_rng([self.seed, self.first + epoch * self.length + index])
        while True:
            example = make_example(rng, draw_scene(rng, self.side), self.questions, self.smallest)
            if example is not None:
                return example


class SceneData(LightningDataModule):
    """Training scenes, new ones in every epoch, and a few held-out scenes for validation."""

    def __init__(
        self,
        seed: int,
        side: int,
        batch_size: int,
        steps_per_epoch: int,
        questions: int,
        smallest: int,
        watched: int,
        workers: int,
    ) -> None:
        """Store the settings.

        Args:
            seed: Seed of all scenes.
            side: Side of a scene in pixels.
            batch_size: Scenes per step.
            steps_per_epoch: Steps between two validations on the held-out scenes.
            questions: Objects asked for in each training scene.
            smallest: Pixels of the smallest object asked for.
            watched: Held-out scenes to validate on after every epoch.
            workers: Processes that make scenes.
        """
        super().__init__()
        self.seed = seed
        self.side = side
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.questions = questions
        self.smallest = smallest
        self.watched = watched
        self.workers = workers

    def train_dataloader(self) -> DataLoader[Example]:
        """Return batches of training scenes."""
        length = self.batch_size * self.steps_per_epoch
        scenes = Scenes(self.seed, 0, length, self.side, self.questions, self.smallest)
        return make_scene_loader(scenes, self.batch_size, self.workers)

    def val_dataloader(self) -> DataLoader[Example]:
        """Return batches of the first held-out scenes, the same after every epoch."""
        scenes = make_held_out_scenes(self.seed, self.watched, self.side, self.smallest)
        return make_scene_loader(scenes, self.batch_size, workers=0)


def make_held_out_scenes(seed: int, number: int, side: int, smallest: int, questions: int = 4) -> Scenes:
    """Return the first scenes that no training with this seed sees."""
    return Scenes(seed, FIRST_HELD_OUT, number, side, questions, smallest)


def make_scene_loader(scenes: Scenes, batch_size: int, workers: int) -> DataLoader[Example]:
    """Return batches of scenes in the order of their numbers."""
    make_texture_bank()  # Build it before the workers start, so that they share it.
    return DataLoader(
        scenes,
        batch_size,
        sampler=EpochSampler(len(scenes), shuffle=False, seed=0),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_limit_threads,
    )


def _limit_threads(worker: int) -> None:
    """Turn off OpenCV's threads in a worker, because they would take the training's cores.

    The number is 0 because with 1 OpenCV would wait for threads that did not survive the fork.
    """
    cv2.setNumThreads(0)
