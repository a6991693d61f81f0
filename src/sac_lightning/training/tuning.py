"""The thresholds that tell nuclei apart, chosen by mean PQ over validation images and kept in the checkpoint.

Each image is predicted once; every threshold of a small grid is then tried on its maps.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import torch
from lightning import Trainer
from numpy.typing import NDArray
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.sample import WholeImage
from sac_lightning.inference.competition import drop_doubles, paint_nuclei
from sac_lightning.inference.every_prompt import candidates
from sac_lightning.inference.nuclei_of_points import DecodedNucleus
from sac_lightning.inference.separate import decode_own_points, maps_of
from sac_lightning.inference.suppression import Candidate, paint_label_map, suppress_overlaps
from sac_lightning.inference.thresholds import EveryNucleus, EveryPrompt, Tuned, Watershed, method_of, scale_area
from sac_lightning.inference.watershed import watershed
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.checkpoint import THRESHOLDS, read_checkpoint
from sac_lightning.model.checkpoint_file import KEY, write_checkpoint
from sac_lightning.model.promptable import decodes_nuclei
from sac_lightning.training.metrics.instances import panoptic_factors
from sac_lightning.training.metrics.overlaps import find_overlaps
from sac_lightning.training.task import SegmentationTask

# Of settings that are equally good the first is taken: the untuned ones stand first.
MASKS = (0.5, 0.4, 0.6)
MARKERS = (0.5, 0.6, 0.7, 0.8, 0.9)
SCORES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
OVERLAPS = (0.5, 0.3, 0.1)
PIXELS = (0.5, 0.4, 0.3)
"""Of EveryNucleus, whose scores and overlaps are these: an IoU is estimated lower than it could be."""
NUCLEUS_SCORES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
NUCLEUS_OVERLAPS = (0.5, 0.3)
AREAS = (0, 10, 30, 100, 300, 1000, 3000)

Qualities = dict[Tuned, float]
"""PQ of one image by thresholds."""


def tune_checkpoint(
    path: Path, method: str, trainer: Trainer, task: SegmentationTask, data: NucleiDataModule
) -> Tuned:
    """Tunes a method on the validation split and writes its thresholds into the checkpoint.

    Args:
        path: Of the checkpoint.
        method: ``watershed`` or ``prompts``.
        trainer: Says on which device and in which precision; the first of its processes writes.
        task: With the checkpoint's model.
        data: With the validation images. Its test images are not looked at.

    Raises:
        UserError: The checkpoint cannot be written.
    """
    task.to(trainer.strategy.root_device).eval()
    images = data.whole_images("val")
    progress = tqdm(range(len(images)), desc=f"tuning {method}", unit="image", leave=False, disable=None)
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        tuned, quality = choose_best(
            qualities(method, task, images[0, index].to(task.device)) for index in progress
        )
    if trainer.is_global_zero:
        store_thresholds(path, tuned)
        print(f"instances  {tuned}, PQ {quality:.3f} on {len(images)} validation images, kept in {path}")
    return tuned


def choose_best(images: Iterable[Qualities]) -> tuple[Tuned, float]:
    """Return the thresholds of the highest mean PQ over images, of equal ones the first, and that mean."""
    sums: dict[Tuned, float] = defaultdict(float)
    count = 0
    for image in images:
        count += 1
        for thresholds, quality in image.items():
            sums[thresholds] += quality
    chosen = max(sums, key=lambda thresholds: sums[thresholds])
    return chosen, sums[chosen] / count


def qualities(method: str, task: SegmentationTask, image: WholeImage) -> Qualities:
    """One image predicted once and scored by every setting of a method's grid."""
    truth = image.instances.cpu().numpy()
    prediction = task.predict_image(image, keep_embeddings=method == "prompts")
    if method == "prompts":
        view = task.view.at_scale(image.factor)
        if decodes_nuclei(task.model):
            decoded = decode_own_points(task.model, prediction, view)
            return nucleus_qualities(decoded, prediction.probability.cpu().numpy(), truth, image.factor)
        return prompt_qualities(candidates(task.model, prediction, view), truth, image.factor)
    return watershed_qualities(prediction, truth, image.factor)


def watershed_qualities(prediction: Prediction, truth: NDArray[np.int32], factor: float = 1.0) -> Qualities:
    """Every setting of Watershed's grid on one image; truth: (H, W) label map; factor: see View.at_scale."""
    found: Qualities = {}
    for mask, marker in product(MASKS, MARKERS):
        labels = watershed(maps_of(prediction, mask), marker)
        for min_area, quality in score_by_area(labels, truth, factor).items():
            found[Watershed(mask, marker, min_area)] = quality
    return found


def prompt_qualities(
    found_candidates: list[Candidate], truth: NDArray[np.int32], factor: float = 1.0
) -> Qualities:
    """Every setting of EveryPrompt's grid on one image; truth: (H, W) label map; factor: see View.at_scale."""
    found: Qualities = {}
    height, width = truth.shape
    for overlap in OVERLAPS:
        kept = suppress_overlaps(found_candidates, overlap)
        for score in SCORES:
            labels = paint_label_map(kept, (height, width), score)
            for min_area, quality in score_by_area(labels, truth, factor).items():
                found[EveryPrompt(score, overlap, min_area)] = quality
    return found


def nucleus_qualities(
    decoded: list[DecodedNucleus],
    probability: NDArray[np.float32],
    truth: NDArray[np.int32],
    factor: float = 1.0,
) -> Qualities:
    """Every setting of EveryNucleus's grid on one image; see choose_nuclei, and watershed_qualities."""
    found: Qualities = {}
    for score, overlap in product(NUCLEUS_SCORES, NUCLEUS_OVERLAPS):
        kept = drop_doubles([nucleus for nucleus in decoded if nucleus.score > score], overlap)
        for pixel in PIXELS:
            labels = paint_nuclei(kept, probability, pixel)
            for min_area, quality in score_by_area(labels, truth, factor).items():
                found[EveryNucleus(score, overlap, min_area, pixel)] = quality
    return found


def score_by_area(labels: NDArray[np.int32], truth: NDArray[np.int32], factor: float = 1.0) -> dict[int, float]:
    """Return the PQ of a label map without its nuclei smaller than each of AREAS, which are of the training."""
    overlaps = find_overlaps(labels, truth)
    return {
        area: float(np.prod(panoptic_factors(overlaps.drop_small(scale_area(area, factor))))) for area in AREAS
    }


def store_thresholds(path: Path, tuned: Tuned) -> None:
    """Writes the thresholds of a method into a checkpoint, in place of those of the same method.

    Raises:
        UserError: See read_checkpoint; or the file cannot be written. It is then as it was.
    """
    content = read_checkpoint(path)
    content[KEY][THRESHOLDS] = {**content[KEY].get(THRESHOLDS, {}), method_of(tuned): asdict(tuned)}
    try:
        write_checkpoint(path, content)
    except (OSError, RuntimeError) as error:  # The latter is what torch makes of a folder that it may not write.
        raise UserError(
            f"{path} cannot be written ({error}): copy it to where it can, and tune the copy"
        ) from error
