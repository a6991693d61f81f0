"""Files that are parts of a slide which another file beside them stands for, and no images by themselves."""

import re
from collections.abc import Sequence
from pathlib import Path

from sac_lightning.images.formats import is_installed

# Texts of Hamamatsu that name the pictures of a slide.
NAMING_ENDINGS = (".vms", ".vmu")
NAMED_FILE = re.compile(r"^\s*(?:ImageFile|MapFile|MacroImage)[^=]*=\s*(\S.*?)\s*$", re.MULTILINE | re.IGNORECASE)
# A longer text is none of Hamamatsu's.
MOST_BYTES = 2**20


def find_companions(files: Sequence[Path]) -> set[Path]:
    """Return which of some files another of them stands for.

    Of the files of a DICOM slide, one stands for all; Hamamatsu's VMS and VMU name their pictures.
    """
    named = {part for file in files if file.suffix.lower() in NAMING_ENDINGS for part in _read_parts(file)}
    companions = {file for file in files if file in named}
    dicom = [file for file in files if file.suffix.lower() == ".dcm" and file.is_file()]
    if len(dicom) > 1 and is_installed(".dcm"):
        from sac_lightning.images.dicom_folder import join_series

        companions.update(set(dicom) - set(join_series(dicom)))
    return companions


def _read_parts(file: Path) -> list[Path]:
    try:
        with file.open("rb") as content:
            text = content.read(MOST_BYTES).decode("latin-1")
    except OSError:
        return []
    return [file.with_name(name) for name in NAMED_FILE.findall(text) if "/" not in name]
