"""The export command: write the graphs of a checkpoint, run them, and keep them if they agree with torch."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_folder
from sac_lightning.core.view import View
from sac_lightning.data.scene import SMALLEST_SIDE, render_scene
from sac_lightning.inference.onnx.description import Description
from sac_lightning.inference.onnx.graphs import graphs, write_graph
from sac_lightning.inference.onnx.model import MISSING, load_exported
from sac_lightning.inference.thresholds import choose_separation
from sac_lightning.model.checkpoint import load_checkpoint
from sac_lightning.model.nucleus_decoder import NucleusMasks
from sac_lightning.model.point_selection import BOTTOM_RIGHT, TOP_LEFT
from sac_lightning.model.promptable import Promptable, Segmentation, resize_to_input, segment_by_generator
from sac_lightning.model.trust import read_trusted
from sac_lightning.model.weights import sha256_of

EXPERTS = (0, 5)
"""Numbers of expert points in the verification."""
PROMPT_SETS = ((1, 1), (3, 7), (32, 7))
"""Numbers of prompt sets and of points in each, likewise, for a model that decodes nuclei."""


def export(cfg: DictConfig) -> None:
    """Export a checkpoint; leave nothing behind if the files do not agree with it."""
    if not all(find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime")):
        raise UserError(MISSING)
    checkpoint, output = Path(cfg.checkpoint), Path(cfg.output)
    loaded = load_checkpoint(checkpoint, weights=cfg.weights, trusted=read_trusted(cfg.trust))
    name, view = loaded.settings["model"]["name"], View(**loaded.settings["view"])
    if view.image_size is None:
        raise UserError(f"{name} has no size of its input, which ONNX needs: use {checkpoint} instead")
    choose_separation(None, loaded.thresholds, checkpoint)  # raises UserError if they are not valid
    thresholds = {method: dict(values) for method, values in loaded.thresholds.items()}
    refine = isinstance(loaded.model, Promptable) and loaded.model.refine and loaded.model.has_trained_decoder
    field = loaded.model.nucleus_field if isinstance(loaded.model, Promptable) else None
    description = Description(
        name, sha256_of(checkpoint), view, selection(loaded.model), thresholds, loaded.scale, refine, field
    )
    try:
        with whole_folder(output) as partial:
            difference = write_and_verify(loaded.model, description, partial)
            if not difference <= cfg.tolerance:  # NaN is no agreement either.
                raise UserError(
                    f"the logits of the export differ from torch's by {difference:.1e}, more than tolerance="
                    f"{cfg.tolerance:g}: nothing was written; if so much is good enough for you, raise it"
                )
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror}): choose another output") from error
    for path in sorted(output.iterdir()):
        print(f"{path}   {path.stat().st_size / 1e6:.1f} MB")
    print(f"largest difference from torch   {difference:.1e} in the logits (tolerance {cfg.tolerance:g})")


def selection(model: nn.Module) -> dict[str, object] | None:
    """Return the settings of a model's point selection; None if it takes no points."""
    return vars(model.point_selection).copy() if isinstance(model, Promptable) else None


@torch.no_grad()
def write_and_verify(model: nn.Module, description: Description, folder: Path) -> float:
    """Write a model's files and run them.

    Args:
        model: In eval mode, on the CPU.
        description: Goes into each file.
        folder: For the files.

    Returns:
        The largest difference between onnxruntime's and torch's logits, the generator's included, and estimates of
        the IoU, over two scenes with and without expert points.

    Raises:
        UserError: A compared network's code cannot be traced.
    """
    size = description.image_size
    images = scenes(size)
    expected = [answer(model, images, experts) for experts in EXPERTS]
    nuclei = answer_nuclei(model, expected[0])
    for graph in graphs(model, size):
        write_graph(graph, folder / f"{graph.name}.onnx", description)
    exported, _ = load_exported(folder)
    distances = [distance(exported, images, each) for each in expected]
    distances += [
        nuclei_distance(ours, theirs)
        for ours, theirs in zip(answer_nuclei(exported, expected[0]), nuclei, strict=True)
    ]
    return float(np.max(distances))  # NaN, if there is one.


def scenes(size: int) -> Tensor:
    """Draw a procedural scene of each stain, (2, 3, size, size) in 0..255."""
    side = max(size, SMALLEST_SIDE)
    pair = [
        render_scene(np.random.default_rng(0), side, side, stain)[0] for stain in ("fluorescence", "histology")
    ]
    return torch.from_numpy(np.stack(pair)).permute(0, 3, 1, 2)[..., :size, :size].float()


def answer(model: nn.Module, images: Tensor, experts: int) -> Segmentation | Tensor:
    """Run a model on images, with random expert points of either label if it takes points."""
    if not isinstance(model, Promptable):
        return model(images)  # type: ignore[no-any-return]
    generator = torch.Generator().manual_seed(0)
    coords = torch.rand(len(images), experts, 2, generator=generator) * images.shape[-1] - 0.5
    labels = torch.randint(0, 2, (len(images), experts), generator=generator)
    return model(images, coords, labels)  # type: ignore[no-any-return]


def answer_nuclei(model: nn.Module, encoded: Segmentation | Tensor) -> list[NucleusMasks]:
    """Decode random prompt sets of several sizes, if the model decodes nuclei.

    Args:
        model: The model.
        encoded: Torch's answer to the images; both models get its embeddings and maps.
    """
    if not isinstance(encoded, Segmentation) or not isinstance(model, Promptable) or not model.decodes_nuclei:
        return []
    embeddings, maps = encoded.image_embeddings, encoded.generator_logits
    assert embeddings is not None
    assert maps is not None
    generator, masks = torch.Generator().manual_seed(0), []
    for prompts, points in PROMPT_SETS:
        owners = torch.randint(0, len(maps), (prompts,), generator=generator)
        coords = torch.rand(prompts, points, 2, generator=generator) * encoded.logits.shape[-1] - 0.5
        labels = torch.randint(-1, 2, (prompts, points), generator=generator)
        labels[:, 0] = 1
        if points > 1:  # A box, in place of a point.
            labels[0, :2] = torch.tensor([TOP_LEFT, BOTTOM_RIGHT])
        masks.append(model.decode_nuclei(embeddings, maps, owners, coords, labels))
    return masks


def nuclei_distance(ours: NucleusMasks, theirs: NucleusMasks) -> float:
    """Return the largest difference between two answers to the same prompts; infinite if other parts were seen."""
    if not torch.equal(ours.corners, theirs.corners):
        return float("inf")
    pairs = [(ours.logits, theirs.logits), (ours.coarse, theirs.coarse), (ours.iou, theirs.iou)]
    return float(torch.stack([(a - b).abs().max() for a, b in pairs]).max())


def distance(exported: nn.Module, images: Tensor, expected: Segmentation | Tensor) -> float:
    """Return the largest difference between an exported model's answer and torch's.

    The decoder gets torch's points: where a probability is at the threshold, the last bit decides about a point.
    """
    pairs: list[tuple[Tensor | None, Tensor | None]]
    if isinstance(expected, Tensor):
        pairs = [(exported(images), expected)]
    else:
        assert isinstance(exported, Promptable)
        embeddings, generator_logits = exported.encode(images)
        if exported.decodes_nuclei:
            own = segment_by_generator(exported, images, generator_logits)
            pairs = [(own.logits, expected.logits), (generator_logits, expected.generator_logits)]
            pairs.append((embeddings, expected.image_embeddings))
            return largest(pairs)
        low_res_logits, iou = exported.decode(
            embeddings, expected.point_coords, expected.point_labels, generator_logits
        )
        logits = resize_to_input(exported, low_res_logits, generator_logits, images.shape[-1])
        pairs = [(logits, expected.logits), (iou, expected.iou), (generator_logits, expected.generator_logits)]
    return largest(pairs)


def largest(pairs: list[tuple[Tensor | None, Tensor | None]]) -> float:
    """Return the largest difference within pairs, of those that are there."""
    differences = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
    return float(torch.stack([difference.abs().max() for difference in differences]).max())
