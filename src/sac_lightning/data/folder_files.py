"""The files of a user's own images, paired by name and divided into parts; no image is read."""

import csv
import unicodedata
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np

from sac_lightning.core.errors import UserError
from sac_lightning.data.array_file import ARRAY_ENDINGS
from sac_lightning.data.sample_files import SampleFiles
from sac_lightning.data.split import PARTS
from sac_lightning.images.formats import IMAGE_ENDINGS, readable_endings, refuse_ending, refuse_name

OME = ".ome"
TRUTH_ENDINGS = (*IMAGE_ENDINGS, ".gif", *ARRAY_ENDINGS)


def find_truth_folder(root: Path) -> Path:
    """Return where the truths of a folder of images are: ``instances/`` if it is there, else ``masks/``."""
    instances = root / "instances"
    return instances if instances.is_dir() else root / "masks"


def find_pairs(root: Path) -> dict[str, SampleFiles]:
    """Return the images of a folder with their truths, by name.

    Raises:
        UserError: A folder is missing, an image has no partner or cannot be read, or two files have the same name.
    """
    images = find_files(root / "images", readable_endings())
    truth_folder = find_truth_folder(root)
    truths = find_files(truth_folder, TRUTH_ENDINGS)
    _refuse_unreadable(root / "images", images, truths)
    pairs = {}
    for name, path in images.items():
        partner = _find_name(name, truths)
        # What has the very name of another image is that one's.
        if partner is None or (partner != name and partner in images):
            raise UserError(f"{path} has no partner in {truth_folder}: add {name}.png there or remove the image")
        pairs[name] = SampleFiles(name, path, truths[partner])
    return pairs


def _find_name(name: str, names: Container[str]) -> str | None:
    """Return which of some names is this one, or else differs from it by the ".ome" of an OME-TIFF."""
    if name in names:
        return name
    other = name[: -len(OME)] if name.lower().endswith(OME) else name + OME
    return other if other in names else None


def _refuse_unreadable(folder: Path, images: Mapping[str, Path], truths: Mapping[str, Path]) -> None:
    """Raise UserError over a file with a truth whose kind cannot be read: it would be left out in silence."""
    for path in sorted(folder.iterdir()):
        name = unicodedata.normalize("NFC", path.stem)
        if name in truths and name not in images:
            refuse_ending(path)


def find_files(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """Return the files of a folder with one of these endings by file name without it.

    Hidden files are passed over, as archives of macOS hold one beside each. Names are composed (NFC), as the same
    letter is stored in two ways.

    Raises:
        UserError: There is no such folder, or two files have the same name.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder.resolve()} does not exist: data=folder needs images/ and masks/ or instances/ there"
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in endings and not path.name.startswith("."):
            refuse_name(path)
            name = unicodedata.normalize("NFC", path.stem)
            if name in files:
                raise UserError(f"{path} and {files[name].name} have the same name: rename one of them")
            files[name] = path
    return files


def divide_pairs(
    pairs: Mapping[str, SampleFiles], root: Path, split: str | None, ratios: Mapping[str, float], seed: int
) -> dict[str, list[SampleFiles]]:
    """Divide the pairs of a folder into parts, by a CSV or by ratio.

    Args:
        pairs: Of ``find_pairs``.
        root: Their folder.
        split: Path of the CSV; None divides by ratio.
        ratios: Parts of the images for ``val`` and ``test``.
        seed: Of the division by ratio.

    Raises:
        UserError: There are too few images, or the CSV is wrong.
    """
    assigned = (
        _by_ratio(sorted(pairs), root, ratios, seed) if split is None else _by_file(pairs, root, Path(split))
    )
    parts: dict[str, list[SampleFiles]] = {part: [] for part in PARTS}
    for name, part in assigned.items():
        parts[part].append(pairs[name])
    return parts


def _by_ratio(names: list[str], root: Path, ratios: Mapping[str, float], seed: int) -> dict[str, str]:
    counts = {part: max(1, round(ratio * len(names))) for part, ratio in ratios.items()}
    if len(names) < sum(counts.values()) + 1:
        raise UserError(
            f"{root / 'images'} holds {len(names)} images, of which data.val_ratio and data.test_ratio "
            "leave none to train on: add images (at least three) or reduce the ratios"
        )
    order = np.random.default_rng(seed).permutation(names).tolist()
    parts = ["test"] * counts["test"] + ["val"] * counts["val"]
    parts += ["train"] * (len(names) - len(parts))
    return dict(zip(order, parts, strict=True))


def _by_file(pairs: Mapping[str, SampleFiles], root: Path, path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"data.split names {path}, which does not exist: give a CSV with the columns name,split")
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            head = lines.readline()
            lines.seek(0)
            # Spreadsheets of many countries separate by semicolons.
            separator = next((one for one in ",;\t" if one in head), ",")
            reader = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
            reader.fieldnames = [column.strip() for column in reader.fieldnames or ()]
            columns, rows = set(reader.fieldnames), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): save it as a CSV in UTF-8") from error
    if not {"name", "split"} <= columns:
        raise UserError(f"{path} lacks the columns name,split: add them as its first line")
    assigned: dict[str, str] = {}
    for row in rows:
        written = unicodedata.normalize("NFC", (row["name"] or "").strip())
        name = _find_name(written, pairs) or written
        part = (row["split"] or "").strip()
        if name in assigned:
            raise UserError(f"{path} names {name} twice: keep one of the lines")
        if part not in PARTS:
            raise UserError(f"{path} gives {name} the split {part}: choose train, val or test")
        if name not in pairs:
            raise UserError(f"{path} names {name}, which is not in {root / 'images'}: correct the name")
        assigned[name] = part
    return assigned
