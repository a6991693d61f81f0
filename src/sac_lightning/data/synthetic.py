"""Synthetic nuclei, rendered on the fly from a seed: the built-in default data, for a first run without images."""

from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from sac_lightning.data.base import Loading, NucleiDataModule, Splits
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
    """Square scenes, fluorescence and histology in turn; the three splits come from different seeds.

    Example::

        task = SegmentationTask(sac(backbone="vit_t"))
        Trainer(max_epochs=3).fit(task, datamodule=Synthetic(train=50))
    """

    name = "synthetic"

    def __init__(
        self,
        side: int = 256,
        train: int = 200,
        val: int = 20,
        test: int = 40,
        scene_seed: int = 0,
        **loading: Unpack[Loading],
    ) -> None:
        """Note which scenes there are.

        Args:
            side: Side of a scene, in pixels.
            train: Number of training scenes.
            val: Number of validation scenes.
            test: Number of test scenes.
            scene_seed: Seed of the scenes. It is not the seed of the training, so that runs with different seeds
                are tested on the same images.
            loading: See Loading.
        """
        super().__init__(**loading)
        self.side = side
        self.counts = {"train": train, "val": val, "test": test}
        self.scene_seed = scene_seed

    def source_settings(self) -> dict[str, Any]:
        """Return the part of the settings that tells where the samples come from."""
        return {"side": self.side, **self.counts, "scene_seed": self.scene_seed}

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
