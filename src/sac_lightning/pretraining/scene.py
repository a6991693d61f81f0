"""Dead-leaves scenes: random shapes that occlude each other, of several kinds that differ in texture.

They follow the dead-leaves model (Matheron 1968; Lee, Mumford and Huang 2001), which has the occlusions and the
scales of photographs and teaches features that work on real images (Baradad et al. 2021). Half of the scenes are
covered with shapes of all sizes; the other half hold scattered shapes of about one size on a background. Shapes of
one kind share a texture and its two colours.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from sac_lightning.pretraining.shapes import Outline, draw_outline
from sac_lightning.pretraining.textures import TILE, draw_smooth_noise, make_texture_bank

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Scene:
    """An image and its objects.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        objects: (S, S) int32; 0 is the background, and each visible, connected piece of a shape has its own
            number.
        kinds: (S, S) uint8, the kind of the object; 0 is the background.
    """

    image: NDArray[np.uint8]
    objects: NDArray[np.int32]
    kinds: NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """Where the shapes of a scene lie; row 0 of ``centres``, ``radii`` and ``kind_of`` is the background.

    Attributes:
        shapes: (S, S) int32, the uppermost shape at each pixel; 0 is the background.
        kind_of: (N + 1,), the kind of each shape.
        centres: (N + 1, 2) xy in pixels.
        radii: (N + 1,) in pixels.
    """

    shapes: NDArray[np.int32]
    kind_of: NDArray[np.int64]
    centres: NDArray[np.float32]
    radii: NDArray[np.float32]


def draw_scene(rng: np.random.Generator, side: int) -> Scene:
    """Draw a scene of ``side`` x ``side`` pixels; the same state of ``rng`` gives the same scene."""
    covered = rng.random() < 0.5
    radii = _draw_radii_of_all_sizes(rng, side) if covered else _draw_radii_of_one_size(rng, side)
    kinds = int(rng.integers(2, 6) if covered else rng.integers(1, 4))
    layout = _place_shapes(rng, side, radii, kinds, crowded=covered)
    image = _simulate_camera(rng, _paint_shapes(rng, layout, kinds))
    objects = label(layout.shapes, background=0, connectivity=1).astype(np.int32)
    return Scene(image, objects, layout.kind_of[layout.shapes].astype(np.uint8))


def _draw_radii_of_all_sizes(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw radii r with density proportional to r**-2.5, enough of them to cover the scene about twice."""
    smallest, largest, power = 0.02 * side, 0.4 * side, -1.5
    uniform = rng.random(rng.integers(100, 300))
    radii: NDArray[np.float64] = (smallest**power + uniform * (largest**power - smallest**power)) ** (1 / power)
    return radii.astype(np.float32)


def _draw_radii_of_one_size(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw radii around a common one of 2 to 18 percent of the side, to cover a twentieth to two thirds."""
    common = side * np.exp(rng.uniform(np.log(0.02), np.log(0.18)))
    number = int(np.clip(rng.uniform(0.05, 0.66) * side**2 / (np.pi * common**2), 2, 250))
    radii: NDArray[np.float64] = common * np.exp(rng.normal(0, rng.uniform(0.05, 0.4), number))
    return radii.astype(np.float32)


def _place_shapes(
    rng: np.random.Generator, side: int, radii: NDArray[np.float32], kinds: int, crowded: bool
) -> Layout:
    """Place shapes on top of each other; unless crowded, most are left out if their centre is covered."""
    number = len(radii)
    shapes = np.zeros((side, side), np.int32)
    centres = rng.uniform(0, side, (number + 1, 2)).astype(np.float32)
    kind_of = np.concatenate([[0], rng.integers(1, kinds + 1, number)])
    outlines: list[Outline] = [Outline.draw(rng) for _ in range(kinds + 1)]
    free = rng.random(number) < (1 if crowded else 0.15)
    for i, radius in enumerate(radii, start=1):
        x, y = centres[i].astype(int)
        if not free[i - 1] and shapes[y, x]:
            continue
        polygon = centres[i] + radius * draw_outline(rng, outlines[kind_of[i]])
        fixed = np.round(polygon * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(shapes, [fixed], i, shift=_SUBPIXEL_BITS)
    return Layout(shapes, kind_of, centres, np.concatenate([[side / 2], radii]).astype(np.float32))


def _paint_shapes(rng: np.random.Generator, layout: Layout, kinds: int) -> NDArray[np.float32]:
    """Paint textures, colours and shading: (S, S, 3), about 0..255.

    Every shape uses its own place in its kind's texture, and has its own light, so that two touching shapes of one
    kind can be told apart.
    """
    side, number = layout.shapes.shape[0], len(layout.radii)
    bank = make_texture_bank()
    textures = bank[rng.integers(len(bank), size=kinds + 1)]
    shapes = layout.shapes
    y, x = np.mgrid[:side, :side]
    shift = rng.integers(0, TILE, (2, number))
    tone = textures[
        layout.kind_of[shapes], _mirror_indices(y + shift[0][shapes]), _mirror_indices(x + shift[1][shapes])
    ]
    light, shade = _draw_colours(rng, kinds)
    own = rng.normal(0, rng.uniform(2, 20), (number, 1)) + rng.normal(0, rng.uniform(0, 6), (number, 3))
    low = (light[layout.kind_of] + own).astype(np.float32)
    high = (shade[layout.kind_of] + own).astype(np.float32)
    share = (tone.astype(np.float32) / 255)[..., None]
    image = low[shapes] * (1 - share) + high[shapes] * share + _draw_relief(rng, layout)[..., None]
    return image.astype(np.float32)


def _mirror_indices(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map indices to a tile that continues as its mirror image, without a seam."""
    index = index % (2 * TILE)
    return np.minimum(index, 2 * TILE - 1 - index)


def _draw_colours(rng: np.random.Generator, kinds: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the two colours of each kind's texture, (kinds + 1, 3) each, so that the kinds differ."""
    middles: list[NDArray[np.float64]] = []
    for _ in range(kinds + 1):
        candidates = rng.uniform(20, 235, (4, 3))
        if middles:  # Take the candidate that is farthest from the other kinds.
            distance = np.abs(candidates[:, None] - np.array(middles)[None]).mean(2).min(1)
            middles.append(candidates[distance.argmax()])
        else:
            middles.append(candidates[0])
    contrast = rng.normal(0, rng.uniform(5, 40), (kinds + 1, 3))
    return np.array(middles) - contrast, np.array(middles) + contrast


def _draw_relief(rng: np.random.Generator, layout: Layout) -> NDArray[np.float32]:
    """Draw the shading of the shapes, (S, S): a slope for each, and in some scenes a dome, a rim, or both."""
    side = layout.shapes.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    shapes = layout.shapes
    dx = (x - layout.centres[:, 0][shapes]) / layout.radii[shapes]
    dy = (y - layout.centres[:, 1][shapes]) / layout.radii[shapes]
    slope = rng.normal(0, rng.uniform(0, 15), (2, len(layout.radii))).astype(np.float32)
    slope[:, 0] = 0  # _simulate_camera lights the background.
    relief = slope[0][shapes] * dx + slope[1][shapes] * dy
    if rng.random() < 0.3:
        dome = np.float32(rng.normal(0, 25)) * (1 - np.minimum(dx**2 + dy**2, 1.5))
        relief += np.where(shapes > 0, dome, 0)
    if rng.random() < 0.3:
        edge = cv2.morphologyEx(shapes.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        relief += np.float32(rng.normal(0, 40)) * cv2.GaussianBlur(
            edge.astype(np.float32), (0, 0), rng.uniform(0.6, 2)
        )
    return relief  # type: ignore[no-any-return]


def _simulate_camera(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Add light, colour cast, blur, contrast and noise of a camera: (S, S, 3) uint8."""
    side = image.shape[0]
    if rng.random() < 0.35:
        image = image.mean(2, keepdims=True) * rng.uniform(0.7, 1.2, 3).astype(np.float32)
    lit = image * (1 + np.float32(rng.uniform(0, 0.2)) * draw_smooth_noise(rng, side, 3))[..., None]
    blurred = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, 1.6))
    gain, middle = np.exp(rng.normal(0, 0.35)), rng.uniform(90, 165)
    noise = rng.uniform(0, 14) * rng.standard_normal(image.shape, dtype=np.float32)
    developed: NDArray[np.float64] = (blurred - 128) * gain + middle + noise
    return developed.clip(0, 255).astype(np.uint8)
