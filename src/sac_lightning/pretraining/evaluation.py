"""Evaluation of a SAM by clicks: on held-out scenes, and on nuclei, which it has never seen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.measure import regionprops
from torch import Tensor
from tqdm import tqdm

from sac_lightning.core.view import View, Window
from sac_lightning.data.sample import WholeImage
from sac_lightning.data.windows import batch_windows, cut_window
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.pretraining.example import Example
from sac_lightning.pretraining.interaction import CLICKS, decode, interact
from sac_lightning.pretraining.losses import mask_iou

AT_ONCE = 64
"""Objects that go through the decoder at once; this affects memory, but not the answers."""


@dataclass
class ClickedImage:
    """An image with a click at the middle of each of its N objects.

    Attributes:
        name: Name of the image.
        image: (H, W, 3) uint8.
        truth: (H, W) bool, the objects clicked on.
        answer: (H, W) bool, the union of the best masks after the first click.
        clicks: (N, 2) xy in pixels.
        best: (N, CLICKS) IoU of the best of three masks after each click.
        single: (N, CLICKS) IoU of the single mask after each click.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    answer: NDArray[np.bool_]
    clicks: NDArray[np.float32]
    best: Tensor
    single: Tensor


def embed(sam: SAC, images: Tensor) -> Tensor:
    """Return the image embeddings (B, 256, h, w) of images (B, 3, S, S) in 0..255."""
    with torch.inference_mode():
        return sam.image_encoder(sam.normalise(images))  # type: ignore[no-any-return]


def click_on_scenes(sam: SAC, batches: Iterable[Example]) -> Iterator[tuple[ClickedImage, float]]:
    """Click on each queried object of each scene; yield the clicked scene and the IoU of its union of kinds."""
    for batch in batches:
        embeddings = embed(sam, batch["image"].float())
        with torch.inference_mode():
            logits, _ = decode(sam, embeddings, batch["union_coords"], batch["union_labels"])
        side = batch["image"].shape[-1]
        unions = F.interpolate(logits[:, :1], (side, side), mode="bilinear", align_corners=False)[:, 0] > 0
        union_iou = mask_iou(unions, batch["union"])
        for i, embedding in enumerate(embeddings):
            truths = batch["objects"][i] == torch.unique(batch["asked"][i])[:, None, None]
            answers = interact(sam, embedding.expand(len(truths), -1, -1, -1), truths, CLICKS)
            scene = ClickedImage(
                "",
                batch["image"][i].permute(1, 2, 0).numpy(),
                truths.any(0).numpy(),
                answers.masks.any(0).numpy(),
                answers.coords[:, 0].numpy(),
                answers.best,
                answers.single,
            )
            yield scene, float(union_iou[i])


def click_on_nuclei(sam: SAC, image: WholeImage, view: View) -> ClickedImage:
    """Click at the middle of each nucleus; the model sees it in the window that contains it most centrally.

    IoU is computed within the window, in the pixels of the model's input.

    Args:
        sam: The model, built for view.image_size.
        image: An image with its label map.
        view: A view with windows.
    """
    assert view.image_size is not None
    size = (view.image_size, view.image_size)
    by_window = _group_by_window(image.instances.numpy(), view)
    height, width = image.instances.shape
    answer, clicks, best, single = np.zeros((height, width), bool), [], [], []
    for batch in batch_windows(list(by_window), view, batch_size=1):
        (window,) = batch.windows
        labels = F.interpolate(
            cut_window(image.instances[None], window)[None].float(), size, mode="nearest-exact"
        )[0, 0]
        embedding = embed(sam, batch.cut(image.image))
        for chunk in torch.split(torch.tensor(by_window[window]), AT_ONCE):
            truths = labels == chunk[:, None, None]
            answers = interact(sam, embedding.expand(len(chunk), -1, -1, -1), truths, CLICKS)
            best.append(answers.best)
            single.append(answers.single)
            scale = np.array([window.width, window.height]) / size
            clicks.append((answers.coords[:, 0].numpy() + 0.5) * scale - 0.5 + [window.left, window.top])
            _add_mask(answer, answers.masks.any(0), window)
    return ClickedImage(
        image.name,
        image.image.permute(1, 2, 0).byte().numpy(),
        image.instances.numpy() > 0,
        answer,
        np.concatenate(clicks).astype(np.float32),
        torch.cat(best),
        torch.cat(single),
    )


def _group_by_window(instances: NDArray[np.int64], view: View) -> dict[Window, list[int]]:
    """Group the nuclei by the window in which they lie farthest from the border."""
    windows = view.windows(*instances.shape)
    shared: dict[Window, list[int]] = {}
    for region in regionprops(instances):
        y, x = region.centroid
        inside = [min(x - w.left, y - w.top, w.left + w.width - x, w.top + w.height - y) for w in windows]
        shared.setdefault(windows[int(np.argmax(inside))], []).append(region.label)
    return shared


def _add_mask(answer: NDArray[np.bool_], mask: Tensor, window: Window) -> None:
    """Add a mask (S, S) of a window to the mask of the image, in place."""
    resized = F.interpolate(mask[None, None].float(), (window.height, window.width), mode="nearest-exact")[0, 0]
    in_image, in_window = window.clip(*answer.shape)
    answer[in_image] |= resized[in_window].numpy() > 0


def compute_scene_metrics(
    clicked: Iterable[tuple[ClickedImage, float]], number: int
) -> tuple[dict[str, float], list[ClickedImage]]:
    """Return the mean IoU over all objects of all scenes, and the scenes."""
    scenes, unions = [], []
    for scene, union in tqdm(clicked, desc="held-out scenes", total=number, leave=False, disable=None):
        scenes.append(scene)
        unions.append(union)
    return compute_click_metrics(scenes) | {"union": float(np.mean(unions))}, scenes


def compute_click_metrics(clicked: Iterable[ClickedImage]) -> dict[str, float]:
    """Return the mean IoU over all objects after one and after three clicks, of the best and the single mask."""
    images = list(clicked)
    best, single = torch.cat([image.best for image in images]), torch.cat([image.single for image in images])
    return {
        "objects": len(best),
        "one_click": float(best[:, 0].mean()),
        "three_clicks": float(best[:, -1].mean()),
        "one_click_single_mask": float(single[:, 0].mean()),
        "three_clicks_single_mask": float(single[:, -1].mean()),
    }
