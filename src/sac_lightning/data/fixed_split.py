"""Data sets in the canonical layout, split by a file of this package."""

from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.data.base import NucleiDataModule, Splits
from sac_lightning.data.canonical import canonical_names, canonical_samples, data_root
from sac_lightning.data.split import load_split


class FixedSplit(NucleiDataModule):
    """``<root>/<dataset>``, split by ``splits/<dataset>.csv``."""

    dataset: str
    optional_parts: tuple[str, ...] = ()

    def __init__(self, root: str | None, **loading: Any) -> None:
        """Args: root: folder above the data set, see data_root; loading: see NucleiDataModule."""
        super().__init__(**loading)
        self.folder = data_root(root) / self.dataset

    def splits(self) -> Splits:
        """Return the samples as the package's split file divides them.

        A part of the test set that the owner publishes separately may be absent as a whole.

        Raises:
            UserError: An image of the split is not in the manifest, or its file is missing.
        """
        there = set(canonical_names(self.folder))
        names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        parts: dict[str, list[str]] = {}
        for name, part in load_split(self.dataset).items():
            parts.setdefault(part, []).append(name)
        for part, members in parts.items():
            missing = [name for name in members if name not in there]
            if part in self.optional_parts and len(missing) == len(members):
                continue
            if missing:
                raise UserError(
                    f"{self.folder / 'manifest.csv'} lacks {len(missing)} images of the {part} split, such as "
                    f"{missing[0]}: prepare the data set from the complete official archive"
                )
            names[part.removesuffix("_a").removesuffix("_b")] += members
        return Splits(**{part: canonical_samples(self.folder, members) for part, members in names.items()})
