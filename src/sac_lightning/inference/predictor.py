"""A trained model for people with images: ``sac_lightning.load(checkpoint).segment(image)``."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.precision import AUTO, FULL, MIXED, check_precision
from sac_lightning.core.scale import OFF, Mpp, Scale, check_mpp
from sac_lightning.core.view import View
from sac_lightning.data.windows import check_boxes, gather_points, place_points
from sac_lightning.images.tone import prepare_image
from sac_lightning.inference.every_prompt import refuse_given_points, refuse_model, refuse_size
from sac_lightning.inference.magnification import Look, Magnification, find_magnification, refuse_mpp
from sac_lightning.inference.nuclei_of_points import add_boxes, points_shown
from sac_lightning.inference.onnx.model import load_exported
from sac_lightning.inference.separate import choose_nuclei, decode_own_points, separate_nuclei
from sac_lightning.inference.thresholds import (
    THRESHOLD,
    Components,
    EveryNucleus,
    EveryPrompt,
    Separation,
    choose_separation,
    scale_separation,
)
from sac_lightning.inference.windows import segment
from sac_lightning.model.checkpoint import load_checkpoint
from sac_lightning.model.precision import autocast, resolve_precision
from sac_lightning.model.register import DEFAULT
from sac_lightning.model.registered import find_checkpoint
from sac_lightning.model.trust import read_trusted
from sac_lightning.model.use import prepare_for_use


@dataclass
class Nuclei:
    """The nuclei of an image.

    Attributes:
        mask: (H, W) bool, True on nuclei.
        probability: (H, W) float32 in [0, 1].
        points: (N, 2) xy in image pixels, all prompts, automatic and given.
        labels: (N,) 1 nucleus, 0 background: of the points.
        instances: (H, W) int32, 0 background, the nuclei numbered 1 to n. They have thresholds of their own and a
            least area, so they may cover a little more or less than ``mask``, which is probability > 0.5.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    instances: NDArray[np.int32]


def empty_nuclei(height: int, width: int) -> Nuclei:
    """Return the answer for an image in which there is nothing."""
    probability = np.zeros((height, width), dtype=np.float32)
    points, labels = np.zeros((0, 2), np.float32), np.zeros(0, np.int64)
    return Nuclei(probability > 0, probability, points, labels, np.zeros((height, width), np.int32))


class Predictor:
    """A model with its view of images. It never sees a true mask."""

    def __init__(
        self,
        model: nn.Module,
        view: View,
        device: str = "cpu",
        separation: Separation | None = None,
        scale: Scale | None = None,
        mpp: Mpp = None,
        precision: str = FULL,
    ) -> None:
        """Put a model on its device.

        Args:
            model: Of a checkpoint.
            view: As it was trained.
            device: Such as ``cpu`` or ``cuda``.
            separation: How touching nuclei are separated. Default: by the mask's connected regions.
            scale: The size of pixels and nuclei of its training. Default: unknown.
            mpp: Micrometres per pixel of every image, see magnification.find_magnification.
            precision: In which the networks compute, see core.precision; all else is float32.

        Raises:
            UserError: The model cannot decode every prompt by itself, or cannot use ``mpp``; there is no such
                precision.
        """
        self.separation = separation or Components()
        if isinstance(self.separation, EveryPrompt):
            refuse_model(model, self.separation)
        self.model = model.eval().to(device)
        self.view = view
        self.device = torch.device(device)
        self.precision = resolve_precision(check_precision(precision), self.device.type)
        self.scale = scale or Scale()
        self.mpp = check_mpp(mpp)
        refuse_mpp(self.scale, view, self.mpp)
        self.factor = 1.0
        self.checkpoint: Path | None = None  # that it was loaded from

    def autocast(self) -> torch.autocast:
        """Return the context in which the networks compute in the predictor's precision."""
        return autocast(self.precision, self.device)

    def magnify(self, micrometres: tuple[float, float] | None, look: Look) -> Magnification:
        """Return how much an image is enlarged or reduced for the model, see magnification.find_magnification."""
        return find_magnification(self.scale, self.view, micrometres, self.mpp, look)

    def at_scale(self, factor: float) -> "Predictor":
        """Return the predictor for images of one magnification, see View.at_scale; the model is the same."""
        view, separation = self.view.at_scale(factor), scale_separation(self.separation, factor)
        scaled = Predictor(self.model, view, str(self.device), separation, self.scale, OFF, self.precision)
        scaled.factor = factor * self.factor
        return scaled

    def refuse_boxes(self, boxes: int) -> None:
        """Raise UserError if there are boxes and only points can be shown to the model."""
        if boxes and not isinstance(self.separation, EveryNucleus):
            raise UserError(
                f"boxes ({boxes} are given) are for instances=prompts and a model that was trained with "
                "prompts.objective=instances: give points, or use such a model"
            )

    def segment(
        self,
        image: NDArray[np.uint8],
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        seed: int = 0,
        mpp: Mpp = None,
        boxes: ArrayLike | None = None,
    ) -> Nuclei:
        """Segment an image of any size and magnification.

        Args:
            image: (H, W, 3) RGB.
            points: (N, 2) xy in image pixels: expert points beside the automatic ones. Default: none.
            labels: (N,), 1 nucleus, 0 background. Default: all 1.
            seed: Of the random selection of points.
            mpp: Micrometres per pixel, or ``off`` for those of the training. Default: the predictor's, else a
                guess from the image, with a warning if it is another magnification than the training's.
            boxes: (M, 4) left, top, right, bottom in image pixels, each around a nucleus. Default: none.

        Raises:
            UserError: The image is not 8-bit RGB, the points are not (N, 2), or one is outside the image; or every
                prompt is decoded by itself, and the image is large or there are expert points; or the model cannot
                use ``mpp``; or the boxes are not (M, 4) or not in the image, or not for this model or method.
        """
        refuse_image(image)
        given = self.mpp if mpp is None else check_mpp(mpp)
        found = find_magnification(self.scale, self.view, None, given, lambda: image)
        if found.guessed:
            warnings.warn(f"the image was {found.note}", stacklevel=2)
        if found.factor != 1:
            return self.at_scale(found.factor).segment(image, points, labels, seed, boxes=boxes)
        height, width = image.shape[:2]
        windows = self.view.windows(height, width)
        expert_points = place_points(points, labels, (width, height), windows, self.device)
        drawn = check_boxes(boxes, (width, height))
        self.refuse_boxes(len(drawn))
        by_prompts = isinstance(self.separation, EveryPrompt)
        if by_prompts:
            refuse_size(height, width, self.factor)
            if not isinstance(self.separation, EveryNucleus):
                refuse_given_points(0 if expert_points is None else expert_points.coords.shape[1])
        pixels = torch.from_numpy(prepare_image(image, self.view.stretch)).permute(2, 0, 1).float().to(self.device)
        with self.autocast():
            prediction = segment(self.model, pixels, self.view, expert_points, seed, keep_embeddings=by_prompts)
        probability = prediction.probability.cpu().numpy()
        coords, signs = prediction.point_coords.cpu().numpy(), prediction.point_labels.cpu().numpy()
        if isinstance(self.separation, EveryNucleus):
            clicked = np.zeros((0, 3), np.float32)
            if expert_points is not None:
                clicked = gather_points(expert_points, windows)
            clicked = add_boxes(clicked, drawn)
            with self.autocast():
                decoded = decode_own_points(self.model, prediction, self.view, clicked)
            instances = choose_nuclei(decoded, probability, self.separation)
            coords, signs = points_shown(decoded, clicked)
        else:
            with self.autocast():
                instances = separate_nuclei(self.model, prediction, self.view, self.separation)
        return Nuclei(probability > THRESHOLD, probability, coords, signs, instances)


def load(
    checkpoint: str | Path = DEFAULT,
    weights: str | None = None,
    device: str = "cpu",
    instances: str | None = None,
    trust: str | Sequence[str] | None = None,
    mpp: Mpp = None,
    precision: str = AUTO,
) -> Predictor:
    """Load a predictor from a checkpoint alone, or from what the export command made of one.

    Args:
        checkpoint: Path of a ``.ckpt`` that the train command wrote, or of a folder that the export command wrote,
            whose networks onnxruntime runs; or, as a str, the name of a trained model, see model.register.
            Default: the one that the package ships.
        weights: Name or path of SAM's weights, where they are not where they were in training.
        device: Such as ``cpu`` or ``cuda``.
        instances: How nuclei are separated: ``components``, ``watershed`` or ``prompts``. Default: watershed
            where the checkpoint holds thresholds for it, else components.
        trust: Packages of one's own whose code the checkpoint may name, such as that of one's own network.
        mpp: Micrometres per pixel of the images, or ``off`` for those of the training. Default: as each file says,
            else a guess from the image.
        precision: In which the networks compute: ``auto``, ``bf16-mixed`` (bfloat16, faster where the hardware
            multiplies it) or ``32-true`` (float32). Default: the faster one; of what was exported, float32.

    Raises:
        UserError: See registered.find_checkpoint, checkpoint.load_checkpoint, onnx.model.load_exported,
            thresholds.choose_separation and magnification.refuse_mpp.
    """
    path = find_checkpoint(checkpoint)
    if path.is_dir() or path.suffix == ".onnx":
        predictor = _load_exported(path, weights, device, instances, mpp, precision)
    else:
        predictor = _load_trained(path, weights, device, instances, trust, mpp, precision)
    predictor.checkpoint = path
    return predictor


def _load_trained(
    path: Path,
    weights: str | None,
    device: str,
    instances: str | None,
    trust: str | Sequence[str] | None,
    mpp: Mpp,
    precision: str,
) -> Predictor:
    """Load a model as it was trained, see load."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise UserError(f"device is {device!r}, which torch does not know: set it to cpu or cuda") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device is {device} but torch sees no GPU here: set it to cpu")
    loaded = load_checkpoint(path, weights=weights, trusted=read_trusted(trust))
    prepare_for_use(loaded.model)
    separation = choose_separation(instances, loaded.thresholds, path)
    view = View(**loaded.settings["view"])
    return Predictor(loaded.model, view, device, separation, loaded.scale, mpp, precision)


def _load_exported(
    folder: Path, weights: str | None, device: str, instances: str | None, mpp: Mpp, precision: str
) -> Predictor:
    """Load an exported model, see load."""
    if weights is not None:
        raise UserError(f"{folder} holds all its weights: leave weights out")
    if device != "cpu":
        raise UserError(
            f"{folder} runs on the CPU: set device to cpu, or give the checkpoint that it was made from"
        )
    if check_precision(precision) == MIXED:
        raise UserError(f"{folder} was exported in float32: leave precision out, or give the checkpoint")
    model, description = load_exported(folder)
    separation = choose_separation(instances, description.thresholds, folder)
    return Predictor(model, description.view, separation=separation, scale=description.scale, mpp=mpp)


def refuse_image(image: NDArray[np.uint8]) -> None:
    """Raise UserError if an image is not 8-bit RGB (H, W, 3)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"the image is {image.dtype} {image.shape}: give 8-bit RGB of shape (height, width, 3)")
