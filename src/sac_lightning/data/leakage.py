"""Images that two splits share, by content: the same pixels, or the same picture resized and recompressed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from sac_lightning.data.canonical import canonical_names, canonical_samples
from sac_lightning.data.image_file import read_image
from sac_lightning.data.split import load_split

HASH_SIDE = 16
# Of the hash's 256 bits. Copies of 143 images of the three data sets, at 0.37 to 2 times their size and with JPEG
# qualities from 40 to 90, differed in 16 bits at most; of all 368,511 pairs of images, all but one in 78 or more.
MOST_BITS = 40


@dataclass(frozen=True)
class Entry:
    """An image of a data set: the data set's name, train, val or test, the image's name, and its file."""

    dataset: str
    split: str
    name: str
    path: Path

    def __str__(self) -> str:
        """As a person finds it."""
        return f"{self.dataset}/{self.split}/{self.name}"


@dataclass(frozen=True)
class Shared:
    """Two images of different splits that show the same.

    Attributes:
        first: One of them.
        second: The other.
        bits: In which their perceptual hashes differ, of 256.
        identical: Whether every pixel is the same.
    """

    first: Entry
    second: Entry
    bits: int
    identical: bool


def dataset_entries(dataset: str, root: Path) -> list[Entry]:
    """The images of a data set that its split file names and that are there.

    Args:
        dataset: Name of a split file of this package.
        root: Folder above the data set.

    Raises:
        UserError: The data set is not there or lacks a file.
    """
    folder = root / dataset
    split = load_split(dataset)
    names = [name for name in canonical_names(folder) if name in split]
    samples = canonical_samples(folder, names)
    return [
        # The two test parts of GlaS are one for this purpose.
        Entry(dataset, split[sample.name].split("_")[0], sample.name, sample.image)
        for sample in samples
    ]


def shared_images(entries: Sequence[Entry]) -> list[Shared]:
    """Pairs of images that show the same and are in different splits, whichever data sets these are of.

    Args:
        entries: All images.

    Raises:
        UserError: One cannot be read.
    """
    progress = tqdm(entries, desc="hashing", unit="image", disable=None)
    hashes = np.stack([perceptual_hash(entry.path) for entry in progress])
    found = []
    for i, j in combinations(range(len(entries)), 2):
        if entries[i].split == entries[j].split:
            continue
        bits = int(np.count_nonzero(hashes[i] != hashes[j]))
        if bits <= MOST_BITS:
            first, second = entries[i], entries[j]
            identical = np.array_equal(read_image(first.path), read_image(second.path))
            found.append(Shared(first, second, bits, identical))
    return sorted(found, key=lambda shared: shared.bits)


def perceptual_hash(path: Path) -> NDArray[np.bool_]:
    """(256,) which coarse waves of the picture's brightness are above their median (pHash)."""
    bits: NDArray[np.bool_] = imagehash.phash(Image.fromarray(read_image(path)), hash_size=HASH_SIDE).hash
    return bits.ravel()


def print_shared(datasets: Sequence[str], root: Path) -> list[Shared]:
    """Prints what the splits of some data sets share, and gives it.

    Args:
        datasets: Their names.
        root: Folder above them.

    Raises:
        UserError: See dataset_entries and shared_images.
    """
    entries = [entry for dataset in datasets for entry in dataset_entries(dataset, root)]
    found = shared_images(entries)
    for shared in found:
        what = "the same pixels" if shared.identical else f"the same picture ({shared.bits} of 256 bits differ)"
        print(f"{shared.first}\n{shared.second}\n    {what}")
    count = f"{len(entries)} images of {', '.join(datasets)}"
    outcome = {0: "no image stands", 1: "1 pair stands"}.get(len(found), f"{len(found)} pairs stand")
    print(f"{count}: {outcome} in two splits.")
    return found
