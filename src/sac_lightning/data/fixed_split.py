"""Data sets in the canonical layout, split by a file of this package."""

from pathlib import Path
from typing import Any, Unpack

from sac_lightning.data.base import Loading, NucleiDataModule, Splits
from sac_lightning.data.canonical import data_root, find_split_files
from sac_lightning.data.sample import FileSample
from sac_lightning.data.sample_files import SampleFiles


class FixedSplit(NucleiDataModule):
    """``<root>/<name>``, split by the package's ``splits/<name>.csv``.

    Attributes:
        name: The name of the data set.
    """

    name: str

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
        parts = find_split_files(self.folder)
        return Splits(**{part: [_sample(files) for files in members] for part, members in parts.items()})


def _sample(files: SampleFiles) -> FileSample:
    return FileSample(files.name, files.image, files.truth)
