"""The doctor's check of a data set: it can be read, and what is odd in it is listed and drawn."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.data.base import Splits
from sac_lightning.data.build import make_data
from sac_lightning.data.examination import Oddity
from sac_lightning.data.leakage import Entry, find_shared_images
from sac_lightning.data.sample import FileSample
from sac_lightning.data.split import PARTS
from sac_lightning.images.open_image import open_image
from sac_lightning.images.pillow_file import read_orientation
from sac_lightning.training.diagnosis import Diagnosis
from sac_lightning.training.examples import write_truths

# Of each part of the data, evenly spread: all of them are read when the training starts.
IMAGES_OF_A_PART = 8
# Copies are looked for in pairs, which are too many for a minute where there are more images.
MOST_IMAGES_COMPARED = 1000
NAMED = 3
DRAWN = 6
PICTURES = Path("outputs/doctor")


def examine_data(config: Mapping[str, Any]) -> list[Diagnosis]:
    """Read some images of each part, and draw what is odd in the data set.

    Args:
        config: Of a training, resolved.

    Raises:
        UserError: The data set is not there or doubtful, an image cannot be read, or no picture can be written.
    """
    data = make_data(config)
    samples = data.samples
    looked_at = 0
    for part in PARTS:
        of_part = getattr(samples, part)
        step = max(1, len(of_part) // IMAGES_OF_A_PART)
        for sample in tqdm(of_part[::step], desc=f"reading {part} images", leave=False, disable=None):
            sample.load()
            looked_at += 1
    counts = ", ".join(f"{len(getattr(samples, part))} {part}" for part in PARTS)
    good = Diagnosis("good", f"{config['data']['name']}: {counts}; {looked_at} images read")
    files = _files_of(samples)
    oddities = [*data.oddities, *_find_turned(files), *_find_choices(files), *_find_copies(files)]
    return [good, *(Diagnosis("note", _show(oddity)) for oddity in oddities)]


def _files_of(samples: Splits) -> dict[str, list[FileSample]]:
    return {
        part: [sample for sample in getattr(samples, part) if isinstance(sample, FileSample)] for part in PARTS
    }


def _find_turned(files: Mapping[str, Sequence[FileSample]]) -> list[Oddity]:
    """Return the images that a camera's note in the file would turn, which no reader here does."""
    turned = [sample for part in PARTS for sample in files[part] if read_orientation(sample.image) != 1]
    return [Oddity("image", "with an EXIF orientation, which is not applied", turned)] if turned else []


def _find_choices(files: Mapping[str, Sequence[FileSample]]) -> list[Oddity]:
    """Return the images of whose files only a part is read: one of several images, planes or channels."""
    chosen: dict[str, list[FileSample]] = {}
    for sample in (sample for part in PARTS for sample in files[part][:MOST_IMAGES_COMPARED]):
        with open_image(sample.image, sample.selection) as slide:
            chosen.setdefault(slide.note, []).append(sample)
    return [Oddity("image", f"of which {note} is read", samples) for note, samples in chosen.items() if note]


def _find_copies(files: Mapping[str, Sequence[FileSample]]) -> list[Oddity]:
    """Return the images that another part shows, too."""
    if not 0 < sum(map(len, files.values())) <= MOST_IMAGES_COMPARED:
        return []
    entries = [
        Entry("", part, sample.name, sample.image, sample.selection) for part in PARTS for sample in files[part]
    ]
    copies = {
        entry.path: None for shared in find_shared_images(entries) for entry in (shared.first, shared.second)
    }
    by_path = {sample.image: sample for part in PARTS for sample in files[part]}
    return [Oddity("image", "with a copy in another part", [by_path[path] for path in copies])] if copies else []


def _show(oddity: Oddity) -> str:
    """Draw the first samples with an oddity; return a sentence that names some, and the picture."""
    names = ", ".join(sample.name for sample in oddity.samples[:NAMED])
    path = PICTURES / (re.sub(r"\W+", "_", oddity.title).strip("_")[:60] + ".png")
    try:
        PICTURES.mkdir(parents=True, exist_ok=True)
        write_truths(path, oddity.samples[:DRAWN])
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): go elsewhere") from error
    more = ", ..." if len(oddity.samples) > NAMED else ""
    return f"{oddity} ({names}{more}): {path}"
