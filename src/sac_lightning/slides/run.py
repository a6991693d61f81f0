"""The predict command: image files in, for each a mask, a label map, an overlay, outlines and measurements out."""

import errno
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.images.selection import Selection
from sac_lightning.inference.predictor import load
from sac_lightning.slides.find_images import find_images
from sac_lightning.slides.formats import read_formats
from sac_lightning.slides.notes import Notes, list_files
from sac_lightning.slides.options import find_others, options_of_image, options_of_run, write_options
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.point_files import read_points
from sac_lightning.slides.regions import read_regions
from sac_lightning.slides.segmentation import segment_file

# Of the operating system: no result of any image can be written.
NOWHERE_TO_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
# Of the option; anything else is a file of regions.
TISSUE = ("auto", "off")
NO_POINTS = np.zeros((0, 3), dtype=np.float32)


def predict(cfg: DictConfig) -> None:
    """Segment every image; report those that fail at the end, without stopping for them."""
    found = find_images(str(cfg.images))
    images, failed, notes = found.images, list(found.refused), Notes()
    told: list[str] = []
    points = read_points(Path(cfg.points), images, told.append) if cfg.points else {}
    regions = read_regions(Path(cfg.regions), images, "regions") if cfg.regions else {}
    drawn = {} if cfg.tissue in TISSUE else read_regions(Path(cfg.tissue), images, "tissue")
    predictor = load(cfg.checkpoint, cfg.weights, cfg.device, cfg.instances, cfg.trust, cfg.mpp)
    output = OutputFolder(
        Path(cfg.output),
        probability=cfg.probability,
        compressed=cfg.geojson == "compressed",
        formats=read_formats(cfg.formats),
    )
    output.make()
    selection = Selection(cfg.series, cfg.page, cfg.channel)
    of_all = options_of_run(cfg, predictor, selection)
    segmented = skipped = 0
    by_others: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in tqdm(images, desc="segmenting", unit="image", disable=None):
        stem, given = path.stem + selection.suffix, points.get(path.name, NO_POINTS)
        tissue, region = drawn.get(path.name), regions.get(path.name)
        try:
            options = of_all | options_of_image(cfg, path, given, tissue, region)
            if output.is_begun(stem) and not cfg.overwrite:
                others = find_others(output.options_file(stem), options)
                if others:
                    by_others[others].append(path.name)
                    continue
                if output.is_done(stem):
                    skipped += 1
                    continue
            looked = tissue or cfg.tissue != "off"
            segmented_file = segment_file(predictor, path, given, output, selection, looked, region)
            write_options(output.options_file(stem), options)
            notes.add(path, segmented_file.notes, segmented_file.share)
            segmented += 1
        except UserError as error:
            failed.append(str(error))
        except Exception as error:  # whatever it is, the other images are segmented
            if isinstance(error, OSError) and error.errno in NOWHERE_TO_WRITE:
                raise
            failed.append(_tell(path, error))
    for line in (*notes.lines(), *found.passed_over, *told):
        print(line)
    other = sum(map(len, by_others.values()))
    added = f", {other} there by other options" if other else ""
    print(f"{segmented} segmented, {skipped} already there, {len(failed)} failed{added}")
    for kind in output.kinds:
        print(f"{kind:<14}{output.path / kind}")
    for path in output.beyond_imagej:
        print(f"{path} is larger than ImageJ opens by itself: open it there with Bio-Formats")
    for sentence in (*failed, *(_tell_others(output.path, *each) for each in by_others.items())):
        print(f"error: {sentence}", file=sys.stderr)
    if failed or by_others:
        sys.exit(1)


def _tell_others(folder: Path, others: tuple[str, ...], names: list[str]) -> str:
    """Return the line for images whose results were made by other options than now."""
    return (
        f"results of {list_files(names)} in {folder} were made by other options ({', '.join(others)}): "
        "set overwrite=true to replace them, or choose another output"
    )


def _tell(path: Path, error: Exception) -> str:
    """Return the line for an image that could not be segmented for a reason that no sentence of ours foresees."""
    reason = " ".join(str(error).split())
    return f"{path} could not be segmented ({type(error).__name__}{': ' if reason else ''}{reason})"
