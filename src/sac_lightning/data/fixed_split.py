"""Data sets in the canonical layout, split by a file of this package."""

from pathlib import Path
from typing import Any, ClassVar, Unpack

from sac_lightning.core.errors import UserError
from sac_lightning.data.base import Loading, NucleiDataModule, Splits
from sac_lightning.data.canonical import canonical_names, canonical_samples, data_root
from sac_lightning.data.split import load_split


class FixedSplit(NucleiDataModule):
    """``<root>/<name>``, split by the package's ``splits/<name>.csv``.

    Attributes:
        name: The name of the data set.
        optional_parts: Parts of the test set that the owner gives out by themselves, so that they may be absent.
    """

    name: str
    optional_parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: str | Path | None = None, **loading: Unpack[Loading]) -> None:
        """Note where the data set is.

        Args:
            root: The folder above the data set. Default: the environment variable ``SAC_DATA``, else ``data``.
            loading: See Loading.
        """
        super().__init__(**loading)
        self.root = None if root is None else str(root)
        self.folder = data_root(self.root) / self.name

    def source_settings(self) -> dict[str, Any]:
        """Return the part of the settings that tells where the samples come from."""
        return {"root": self.root}

    def splits(self) -> Splits:
        """Return the samples as the package's split file divides them.

        A part of the test set that the owner publishes separately may be absent as a whole.

        Raises:
            UserError: An image of the split is not in the manifest, or its file is missing.
        """
        there = set(canonical_names(self.folder))
        names: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        parts: dict[str, list[str]] = {}
        for name, part in load_split(self.name).items():
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
