"""Convert a data set from the layout its owner publishes to the one that this package trains on.

``python -m sac_lightning.prepare dataset=monuseg source=DIR_OR_ZIP [root=OUT]`` writes, below the root,

* ``<dataset>/images/<name>.png``: 8-bit RGB, every pixel as published;
* ``<dataset>/instances/<name>.png``: 16-bit label map, 0 = background, 1 to n the nuclei or glands;
* ``<dataset>/manifest.csv``: one row per image. It is written last, so a data set without it is incomplete.

Everything is first written to a hidden folder of the root, so that bad input leaves nothing behind.
"""

import csv
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.data.leakage import print_shared
from sac_lightning.data.official import OfficialImage, Reading, dsb2018, glas, monuseg
from sac_lightning.data.split import load_split

PARTS = ("images", "instances", "manifest.csv")


@dataclass(frozen=True)
class Owner:
    """How to obtain and read one owner's data set.

    Attributes:
        obtain: Returns the archive in a folder of downloads, or raises UserError: get it by hand, and how.
        read: Reads the images from a folder or a .zip.
    """

    obtain: Callable[[Path], Path]
    read: Callable[[Path], Reading]


OWNERS = {
    "dsb2018": Owner(dsb2018.obtain, dsb2018.read),
    "monuseg": Owner(monuseg.obtain, monuseg.read),
    "glas": Owner(glas.obtain, glas.read),
}


@dataclass(frozen=True)
class ManifestRow:
    """One row of a manifest.

    Attributes:
        name: Name of the image's files, without extension.
        split: The owner's split. For training, the package's split file decides instead.
        modality: Kind of microscopy, see OfficialImage.
        height: In pixels.
        width: In pixels.
        instances: Number of nuclei or glands.
        foreground: Their share of the pixels, 0 to 1, with four decimals.
        pixels_sha256: SHA-256 of the raw RGB bytes, row by row.
        note: What else is known of the image, see OfficialImage.
    """

    name: str
    split: str
    modality: str
    height: int
    width: int
    instances: int
    foreground: str
    pixels_sha256: str
    note: str


def prepare(dataset: str, source: Path | None, root: Path, overwrite: bool = False) -> list[ManifestRow]:
    """Convert a data set to ``<root>/<dataset>``. If several processes ask at once, only one converts it.

    Args:
        dataset: ``dsb2018``, ``monuseg`` or ``glas``.
        source: Folder or .zip of the official files; None downloads them where the owner allows it.
        root: Folder of all data sets.
        overwrite: Replace images, instance maps and manifest that are already there.

    Returns:
        The rows of the manifest.

    Raises:
        UserError: The input cannot be used, the data set is already there, or the root cannot be written.
    """
    if dataset not in OWNERS:
        raise UserError(f"dataset={dataset} is not known: choose one of {', '.join(OWNERS)}.")
    owner = OWNERS[dataset]
    target = (root / dataset).resolve()  # A link: work on the disk it leads to.
    if not overwrite and any((target / part).exists() for part in PARTS):
        raise UserError(
            f"{target} already holds a data set: add overwrite=true to replace it, or name another root."
        )
    reading = owner.read(owner.obtain(root / "downloads") if source is None else source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock_folder(target.parent):
            if not overwrite and (target / "manifest.csv").exists():
                return _read_rows(target / "manifest.csv")  # Another process has just done it.
            return _write_dataset(dataset, reading, target)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error}): name another root.") from error


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold the only lock on a folder; wait for it first. The folder itself is locked, so no lock file remains."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_dataset(dataset: str, reading: Reading, target: Path) -> list[ManifestRow]:
    """Write a data set to a temporary folder beside its target, then move it into place."""
    with tempfile.TemporaryDirectory(prefix=f".{dataset}-", dir=target.parent) as folder:
        rows = _write_files(reading, Path(folder))
        _replace_folder(Path(folder), target)
    return rows


def _read_rows(manifest: Path) -> list[ManifestRow]:
    with manifest.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    numbers = ("height", "width", "instances")
    return [ManifestRow(**{**line, **{name: int(line[name]) for name in numbers}}) for line in lines]  # type: ignore[arg-type]


def summarise_dataset(dataset: str, rows: list[ManifestRow], manifest: Path) -> str:
    """Return a summary of a conversion for the console: images per split, instances and the manifest's path.

    Args:
        dataset: Name of the data set.
        rows: The rows of its manifest.
        manifest: Path of the manifest.
    """
    split = load_split(dataset)
    counts = Counter(split.get(row.name, "no split") for row in rows)
    per_split = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    missing = len(split.keys() - {row.name for row in rows})
    lines = [f"{dataset}: {len(rows)} images ({per_split}), {sum(row.instances for row in rows)} instances"]
    if counts["no split"]:
        lines.append(f"not used, because no split of this package names them: {counts['no split']}")
    if missing:
        lines.append(f"missing of the {len(split)} images of the split: {missing}")
    return "\n".join([*lines, f"manifest: {manifest}"])


def _write_files(reading: Reading, folder: Path) -> list[ManifestRow]:
    """Write the images, the instance maps and, last, the manifest to a folder."""
    for part in ("images", "instances"):
        (folder / part).mkdir()
    rows = []
    for image in tqdm(reading, unit="image", disable=None):
        rows.append(_row(image))
        Image.fromarray(image.image).save(folder / "images" / f"{image.name}.png")
        labels = image.instances.astype(np.uint16)
        Image.fromarray(labels).save(folder / "instances" / f"{image.name}.png")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(ManifestRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return rows


def _row(image: OfficialImage) -> ManifestRow:
    count = int(image.instances.max())
    if count > np.iinfo(np.uint16).max:
        raise UserError(f"image {image.name} has {count} instances, more than 16 bits hold: leave it out.")
    height, width = image.instances.shape
    foreground = f"{(image.instances > 0).mean():.4f}"
    digest = hashlib.sha256(image.image.tobytes()).hexdigest()
    return ManifestRow(
        image.name, image.split, image.modality, height, width, count, foreground, digest, image.note
    )


def _replace_folder(folder: Path, target: Path) -> None:
    """Replace a data set by a finished one. The manifest is removed first and moved last."""
    target.mkdir(exist_ok=True)
    (target / "manifest.csv").unlink(missing_ok=True)
    for part in ("images", "instances"):
        if (target / part).exists():
            shutil.rmtree(target / part)
    for part in PARTS:
        (folder / part).rename(target / part)


def convert(cfg: DictConfig) -> None:
    """Convert the data set that the configuration names and print a summary; with ``check``, check the splits."""
    root = Path(str(cfg.root or "data")).expanduser().resolve()
    if cfg.check:
        check(None if cfg.dataset is None else str(cfg.dataset), root)
        return
    if cfg.dataset is None:
        raise UserError(f"dataset is missing: add dataset= and one of {', '.join(OWNERS)}.")
    dataset = str(cfg.dataset)
    source = None if cfg.source is None else Path(str(cfg.source)).expanduser().resolve()
    rows = prepare(dataset, source, root, bool(cfg.overwrite))
    print(summarise_dataset(dataset, rows, root / dataset / "manifest.csv"))


def check(dataset: str | None, root: Path) -> None:
    """Print the images that are in two splits, of one data set or of all that are in the root.

    Exit with status 1 if one of them is a test image.

    Raises:
        UserError: There is no data set, or one of its files is missing or cannot be read.
    """
    there = [name for name in OWNERS if (root / name / "manifest.csv").is_file()]
    if dataset is None and not there:
        raise UserError(f"{root} holds no data set: name its folder as root, or prepare one.")
    shared = print_shared(there if dataset is None else [dataset], root)
    if any("test" in (pair.first.split, pair.second.split) for pair in shared):
        sys.exit(1)
