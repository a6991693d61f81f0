"""By which options the results of an image were made: kept beside them, so that none pass for those of others."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from omegaconf import DictConfig

from sac_lightning.core.files import whole_file
from sac_lightning.core.precision import FULL
from sac_lightning.images.selection import Selection
from sac_lightning.inference.predictor import Predictor
from sac_lightning.inference.thresholds import method_of
from sac_lightning.runs.contents import digest_path
from sac_lightning.slides.regions import Regions

Options = dict[str, Any]
# Of a file that an option names: for people, as the same content may lie elsewhere.
PATH = "path"
# Of an image file: so many parts of so many bytes, evenly from its first to its last.
PARTS, PART_BYTES = 64, 2**14


def options_of_run(cfg: DictConfig, predictor: Predictor, selection: Selection) -> Options:
    """Return the options that change the results of every image, as JSON has them.

    Base weights are not among them, as a checkpoint takes only its own; nor what else leaves the numbers as they
    are, such as the device and the forms of the results.
    """
    checkpoint = predictor.checkpoint or Path(cfg.checkpoint)
    return {
        "checkpoint": {PATH: str(cfg.checkpoint), "sha256": digest_path(checkpoint)},
        "instances": method_of(predictor.separation),
        "mpp": predictor.mpp,
        # Results of before this option were made in full precision and say nothing of it.
        "precision": None if predictor.precision == FULL else predictor.precision,
        "series": selection.series,
        "page": 1 if selection.page is None else selection.page,
        "channel": selection.channel,
    }


def options_of_image(
    cfg: DictConfig, path: Path, points: NDArray[np.float32], tissue: Regions | None, regions: Regions | None
) -> Options:
    """Return the options that change the results of one image.

    Args:
        cfg: Of the run.
        path: Of the image.
        points: (N, 3) its expert points.
        tissue: Its tissue, if that was drawn.
        regions: Its regions, if there are any.
    """
    return {
        "images": {PATH: str(path), "name": path.name, "sample": _digest_sample(path)},
        "points": _file(cfg.points, points.tobytes()) if len(points) else None,
        "tissue": cfg.tissue if tissue is None else _drawn(cfg.tissue, tissue),
        "regions": None if regions is None else _drawn(cfg.regions, regions),
    }


def write_options(path: Path, options: Options) -> None:
    """Write the options by which results were made, which are whole."""
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(json.dumps(options, indent=2) + "\n", encoding="utf-8")


def find_others(path: Path, options: Options) -> tuple[str, ...]:
    """Return the names of the options that were others when the results were made.

    Args:
        path: Of the file of options; there is none beside results of former versions, of which nothing is known.
        options: Now.
    """
    try:
        former = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(former, Mapping):
        return ()
    return tuple(name for name, value in options.items() if _content(former.get(name)) != _content(value))


def _content(value: Any) -> Any:
    """Return what of an option counts: of a file not where it lies."""
    return {key: of for key, of in value.items() if key != PATH} if isinstance(value, Mapping) else value


def _digest_sample(path: Path) -> str | None:
    """Return the SHA-256 of a file's size and of parts of it, as a slide is large; None of what is no file."""
    if not path.is_file():  # a pipe would be waited for
        return None
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            digest.update(str(size).encode())
            for part in range(PARTS):
                file.seek(max(size - PART_BYTES, 0) * part // (PARTS - 1))
                digest.update(file.read(PART_BYTES))
    except OSError:  # it fails where it is opened to be segmented
        return None
    return digest.hexdigest()


def _drawn(path: object, regions: Regions) -> Options:
    return _file(path, shapely.to_wkb(shapely.normalize(regions.shape)))


def _file(path: object, content: bytes) -> Options:
    return {PATH: str(path), "sha256": hashlib.sha256(content).hexdigest()}
