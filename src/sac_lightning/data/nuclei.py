"""What the weights that come with the package learn from: nuclei of many kinds, all of them free for any use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from sac_lightning.data.base import Loading, NucleiDataModule, Splits
from sac_lightning.data.canonical import data_root, read_column
from sac_lightning.data.dsb2018 import DSB2018
from sac_lightning.data.dyed import DyedSample
from sac_lightning.data.monuseg import MoNuSeg
from sac_lightning.data.restained import RestainedSample
from sac_lightning.data.sample import Sample
from sac_lightning.data.synthetic import STAINS, SceneSample

FLUORESCENCE = "fluorescence"


class Nuclei(NucleiDataModule):
    """DSB2018's training images, its fluorescence drawn as stained tissue, and scenes; no other image trains.

    Validated on DSB2018's validation images and MoNuSeg's, whose licence is for research alone: they tell how well
    what was learnt elsewhere does on their tissue, and no gradient comes from them. Tested on DSB2018::

        task = SegmentationTask(sac(backbone="vit_t"))
        Trainer(max_epochs=4).fit(task, datamodule=Nuclei("data"))
    """

    name = "nuclei"

    def __init__(
        self,
        root: str | Path | None = None,
        dyed: int = 2,
        restained: int = 4,
        scenes: int = 300,
        side: int = 256,
        scene_seed: int = 0,
        **loading: Unpack[Loading],
    ) -> None:
        """Note where the data sets are and how much is drawn.

        Args:
            root: The folder above dsb2018/ and monuseg/. Default: the environment variable ``SAC_DATA``, else
                ``data``.
            dyed: Drawings of stained tissue around the nuclei of each fluorescence image.
            restained: The same of stained tissue and of bright field, whose stain stays as it is.
            scenes: Procedural scenes, fluorescence and histology in turn.
            side: Side of a scene, in pixels.
            scene_seed: Seed of drawings and scenes.
            loading: See Loading.
        """
        super().__init__(**loading)
        self.root = None if root is None else str(root)
        self.dyed = dyed
        self.restained = restained
        self.scenes = scenes
        self.side = side
        self.scene_seed = scene_seed

    def source_settings(self) -> dict[str, Any]:
        """Return the part of the settings that tells where the samples come from."""
        return {key: getattr(self, key) for key in ("root", "dyed", "restained", "scenes", "side", "scene_seed")}

    def splits(self) -> Splits:
        """Return the samples of all sources.

        Raises:
            UserError: One of the two data sets is missing or incomplete.
        """
        real, tissue = DSB2018(self.root).splits(), MoNuSeg(self.root).splits()
        train: list[Sample] = [*real.train, *self._draw_tissue(real.train), *self._draw_scenes()]
        return Splits(train=train, val=[*real.val, *tissue.val], test=real.test)

    def _draw_tissue(self, samples: Sequence[Sample]) -> list[Sample]:
        modality = read_column(data_root(self.root) / DSB2018.name, "modality")
        fluorescence = [sample for sample in samples if modality[sample.name] == FLUORESCENCE]
        tissue = [sample for sample in samples if modality[sample.name] != FLUORESCENCE]
        return [
            *(DyedSample(sample, self.scene_seed + i) for i in range(self.dyed) for sample in fluorescence),
            *(RestainedSample(sample, self.scene_seed + i) for i in range(self.restained) for sample in tissue),
        ]

    def _draw_scenes(self) -> list[Sample]:
        return [
            SceneSample(f"scene {i}", (self.scene_seed, i), self.side, STAINS[i % len(STAINS)])
            for i in range(self.scenes)
        ]
