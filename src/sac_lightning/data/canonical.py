"""A data set in the canonical layout: a manifest, images and label maps (what ``prepare`` writes)."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.data.sample_files import SampleFiles
from sac_lightning.data.split import OPTIONAL_PARTS, PARTS, load_split
from sac_lightning.images.formats import IMAGE_ENDINGS


def data_root(root: str | None) -> Path:
    """Return the folder of the data sets: ``root`` if given, else ``$SAC_DATA`` if set, else ``data``."""
    return Path(root or os.environ.get("SAC_DATA") or "data")


def canonical_names(folder: Path) -> list[str]:
    """Return the image names in a data set's manifest.

    Args:
        folder: ``<root>/<dataset>``.

    Raises:
        UserError: The folder or its manifest is missing, or the manifest has no column ``name``.
    """
    return list(read_column(folder, "name"))


def read_column(folder: Path, column: str) -> dict[str, str]:
    """Return one column of a data set's manifest by the names of its images.

    Args:
        folder: ``<root>/<dataset>``.
        column: Such as ``modality``.

    Raises:
        UserError: The folder or its manifest is missing, or the manifest lacks the column or ``name``.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise UserError(
            f"{folder.resolve()} holds no manifest.csv: set SAC_DATA or data.root to the folder above it, or "
            f"make it with python -m sac_lightning.prepare dataset={folder.name}"
        )
    with manifest.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        for wanted in ("name", column):
            if wanted not in (reader.fieldnames or ()):
                raise UserError(f"{manifest} has no column {wanted!r}: prepare the data set again")
        return {row["name"]: row[column] for row in reader}


def find_split_files(folder: Path) -> dict[str, list[SampleFiles]]:
    """Return the files of a data set's samples by part, as the package's split file divides them.

    A part of the test set that the owner publishes separately may be absent as a whole.

    Args:
        folder: ``<root>/<dataset>``.

    Raises:
        UserError: An image of the split is not in the manifest, or its file is missing.
    """
    there = set(canonical_names(folder))
    names: dict[str, list[str]] = {part: [] for part in PARTS}
    parts: dict[str, list[str]] = {}
    for name, part in load_split(folder.name).items():
        parts.setdefault(part, []).append(name)
    for part, members in parts.items():
        missing = [name for name in members if name not in there]
        if part in OPTIONAL_PARTS.get(folder.name, ()) and len(missing) == len(members):
            continue
        if missing:
            raise UserError(
                f"{folder / 'manifest.csv'} lacks {len(missing)} images of the {part} split, such as "
                f"{missing[0]}: prepare the data set from the complete official archive"
            )
        names[part.removesuffix("_a").removesuffix("_b")] += members
    return {part: canonical_files(folder, members) for part, members in names.items()}


def canonical_files(folder: Path, names: Sequence[str]) -> list[SampleFiles]:
    """Return the files of the samples with these names.

    Raises:
        UserError: An image or a label map is missing.
    """
    return [SampleFiles(name, _image(folder, name), _instances(folder, name)) for name in names]


def _image(folder: Path, name: str) -> Path:
    for ending in IMAGE_ENDINGS:
        path = folder / "images" / f"{name}{ending}"
        if path.is_file():
            return path
    raise UserError(
        f"{folder / 'images'} holds no image {name}, which the split names: prepare the data set again"
    )


def _instances(folder: Path, name: str) -> Path:
    path = folder / "instances" / f"{name}.png"
    if not path.is_file():
        raise UserError(f"{path} is missing though its image is there: prepare the data set again")
    return path
