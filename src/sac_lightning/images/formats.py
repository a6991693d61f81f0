"""Which files are images, by their names, and what has to be installed to read them; without those libraries."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from sac_lightning.core.errors import UserError

PICTURE_ENDINGS = (
    *(".png", ".webp", ".bmp", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpx", ".gif", ".avif"),
    *(".ppm", ".pgm", ".pnm"),
)
TIFF_ENDINGS = (
    ".tif",
    ".tiff",
    ".btf",
    ".tf2",
    ".tf8",
    ".svs",
    ".ndpi",
    ".scn",
    ".qptiff",
    ".lsm",
    ".stk",
    ".zif",
)
# Read by a library that is installed with the extra "slides": its module.
EXTRA_ENDINGS: Mapping[str, str] = {
    ".mrxs": "openslide",
    ".bif": "openslide",
    ".vms": "openslide",
    ".vmu": "openslide",
    ".svslide": "openslide",
    ".dcm": "wsidicom",
    ".czi": "pylibCZIrw",
    ".nd2": "nd2",
    ".lif": "liffile",
}
# A folder that is one image.
FOLDER_ENDINGS = (".zarr",)
# What no reader here takes, and what would.
FOREIGN_ENDINGS: Mapping[str, str] = {
    ".vsi": "Olympus keeps the slide in the folder beside it: export it as OME-TIFF",
    ".ets": "it is a part of a .vsi slide: export that as OME-TIFF",
    ".oib": "export it as OME-TIFF",
    ".oif": "export it as OME-TIFF",
    ".oir": "export it as OME-TIFF",
    ".zvi": "export it as OME-TIFF",
    ".dv": "export it as OME-TIFF",
    ".sld": "export it as OME-TIFF",
    ".ims": "export it as OME-TIFF",
    ".isyntax": "export it as OME-TIFF",
}
# What data sets and uploads are searched for.
IMAGE_ENDINGS = (".png", ".webp", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")


def is_installed(ending: str) -> bool:
    """Return whether what reads files of this ending is installed; it is for all that need no extra."""
    return ending not in EXTRA_ENDINGS or find_spec(EXTRA_ENDINGS[ending]) is not None


def readable_endings() -> tuple[str, ...]:
    """Return the endings of files and folders that can be read here."""
    extra = tuple(ending for ending in EXTRA_ENDINGS if is_installed(ending))
    return (*PICTURE_ENDINGS, *TIFF_ENDINGS, *extra, *FOLDER_ENDINGS)


def upload_endings() -> tuple[str, ...]:
    """Return the endings of files that are a whole image by themselves."""
    of_several = (".mrxs", ".vms", ".vmu", *FOLDER_ENDINGS)
    return tuple(ending for ending in readable_endings() if ending not in of_several)


def explain_ending(ending: str) -> str | None:
    """Return why files of an ending cannot be read, and the remedy; None if nothing is known of it.

    Args:
        ending: In lower case, with its dot.
    """
    if ending in FOREIGN_ENDINGS:
        return FOREIGN_ENDINGS[ending]
    if ending in EXTRA_ENDINGS and not is_installed(ending):
        return f"it is read by {EXTRA_ENDINGS[ending]}: pip install 'sac-lightning[slides]'"
    return None


def refuse_ending(path: Path) -> None:
    """Raise UserError if files of this ending cannot be read here: they may begin with a thumbnail that can."""
    reason = explain_ending(".dcm" if is_dicom_folder(path) else path.suffix.lower())
    if reason is not None:
        raise UserError(f"{path} cannot be read as it is; {reason}")


def refuse_name(path: Path) -> None:
    """Raise UserError if a file name is not valid UTF-8: records, tables and the console could not print it."""
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        name = os.fsencode(path.name).decode("ascii", "backslashreplace")
        raise UserError(f"the file name {name} is not in UTF-8: rename the file") from error


def is_zarr(path: Path) -> bool:
    """Return whether a folder is an OME-Zarr, by its name."""
    return path.suffix.lower() in FOLDER_ENDINGS and path.is_dir()


def is_dicom_folder(path: Path) -> bool:
    """Return whether a folder holds the files of a DICOM slide."""
    try:
        return path.is_dir() and any(file.suffix.lower() == ".dcm" for file in path.iterdir())
    except OSError:
        return False


def is_folder_image(path: Path) -> bool:
    """Return whether a folder within another is one image."""
    return is_zarr(path) or is_dicom_folder(path)


def is_tiff(first_bytes: bytes) -> bool:
    """Return whether a file that begins with these bytes (at least four) is a TIFF, of whatever name."""
    return first_bytes[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
