"""The splits of the data sets into training, validation and test images, as files of this package.

``splits/<dataset>.csv`` (columns ``name,split``, sorted by name) decides. The ``split`` in a manifest is the
owner's and is ignored where there is a file.

* dsb2018: 536 train, 67 val, 67 test of stage 1 train. The paper says 80, 10 and 10 %, drawn at random, but
  not how; our choice: names sorted, scikit-learn's ``train_test_split`` with random state 42, test first.
* monuseg: the owner's 30 training images, of which six are val, and the owner's 14 test images.
* glas: the owner's 85 training images, of which ten are val, and the owner's test parts A and B (60 and 20),
  named ``test_a`` and ``test_b``.
"""

import csv
import hashlib
from collections.abc import Mapping
from importlib.resources import files

from sac_lightning.core.errors import UserError

PARTS = ("train", "val", "test")
OPTIONAL_PARTS: Mapping[str, tuple[str, ...]] = {"glas": ("test_a", "test_b")}
"""Parts of a test set that the owner gives out by themselves, so that they may be absent."""


def load_split(dataset: str) -> dict[str, str]:
    """Return the split of each image of a data set, by image name.

    Args:
        dataset: ``dsb2018``, ``monuseg`` or ``glas``.

    Raises:
        UserError: The package has no split file of that name.
    """
    known = {entry.name: entry for entry in files("sac_lightning.data").joinpath("splits").iterdir()}
    file = known.get(f"{dataset}.csv")
    if file is None:
        names = ", ".join(sorted(name.removesuffix(".csv") for name in known if name.endswith(".csv")))
        raise UserError(f"dataset {dataset} has no split file in this package: choose one of {names}.")
    with file.open(encoding="utf-8") as lines:
        return {row["name"]: row["split"] for row in csv.DictReader(lines)}


def split_hash(assignment: Mapping[str, str]) -> str:
    """Return the SHA-256 (hex) of a split: of its ``name,split`` lines, sorted by name.

    Args:
        assignment: Split by image name.
    """
    lines = "".join(f"{name},{split}\n" for name, split in sorted(assignment.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
