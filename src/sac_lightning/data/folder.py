"""A user's own images: ``images/`` beside ``instances/`` or ``masks/``, paired by file name without extension."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.core.masks import read_mask_options
from sac_lightning.data.array_file import ARRAY_ENDINGS
from sac_lightning.data.base import PARTS, Loading, NucleiDataModule, Splits
from sac_lightning.data.examination import Oddity
from sac_lightning.data.image_names import IMAGE_ENDINGS, refuse_name
from sac_lightning.data.sample import FileSample, Sample

TRUTH_ENDINGS = (*IMAGE_ENDINGS, ".gif", *ARRAY_ENDINGS)


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
        self.meaning = read_mask_options(mask_values, threshold, inverted)

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
        }

    def splits(self) -> Splits:
        """Pair the files and split them.

        Raises:
            UserError: A file is missing or without partner, there are too few images, or the CSV is wrong.
        """
        samples = self._pairs()
        assigned = self._split_by_ratio(sorted(samples)) if self.split is None else self._split_by_file(samples)
        parts: dict[str, list[Sample]] = {part: [] for part in PARTS}
        for name, part in assigned.items():
            parts[part].append(samples[name])
        left_out = [sample for name, sample in samples.items() if name not in assigned]
        self._note("image", "left out by the split", left_out)
        return Splits(**parts)

    def _pairs(self) -> dict[str, FileSample]:
        images = _files(self.root / "images", IMAGE_ENDINGS)
        instances = self.root / "instances"
        meaning = None if instances.is_dir() else self.meaning
        if meaning is None and self.meaning.given:
            raise UserError(
                f"data.mask_values, data.threshold and data.inverted are for masks/, but {instances} holds label "
                "maps, which are taken instead: leave the options out, or remove the folder"
            )
        truth_folder = instances if meaning is None else self.root / "masks"
        truths = _files(truth_folder, TRUTH_ENDINGS)
        for name, path in images.items():
            if name not in truths:
                raise UserError(
                    f"{path} has no partner in {truth_folder}: add {name}.png there or remove the image"
                )
        samples = {name: FileSample(name, images.get(name, path), path, meaning) for name, path in truths.items()}
        spare = [WithoutImage(sample) for name, sample in samples.items() if name not in images]
        self._note("label map" if meaning is None else "mask", "without an image", spare)
        return {name: samples[name] for name in images}

    def _note(self, noun: str, what: str, samples: Sequence[Sample]) -> None:
        if samples:
            self.oddities.append(Oddity(noun, what, samples))

    def _split_by_ratio(self, names: list[str]) -> dict[str, str]:
        counts = {part: max(1, round(ratio * len(names))) for part, ratio in self.ratios.items()}
        if len(names) < sum(counts.values()) + 1:
            raise UserError(
                f"{self.root / 'images'} holds {len(names)} images, of which data.val_ratio and data.test_ratio "
                "leave none to train on: add images (at least three) or reduce the ratios"
            )
        order = np.random.default_rng(self.split_seed).permutation(names).tolist()
        parts = ["test"] * counts["test"] + ["val"] * counts["val"]
        parts += ["train"] * (len(names) - len(parts))
        return dict(zip(order, parts, strict=True))

    def _split_by_file(self, samples: dict[str, FileSample]) -> dict[str, str]:
        path = Path(str(self.split))
        if not path.is_file():
            raise UserError(
                f"data.split names {path}, which does not exist: give a CSV with the columns name,split"
            )
        try:
            with path.open(newline="", encoding="utf-8-sig") as lines:
                reader = csv.DictReader(lines)
                columns, rows = set(reader.fieldnames or ()), list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} cannot be read ({error}): save it as a CSV in UTF-8") from error
        if not {"name", "split"} <= columns:
            raise UserError(f"{path} lacks the columns name,split: add them as its first line")
        assigned: dict[str, str] = {}
        for name, part in ((row["name"], row["split"]) for row in rows):
            if name in assigned:
                raise UserError(f"{path} names {name} twice: keep one of the lines")
            if part not in PARTS:
                raise UserError(f"{path} gives {name} the split {part}: choose train, val or test")
            if name not in samples:
                raise UserError(f"{path} names {name}, which is not in {self.root / 'images'}: correct the name")
            assigned[name] = part
        return assigned


def _files(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """Return the files of a folder with one of these endings by file name without it."""
    if not folder.is_dir():
        raise UserError(
            f"{folder.resolve()} does not exist: data=folder needs images/ and masks/ or instances/ there"
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in endings:
            refuse_name(path)
            if path.stem in files:
                raise UserError(f"{path} and {files[path.stem].name} have the same name: rename one of them")
            files[path.stem] = path
    return files
