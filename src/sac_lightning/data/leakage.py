"""Find images that two splits share: the same pixels, or the same picture resized and recompressed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from sac_lightning.data.canonical import canonical_files, canonical_names
from sac_lightning.data.split import load_split
from sac_lightning.images.open_image import read_image
from sac_lightning.images.selection import DEFAULT, Selection

HASH_SIDE = 16
# Of the hash's 256 bits. Copies of 143 images of the three data sets, at 0.37 to 2 times their size and with JPEG
# qualities from 40 to 90, differed from the originals in at most 16 bits; of all 368,511 pairs of images, all but
# one differed in 78 bits or more.
MOST_BITS = 40


@dataclass(frozen=True)
class Entry:
    """An image: its data set's name, its split (train, val or test), its own name, its file and what of it."""

    dataset: str
    split: str
    name: str
    path: Path
    selection: Selection = DEFAULT

    def __str__(self) -> str:
        """Return dataset/split/name, by which a person finds the image."""
        return f"{self.dataset}/{self.split}/{self.name}"


@dataclass(frozen=True)
class Shared:
    """Two images of different splits that show the same picture.

    Attributes:
        first: One of the images.
        second: The other image.
        bits: How many of the 256 bits of their perceptual hashes differ.
        identical: Whether every pixel is the same.
    """

    first: Entry
    second: Entry
    bits: int
    identical: bool


def list_entries(dataset: str, root: Path) -> list[Entry]:
    """Return the images of a data set that its split file names and its manifest lists.

    Args:
        dataset: Name of a data set that has a split file in this package.
        root: Folder above the data set.

    Raises:
        UserError: The data set is missing or lacks a file.
    """
    folder = root / dataset
    split = load_split(dataset)
    names = [name for name in canonical_names(folder) if name in split]
    samples = canonical_files(folder, names)
    return [
        # The two test parts of GlaS count as one test set here.
        Entry(dataset, split[sample.name].split("_")[0], sample.name, sample.image)
        for sample in samples
    ]


def find_shared_images(entries: Sequence[Entry]) -> list[Shared]:
    """Find the pairs of images that show the same picture in different splits, of one data set or of two.

    Args:
        entries: All images.

    Returns:
        The pairs, those with the fewest differing bits first.

    Raises:
        UserError: An image cannot be read.
    """
    progress = tqdm(entries, desc="hashing", unit="image", disable=None)
    hashes = np.stack([perceptual_hash(entry.path, entry.selection) for entry in progress])
    found = []
    for i, j in combinations(range(len(entries)), 2):
        if entries[i].split == entries[j].split:
            continue
        bits = int(np.count_nonzero(hashes[i] != hashes[j]))
        if bits <= MOST_BITS:
            first, second = entries[i], entries[j]
            identical = _have_same_pixels(first, second)
            found.append(Shared(first, second, bits, identical))
    return sorted(found, key=lambda shared: shared.bits)


def perceptual_hash(path: Path, selection: Selection = DEFAULT) -> NDArray[np.bool_]:
    """Return the perceptual hash (pHash) of an image, (256,): which low frequencies exceed their median."""
    image = Image.fromarray(read_image(path, selection))
    bits: NDArray[np.bool_] = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return bits.ravel()


def _have_same_pixels(first: Entry, second: Entry) -> bool:
    return np.array_equal(read_image(first.path, first.selection), read_image(second.path, second.selection))


def print_shared(datasets: Sequence[str], root: Path) -> list[Shared]:
    """Print and return the images that the splits of some data sets share.

    Args:
        datasets: Names of the data sets.
        root: Folder above them.

    Raises:
        UserError: See list_entries and find_shared_images.
    """
    entries = [entry for dataset in datasets for entry in list_entries(dataset, root)]
    found = find_shared_images(entries)
    for shared in found:
        what = "the same pixels" if shared.identical else f"the same picture ({shared.bits} of 256 bits differ)"
        print(f"{shared.first}\n{shared.second}\n    {what}")
    count = f"{len(entries)} images of {', '.join(datasets)}"
    outcome = {0: "no image is", 1: "1 pair is"}.get(len(found), f"{len(found)} pairs are")
    print(f"{count}: {outcome} in two splits.")
    return found
