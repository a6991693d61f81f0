"""The predict command: image files in, for each a mask, a label map, an overlay, outlines and measurements out."""

import errno
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.images.selection import Selection
from sac_lightning.inference.nuclei_of_points import sizes_of
from sac_lightning.inference.predictor import load
from sac_lightning.slides.count_lines import tell_counts
from sac_lightning.slides.find_images import find_images
from sac_lightning.slides.formats import read_formats
from sac_lightning.slides.notes import Notes, list_files
from sac_lightning.slides.options import Options, find_others, options_of_image, options_of_run, write_options
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.point_files import read_points
from sac_lightning.slides.regions import read_regions
from sac_lightning.slides.segmentation import segment_file
from sac_lightning.slides.summary import FOUND, write_summary

# Of the operating system: no result of any image can be written.
NOWHERE_TO_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
# Of the option; anything else is a file of regions.
TISSUE = ("auto", "off")
NO_POINTS = np.zeros((0, 3), dtype=np.float32)


@dataclass
class Outcome:
    """What came of the images.

    Attributes:
        failed: A sentence for each that failed.
        results: Names of the results that are there by these options.
        segmented: How many were segmented.
        skipped: How many had their results already.
        by_others: Names of those whose results were made by other options, by the names of these.
        notes: On those that were segmented.
    """

    failed: list[str]
    results: list[str] = field(default_factory=list)
    segmented: int = 0
    skipped: int = 0
    by_others: dict[tuple[str, ...], list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: Notes = field(default_factory=Notes)


def predict(cfg: DictConfig) -> None:
    """Segment every image; report those that fail at the end, without stopping for them."""
    selection = Selection(cfg.series, cfg.page, cfg.channel)
    found = find_images(str(cfg.images))
    images, outcome = found.images, Outcome(list(found.refused))
    told: list[str] = []
    points = read_points(Path(cfg.points), images, told.append) if cfg.points else {}
    regions = read_regions(Path(cfg.regions), images, "regions") if cfg.regions else {}
    drawn = {} if cfg.tissue in TISSUE else read_regions(Path(cfg.tissue), images, "tissue")
    predictor = load(cfg.checkpoint, cfg.weights, cfg.device, cfg.instances, cfg.trust, cfg.mpp, cfg.precision)
    predictor.refuse_boxes(sum(int(sizes_of(given).any(axis=1).sum()) for given in points.values()))
    output = OutputFolder(
        Path(cfg.output),
        probability=cfg.probability,
        compressed=cfg.geojson == "compressed",
        formats=read_formats(cfg.formats),
    )
    output.make()
    of_all = options_of_run(cfg, predictor, selection)
    for path in tqdm(images, desc="segmenting", unit="image", disable=None):
        stem, given = path.stem + selection.suffix, points.get(path.name, NO_POINTS)
        tissue, region = drawn.get(path.name), regions.get(path.name)
        try:
            options = of_all | options_of_image(cfg, path, given, tissue, region)
            if not cfg.overwrite and _is_there(output, stem, options, path, outcome):
                continue
            looked = tissue or cfg.tissue != "off"
            segmented = segment_file(predictor, path, given, output, selection, looked, region)
            # After a command that is killed it would not tell of this image; one that cannot write leaves it.
            output.summary_file.unlink(missing_ok=True)
            write_options(output.options_file(stem), options | {FOUND: segmented.row})
            outcome.results.append(stem)
            outcome.notes.add(path, segmented.notes, segmented.share)
            outcome.segmented += 1
        except UserError as error:
            outcome.failed.append(str(error))
        except Exception as error:  # whatever it is, the other images are segmented
            if isinstance(error, OSError) and error.errno in NOWHERE_TO_WRITE:
                raise
            outcome.failed.append(_tell(path, error))
    _report(outcome, [*found.passed_over, *told], output)


def _is_there(output: OutputFolder, stem: str, options: Options, path: Path, outcome: Outcome) -> bool:
    """Return whether the results of an image are there, by these options or by others, and count it if so."""
    others = find_others(output.options_file(stem), options) if output.is_begun(stem) else ()
    if others:
        outcome.by_others[others].append(path.name)
    elif output.is_done(stem):
        outcome.results.append(stem)
        outcome.skipped += 1
    else:
        return False
    return True


def _report(outcome: Outcome, told: list[str], output: OutputFolder) -> None:
    """Print what came of the images and where it is; end with status 1 if any has not what was asked for."""
    for line in (*outcome.notes.lines(), *told):
        print(line)
    other = sum(map(len, outcome.by_others.values()))
    added = f", {other} there by other options" if other else ""
    print(f"{outcome.segmented} segmented, {outcome.skipped} already there, {len(outcome.failed)} failed{added}")
    rows = write_summary(output)
    for line in tell_counts({name: rows[name] for name in outcome.results if name in rows}):
        print(line)
    if rows:
        print(f"{'summary':<14}{output.summary_file}")
    for kind in output.kinds:
        print(f"{kind:<14}{output.path / kind}")
    for path in output.beyond_imagej:
        print(f"{path} is larger than ImageJ opens by itself: open it there with Bio-Formats")
    others = [_tell_others(output.path, *each) for each in outcome.by_others.items()]
    for sentence in (*outcome.failed, *others):
        print(f"error: {sentence}", file=sys.stderr)
    if outcome.failed or others:
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
