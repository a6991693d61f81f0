"""The figures of one evaluation: of the mask, of the prompt generator, of the instances, of the prompts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torchmetrics import MetricCollection

from sac_lightning.data.label_maps import connected_components
from sac_lightning.data.sample import WholeImage
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.inference.windows import Prediction
from sac_lightning.model.point_selection import PointSelection
from sac_lightning.model.prompt_generator import MASK
from sac_lightning.training.metrics.instance_scores import InstanceScores, image_figures
from sac_lightning.training.metrics.objects import ObjectScores
from sac_lightning.training.metrics.overlaps import find_overlaps
from sac_lightning.training.metrics.pixels import F1, DiceScore, IoU, count_pixels, dice_of_counts, iou_of_counts
from sac_lightning.training.metrics.prompts import NucleusPoints, PromptQuality

# Of all pixels. Our choice: the sparsest test set here (DSB2018) has a hundred times as many on nuclei.
COLLAPSED = 0.001
# Of the instance figures, those that are kept of each image.
OF_IMAGES = ("aji", "pq", "f1_50")


class Scores(nn.Module):
    """Metrics over the images of a split, at native resolution and threshold 0.5."""

    def __init__(
        self, generator: bool, instances: bool, prompts: bool, selection: PointSelection | None = None
    ) -> None:
        """Choose what is scored besides the mask.

        Args:
            generator: Score the prompt generator's own mask.
            instances: Score the nuclei, see InstanceScores, and keep each image's figures for image_scores.
            prompts: Score the quality of the point prompts.
            selection: Of a model with a prompt generator: score as well the points that it takes of whole images.
        """
        super().__init__()
        self.mask = _mask_metrics()
        self.generator = _mask_metrics(prefix="generator_") if generator else None
        self.instances = InstanceScores() if instances else None
        self.objects = ObjectScores() if instances else None
        self.scores_objects = False
        """Whether the challenge of the data set scores objects, see ObjectScores."""
        self.prompts = PromptQuality() if prompts else None
        self.selection = selection
        self.points = NucleusPoints() if prompts and selection is not None else None
        self.images: list[dict[str, Any]] = []

    def update(
        self, prediction: Prediction, image: WholeImage, instances: NDArray[np.int32] | None = None
    ) -> None:
        """Add one image; its nuclei are ``instances`` (H, W) or, by default, the mask's connected regions."""
        truth = (image.instances > 0)[None]
        mask = (prediction.probability > THRESHOLD)[None]
        self.mask.update(mask, truth)
        if self.generator is not None:
            assert prediction.generator_maps is not None
            self.generator.update((prediction.generator_maps[MASK] > THRESHOLD)[None], truth)
        if self.instances is not None:
            if instances is None:
                instances = connected_components(mask[0].cpu().numpy())
            overlaps = find_overlaps(instances, image.instances)
            self.instances.update(overlaps)
            nuclei = {"nuclei": len(overlaps.truth_areas), "found": len(overlaps.prediction_areas)}
            kept = {name: value for name, value in image_figures(overlaps).items() if name in OF_IMAGES}
            self.images.append({"name": image.name, **_image_figures(mask, truth), **nuclei, **kept})
            if self.objects is not None and self.scores_objects:
                self.objects.update(instances, image.instances)
        if self.prompts is not None:
            self.prompts.update(prediction.point_coords, prediction.point_labels, image.instances)
        if self.points is not None and self.selection is not None:
            assert prediction.generator_maps is not None
            points = self.selection.choose_all(prediction.generator_maps.cpu().numpy(), prediction.map_scale)
            self.points.update(torch.from_numpy(points).to(image.instances.device), image.instances)

    def names(self) -> list[str]:
        """Return the names of the figures of masks that ``compute`` returns."""
        parts = [part for part in (self.mask, self.generator) if part is not None]
        return [str(name) for part in parts for name in part.keys(keep_base=False)]

    def compute(self) -> dict[str, Tensor]:
        """Return all figures by name, over all processes."""
        values: dict[str, Tensor] = dict(self.mask.compute())
        for part in (self.generator, self.instances, self.objects if self.scores_objects else None):
            if part is not None:
                values |= part.compute()
        for prompts in (self.prompts, self.points):
            if prompts is not None:
                values |= {f"prompt_{name}": value for name, value in prompts.compute().items()}
        return values

    def image_scores(self) -> list[dict[str, Any]]:
        """Return the figures of each image, of all processes (each of which must ask), sorted by name.

        Returns:
            One dict per image with name, dice and iou (the ones of which Dice and IoU are the means),
            true_positives, false_positives and false_negatives in pixels of all its pixels, its true and found
            nuclei and their aji, pq and f1_50; none without ``instances``.
        """
        shares = [self.images]
        if distributed.is_available() and distributed.is_initialized():
            shares = [[] for _ in range(distributed.get_world_size())]
            distributed.all_gather_object(shares, self.images)
        return sorted((image for share in shares for image in share), key=lambda image: str(image["name"]))

    def reset(self) -> None:
        """Forget all images."""
        self.images = []
        for part in (self.mask, self.generator, self.instances, self.objects, self.prompts, self.points):
            if part is not None:
                part.reset()


def find_collapse(images: Sequence[Mapping[str, Any]]) -> str | None:
    """Find what nearly every pixel was predicted to be, ``background`` or ``nucleus``, if the truth is not so.

    Args:
        images: The figures of each image, see Scores.image_scores.
    """
    pixels = sum(image["pixels"] for image in images)
    hits, false, missed = (
        sum(image[name] for image in images) for name in ("true_positives", "false_positives", "false_negatives")
    )
    predicted, true = (hits + false) / max(pixels, 1), (hits + missed) / max(pixels, 1)
    if predicted < COLLAPSED <= true:
        return "background"
    if 1 - predicted < COLLAPSED <= 1 - true:
        return "nucleus"
    return None


def _mask_metrics(prefix: str | None = None) -> MetricCollection:
    return MetricCollection({"dice": DiceScore(), "iou": IoU(), "f1": F1()}, prefix=prefix, compute_groups=False)


def _image_figures(mask: Tensor, truth: Tensor) -> dict[str, float | int]:
    """Return Dice, IoU and the counted pixels of one image; both masks (1, H, W) bool."""
    counts = count_pixels(mask, truth)
    true_positives, false_positives, false_negatives = (int(count) for count in counts)
    return {
        "dice": float(dice_of_counts(*counts)),
        "iou": float(iou_of_counts(*counts)),
        "true_positives": true_positives,
        "false_positives": false_positives,
        "false_negatives": false_negatives,
        "pixels": mask.numel(),
    }
