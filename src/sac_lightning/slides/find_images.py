"""Which image files a path, a folder or a pattern names, and what is passed over."""

import glob
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.images.companions import find_companions
from sac_lightning.images.formats import (
    IMAGE_ENDINGS,
    explain_ending,
    is_folder_image,
    is_zarr,
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
    if path.is_file() or is_zarr(path):
        refuse_name(path)
        refuse_ending(path)
        return FoundImages([path], [], [])
    files = _list_files(path, named)
    # What a system hides are its own notes on files of the same endings.
    visible = sorted(file for file in files if not file.name.startswith("."))
    inner = {folder for file in visible for folder in file.parents} - {path, *path.parents}
    wholes = set(filter(is_folder_image, inner))
    visible = [file for file in visible if wholes.isdisjoint(file.parents)]
    endings = readable_endings()
    images = [file for file in visible if is_folder_image(file) or file.suffix.lower() in endings]
    others = [file for file in visible if file.is_file() and file not in images]
    companions = find_companions([file for file in visible if not file.is_dir()])
    folders = [file for file in images if file.is_dir() and not is_folder_image(file)]
    images = [file for file in images if file not in companions and file not in folders]
    passed_over = _tell_passed_over(others, sorted(companions), folders)
    if not images:
        told = f" ({passed_over[0]})" if passed_over else ""
        raise UserError(f"{named} holds no image: give files that end in {', '.join(IMAGE_ENDINGS)}{told}")
    return _refuse_names(images, passed_over)


def _list_files(path: Path, named: str) -> list[Path]:
    try:
        if path.is_dir():
            return list(path.iterdir())
    except OSError as error:
        raise UserError(f"{path} cannot be opened ({error.strerror}): allow it, or name another folder") from error
    if not glob.has_magic(named):
        raise UserError(f"images={named} does not exist: give an image, a folder of images or a pattern")
    return list(map(Path, glob.glob(named, recursive=True)))


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


def _tell_passed_over(others: list[Path], companions: list[Path], folders: list[Path]) -> list[str]:
    """Return a line on what is no image, or of which no reader is installed; none if there is nothing."""
    kinds = []
    for files, why in ((others, ""), (companions, "parts of slides beside them"), (folders, "folders")):
        counts = Counter(file.suffix.lower() or "no ending" for file in files)
        for ending, count in sorted(counts.items()):
            reason = why or explain_ending(ending)
            kinds.append(f"{count} {ending}" + (f" ({reason})" if reason else ""))
    return [f"passed over: {', '.join(kinds)}"] if kinds else []
