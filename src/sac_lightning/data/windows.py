"""The windows of an image, cut out and resized to the model's input, and the points in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View, Window
from sac_lightning.model.point_selection import PADDING

BATCH_SIZE = 8
"""Windows per forward pass."""


@dataclass
class WindowPoints:
    """Expert points of one image, a set per window.

    Attributes:
        coords: (T, E, 2) xy in pixels of the window.
        labels: (T, E), 1 nucleus, 0 background, -1 padding.
    """

    coords: Tensor
    labels: Tensor


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one size that go through a model together.

    Attributes:
        numbers: The number of each among all windows of the image.
        windows: The windows, B of them.
        size: Height and width of the model's input.
        expert_points: (B, E) points in pixels of the model's input, or None.
    """

    numbers: Sequence[int]
    windows: Sequence[Window]
    size: tuple[int, int]
    expert_points: WindowPoints | None = None

    def cut(self, image: Tensor, top: int = 0) -> Tensor:
        """Cut the windows out and resize them to the model's input.

        Args:
            image: (C, H, W) in 0..255 of any type, the whole image, or the rows of it that the windows need.
            top: Which row of the whole image is the first one of ``image``.

        Returns:
            (B, C, *size) float32.
        """
        pixels = torch.stack([cut_window(image, window.move(down=-top)) for window in self.windows]).float()
        if pixels.shape[-2:] == self.size:
            return pixels
        return F.interpolate(pixels, self.size, mode="bilinear", antialias=True, align_corners=False)

    def seeds(self, seed: int) -> Tensor:
        """Return a seed per window, (B,): window t of the image gets ``seed`` + t."""
        return torch.tensor(self.numbers) + seed


def batch_windows(
    windows: Sequence[Window],
    view: View,
    expert_points: WindowPoints | None = None,
    batch_size: int = BATCH_SIZE,
    numbers: Sequence[int] | None = None,
) -> Iterator[WindowBatch]:
    """Yield the windows of an image batch by batch, in their order.

    Args:
        windows: All of one size.
        view: Size of the model's input.
        expert_points: A set of points per window, in pixels of the window. Default: none.
        batch_size: Windows per batch.
        numbers: Of the windows that are wanted. Default: all.
    """
    wanted = range(len(windows)) if numbers is None else numbers
    for first in range(0, len(wanted), batch_size):
        chosen = list(wanted[first : first + batch_size])
        batch = [windows[number] for number in chosen]
        points = None
        if expert_points is not None:
            labels, coords = expert_points.labels[chosen], expert_points.coords[chosen]
            points = WindowPoints(to_input_pixels(coords, labels, batch[0], view), labels)
        yield WindowBatch(chosen, batch, input_size(batch[0], view), points)


def cut_window(image: Tensor, window: Window) -> Tensor:
    """Cut a window out of an image (C, H, W), mirrored where it reaches beyond the image."""
    rows = _mirror_indices(window.top, window.height, image.shape[-2])
    columns = _mirror_indices(window.left, window.width, image.shape[-1])
    return image[:, rows[:, None], columns]


def _mirror_indices(start: int, length: int, size: int) -> Tensor:
    """Fold indices ``start .. start + length`` back into ``0 .. size - 1``, edge pixels not repeated."""
    period = max(2 * (size - 1), 1)
    index = np.abs(np.arange(start, start + length)) % period
    return torch.from_numpy(np.minimum(index, period - index) % size)


def input_size(window: Window, view: View) -> tuple[int, int]:
    """Return the height and width at which the model sees a window."""
    return (window.height, window.width) if view.image_size is None else (view.image_size, view.image_size)


def to_input_pixels(coords: Tensor, labels: Tensor, window: Window, view: View) -> Tensor:
    """Convert points from pixels of a window to pixels of the model's input; padding stays at (0, 0).

    Args:
        coords: (..., 2) xy in pixels of the window.
        labels: (...), 1 nucleus, 0 background, -1 padding.
        window: Any window of the image: all have one size.
        view: Size of the model's input.
    """
    scale = _input_scale(window, view, coords.device)
    return ((coords + 0.5) * scale - 0.5).masked_fill((labels == PADDING).unsqueeze(-1), 0)


def to_image_pixels(coords: Tensor, labels: Tensor, window: Window, view: View) -> tuple[Tensor, Tensor]:
    """Convert points from pixels of the model's input to pixels of the image; padding is left out.

    Args:
        coords: (N, 2) xy in pixels of the model's input.
        labels: (N,), 1 nucleus, 0 background, -1 padding.
        window: That the input was made of.
        view: Size of the model's input.

    Returns:
        Coordinates (n, 2) xy in image pixels, and labels (n,).
    """
    real = labels != PADDING
    corner = torch.tensor([window.left, window.top], device=coords.device)
    return (coords[real] + 0.5) / _input_scale(window, view, coords.device) - 0.5 + corner, labels[real]


def _input_scale(window: Window, view: View, device: torch.device) -> Tensor:
    """Return the factors (2,) xy from pixels of a window to pixels of the model's input."""
    height, width = input_size(window, view)
    return torch.tensor([width / window.width, height / window.height], device=device)


def gather_points(points: WindowPoints, windows: Sequence[Window]) -> NDArray[np.float32]:
    """Gather the points of windows, (N, 3): xy in image pixels and label; one in several windows comes once."""
    corners = np.array([(window.left, window.top) for window in windows], dtype=np.float32)
    coords = points.coords.cpu().numpy() + corners[:, None]
    labels = points.labels.cpu().numpy()
    gathered = np.concatenate([coords, labels[..., None].astype(np.float32)], axis=2)[labels != PADDING]
    return np.unique(gathered, axis=0) if len(gathered) else gathered


def nearest_windows(points: NDArray[np.float32], windows: Sequence[Window]) -> NDArray[np.int64]:
    """Find the window whose middle is nearest to each point.

    Args:
        points: (N, 2) xy in image pixels.
        windows: Of the image.

    Returns:
        (N,) the number of the window; of equally near ones the first.
    """
    middles = [((2 * w.left + w.width - 1) / 2, (2 * w.top + w.height - 1) / 2) for w in windows]
    nearest: NDArray[np.int64] = cdist(points, middles).argmin(axis=1)
    return nearest


def place_points(
    points: ArrayLike | None,
    labels: ArrayLike | None,
    size: tuple[int, int],
    windows: Sequence[Window],
    device: torch.device,
) -> WindowPoints | None:
    """Place given points in every window that holds them; return None if none are given.

    Args:
        points: (N, 2) xy in image pixels.
        labels: (N,), 1 nucleus, 0 background. Default: all 1.
        size: Width and height of the image.
        windows: Of the image.
        device: Where the model is.

    Raises:
        UserError: The points are of another form, or one lies outside the image.
    """
    if points is None:
        if labels is not None:
            raise UserError("labels were given without points: give both, or neither")
        return None
    coords, signs = _check_points(points, labels, size)
    window_coords = np.zeros((len(windows), len(coords), 2), dtype=np.float32)
    window_labels = np.full((len(windows), len(coords)), PADDING, dtype=np.int64)
    for t, window in enumerate(windows):
        local = coords - (window.left, window.top)
        inside = ((local >= -0.5) & (local < np.array([window.width, window.height]) - 0.5)).all(axis=1)
        window_coords[t, inside] = local[inside]
        window_labels[t, inside] = signs[inside]
    return WindowPoints(torch.from_numpy(window_coords).to(device), torch.from_numpy(window_labels).to(device))


def _check_points(
    points: ArrayLike, labels: ArrayLike | None, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    """Return given points as arrays (N, 2) and (N,). See place_points."""
    coords = np.asarray(points, dtype=np.float32)
    if coords.size == 0:
        coords = coords.reshape(0, 2)
    if coords.ndim != 2 or coords.shape[1] != 2:
        raise UserError(f"the points have the shape {coords.shape}: give (N, 2), an x and a y for each")
    signs = np.ones(len(coords)) if labels is None else np.asarray(labels)
    if signs.shape != (len(coords),) or not np.isin(signs, (0, 1)).all():
        raise UserError(f"{len(coords)} points need as many labels, each 1 (nucleus) or 0 (background)")
    inside = ((coords >= -0.5) & (coords < np.array(size) - 0.5)).all(axis=1)
    if not inside.all():
        x, y = coords[~inside][0]
        raise UserError(
            f"the point ({x:g}, {y:g}) lies outside the image of {size[0]}x{size[1]} pixels: move it inside"
        )
    return coords, signs


def check_boxes(boxes: ArrayLike | None, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return given boxes as an array (M, 4), of what is not there none.

    Args:
        boxes: (M, 4) left, top, right, bottom in image pixels.
        size: Width and height of the image.

    Raises:
        UserError: The boxes are of another form or empty, or the middle of one lies outside the image.
    """
    array = np.asarray([] if boxes is None else boxes, dtype=np.float32)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(f"the boxes have the shape {array.shape}: give (M, 4), left, top, right, bottom for each")
    middles = (array[:, :2] + array[:, 2:]) / 2
    inside = ((middles >= -0.5) & (middles < np.array(size) - 0.5)).all(axis=1)
    good = inside & (array[:, :2] < array[:, 2:]).all(axis=1)
    if not good.all():
        found = ", ".join(f"{value:g}" for value in array[~good][0])
        raise UserError(
            f"the box ({found}) is empty or lies outside the image of {size[0]}x{size[1]} pixels: give left, top, "
            "right, bottom, with its middle in the image"
        )
    return array
