"""Synthetic nuclei, rendered on the fly from a seed: the built-in default data, for a first run without images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sac_lightning.data.base import NucleiDataModule, Splits
from sac_lightning.data.sample import Sample
from sac_lightning.data.scene import Stain, render_scene

STAINS: tuple[Stain, ...] = ("fluorescence", "histology")


@dataclass(frozen=True)
class SceneSample:
    """A scene that is rendered each time it is loaded."""

    name: str
    seed: tuple[int, ...]
    side: int
    stain: Stain

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Render the scene."""
        return render_scene(np.random.default_rng(self.seed), self.side, self.side, self.stain)


class Synthetic(NucleiDataModule):
    """Square scenes, fluorescence and histology in turn; the three splits come from different seeds."""

    def __init__(self, side: int, train: int, val: int, test: int, scene_seed: int, **loading: Any) -> None:
        """Says which scenes there are.

        Args:
            side: Of a scene, in pixels.
            train: Number of training scenes.
            val: Number of validation scenes.
            test: Number of test scenes.
            scene_seed: Of the scenes. It is not the seed of the training, so that runs with different seeds
                are tested on the same images.
            loading: See NucleiDataModule.
        """
        super().__init__(**loading)
        self.side = side
        self.counts = {"train": train, "val": val, "test": test}
        self.scene_seed = scene_seed

    def splits(self) -> Splits:
        """Return the scenes of each split."""
        return Splits(**{part: self._scenes(place, part) for place, part in enumerate(self.counts)})

    def _scenes(self, place: int, part: str) -> list[Sample]:
        return [
            SceneSample(
                name=f"{part}_{i}_{STAINS[i % 2]}",
                seed=(self.scene_seed, place, i),
                side=self.side,
                stain=STAINS[i % 2],
            )
            for i in range(self.counts[part])
        ]
