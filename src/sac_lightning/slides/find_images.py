"""Which image files a path, a folder or a pattern names, and what is passed over."""

import glob
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.images.formats import (
    FOLDER_ENDINGS,
    IMAGE_ENDINGS,
    explain_ending,
    readable_endings,
    refuse_ending,
    refuse_name,
)


@dataclass(frozen=True)
class FoundImages:
    """What a person names.

    Attributes:
        images: Files, and folders that are one image, sorted.
        refused: A sentence for each that cannot be segmented for its name.
        passed_over: A line about other files, or none.
    """

    images: list[Path]
    refused: list[str]
    passed_over: list[str]


def find_images(named: str) -> FoundImages:
    """Find the image files that a person names.

    Args:
        named: A file, whatever its ending; a folder; or a pattern, such as ``scans/*/a?.tif``, ``scans/**/*.tif``.

    Raises:
        UserError: There are none, or the one file that is named cannot be read.
    """
    path = Path(named)
    if path.is_file() or _is_folder_image(path):
        refuse_name(path)
        refuse_ending(path)
        return FoundImages([path], [], [])
    if path.is_dir():
        files: Iterable[Path] = path.iterdir()
    elif glob.has_magic(named):
        files = map(Path, glob.glob(named, recursive=True))
    else:
        raise UserError(f"images={named} does not exist: give an image, a folder of images or a pattern")
    endings = readable_endings()
    # What a system hides are its own notes on files of the same endings.
    visible = sorted(file for file in files if not file.name.startswith("."))
    visible = [file for file in visible if not any(map(_is_folder_image, file.parents))]
    candidates = [file for file in visible if file.is_file() or _is_folder_image(file)]
    images = [file for file in candidates if file.suffix.lower() in endings]
    passed_over = _tell_passed_over([file for file in candidates if file.suffix.lower() not in endings])
    if not images:
        told = f" ({passed_over[0]})" if passed_over else ""
        raise UserError(f"{named} holds no image: give files that end in {', '.join(IMAGE_ENDINGS)}{told}")
    return _refuse_names(images, passed_over)


def _is_folder_image(path: Path) -> bool:
    return path.suffix.lower() in FOLDER_ENDINGS and path.is_dir()


def _refuse_names(images: list[Path], passed_over: list[str]) -> FoundImages:
    refused, usable, by_stem = [], [], defaultdict(list)
    for image in images:
        try:
            refuse_name(image)
        except UserError as error:
            refused.append(str(error))
            continue
        by_stem[image.stem].append(image)
    for image in images:
        same = by_stem.get(image.stem, [])
        if same == [image]:
            usable.append(image)
        elif same and same[0] == image:
            listed = " and ".join(map(str, same))
            refused.append(f"{listed} would write the same result: rename one of them")
    return FoundImages(usable, refused, passed_over)


def _tell_passed_over(files: list[Path]) -> list[str]:
    """Return a line on files that are no images, or of which no reader is installed; none if there are none."""
    counts = Counter(file.suffix.lower() or "no ending" for file in files)
    if not counts:
        return []
    kinds = []
    for ending, count in sorted(counts.items()):
        reason = explain_ending(ending)
        kinds.append(f"{count} {ending}" + (f" ({reason})" if reason else ""))
    return [f"passed over: {', '.join(kinds)}"]
