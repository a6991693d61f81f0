"""A user's own images: ``images/`` beside ``instances/`` or ``masks/``, paired by file name without extension."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.core.masks import read_mask_options
from sac_lightning.core.scale import check_micrometres, side_of_pixel
from sac_lightning.data.base import Loading, NucleiDataModule, Splits
from sac_lightning.data.examination import Oddity
from sac_lightning.data.folder_files import (
    TRUTH_ENDINGS,
    divide_pairs,
    find_files,
    find_pairs,
    find_truth_folder,
)
from sac_lightning.data.sample import FileSample, Sample
from sac_lightning.images.open_image import read_micrometres
from sac_lightning.images.selection import Selection


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


class Folder(NucleiDataModule):
    """Images and their truth in one folder, split by ratio or by a CSV.

    Example::

        data = Folder("my_images", batch_size=4)
        task = SegmentationTask(sac(backbone="vit_t"))
        Trainer(max_epochs=8).fit(task, datamodule=data)
    """

    name = "folder"

    def __init__(
        self,
        root: str | Path | None = None,
        split: str | Path | None = None,
        val_ratio: float = 0.1,
        test_ratio: float = 0.1,
        split_seed: int = 42,
        mask_values: float | Sequence[float] | None = None,
        threshold: float | None = None,
        inverted: bool | None = None,
        series: int | None = None,
        page: int | None = None,
        channel: int | str | None = None,
        micrometres: float | None = None,
        **loading: Unpack[Loading],
    ) -> None:
        """Note where the images are and how they are split.

        Args:
            root: The folder with ``images/`` and ``instances/`` (label maps) or ``masks/``.
            split: A CSV with the columns ``name`` (file name without ending) and ``split`` (train, val or
                test). Default: by ratio.
            val_ratio: Part of the images for validation, at least one image.
            test_ratio: Part of the images for the test, at least one image.
            split_seed: Seed of the split by ratio.
            mask_values: The values of masks that are nucleus. Default: all but 0, of masks with two values.
            threshold: The least value of masks that is nucleus, for edges of grey and for probabilities.
            inverted: True: nuclei are what would be background. False: masks that look inverted are right.
            series: Which image of files with several, from 1. Default: the largest that is no thumbnail.
            page: Which plane of it, from 1. Default: the first.
            channel: Which channel, from 1 or by name. Default: colours as they are, else the first.
            micrometres: Of a side of a pixel of every image. Default: what each file says; where they differ,
                images are brought to one magnification.
            loading: See Loading.

        Raises:
            UserError: No folder is given, or the options for masks contradict each other.
        """
        loading.setdefault("in_memory", False)  # One's own images may be many, and large.
        super().__init__(**loading)
        if root is None:
            raise UserError("data.root is not set: name the folder that holds images/ and masks/ or instances/")
        self.root = Path(root)
        self.split = None if split is None else str(split)
        self.ratios = {"val": val_ratio, "test": test_ratio}
        self.split_seed = split_seed
        self.micrometres = None if micrometres is None else check_micrometres(micrometres)
        self._sizes: dict[str, float | None] = {}
        self.meaning = read_mask_options(mask_values, threshold, inverted)
        self.selection = Selection(series, page, channel)

    def source_settings(self) -> dict[str, Any]:
        """Return the part of the settings that tells where the samples come from."""
        ratios = {f"{part}_ratio": ratio for part, ratio in self.ratios.items()}
        values = self.meaning.values
        return {
            "root": str(self.root),
            "split": self.split,
            **ratios,
            "split_seed": self.split_seed,
            "mask_values": None if values is None else list(values),
            "threshold": self.meaning.threshold,
            "inverted": self.meaning.inverted,
            **asdict(self.selection),
            "micrometres": self.micrometres,
        }

    def size_of(self, sample: Sample) -> float | None:
        """Return the micrometres of a side of a pixel: as given, or as the image's file says."""
        if self.micrometres is not None:
            return self.micrometres
        if not isinstance(sample, FileSample):
            return None
        if sample.name not in self._sizes:
            self._sizes[sample.name] = side_of_pixel(read_micrometres(sample.image, self.selection))
        return self._sizes[sample.name]

    def splits(self) -> Splits:
        """Pair the files and split them.

        Raises:
            UserError: A file is missing or without partner, there are too few images, or the CSV is wrong.
        """
        truth_folder = find_truth_folder(self.root)
        meaning = self.meaning if truth_folder.name == "masks" else None
        if meaning is None and self.meaning.given:
            raise UserError(
                f"data.mask_values, data.threshold and data.inverted are for masks/, but {truth_folder} holds "
                "label maps, which are taken instead: leave the options out, or remove the folder"
            )
        pairs = find_pairs(self.root)
        samples = {
            name: FileSample(name, pair.image, pair.truth, meaning, self.selection) for name, pair in pairs.items()
        }
        truths = find_files(truth_folder, TRUTH_ENDINGS)
        paired = {pair.truth for pair in pairs.values()}
        spare = [
            WithoutImage(FileSample(name, path, path, meaning))
            for name, path in truths.items()
            if path not in paired
        ]
        self._note("label map" if meaning is None else "mask", "without an image", spare)
        divided = divide_pairs(pairs, self.root, self.split, self.ratios, self.split_seed)
        parts = {part: [samples[pair.name] for pair in members] for part, members in divided.items()}
        used = {sample.name for members in parts.values() for sample in members}
        self._note("image", "left out by the split", [samples[name] for name in samples if name not in used])
        return Splits(**parts)

    def _note(self, noun: str, what: str, samples: Sequence[Sample]) -> None:
        if samples:
            self.oddities.append(Oddity(noun, what, samples))
