"""Synthetic microscopy scenes with their instance maps, for the built-in default data set."""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.data.scene_shapes import FloatMap, SceneNuclei, place_nuclei

Stain = Literal["fluorescence", "histology"]

SMALLEST_SIDE = 32
"""Pixels. A smaller scene holds no whole nucleus."""

# Optical density of unit stain in R, G, B: directions like those that Macenko et al. (ISBI 2009) estimate.
_HAEMATOXYLIN = np.array([0.57, 0.73, 0.38])
_EOSIN = np.array([0.20, 0.85, 0.49])
# Of immunohistochemistry: haematoxylin alone, which is bluer, and the brown of an antibody's label (DAB).
_COUNTERSTAIN = np.array([0.65, 0.58, 0.29])
_DAB = np.array([0.38, 0.80, 1.10])


@dataclass(frozen=True)
class Staining:
    """How a laboratory stains.

    Attributes:
        clearing: The part of the eosin that a nucleus displaces.
        cytoplasm: By how much more or less haematoxylin than usual cytoplasm takes.
        spread: Standard deviation by which the colours of the stains differ from the usual ones.
        sharpening: By how much the microscope's software sharpens, as a factor on what a blur takes away.
        is_immuno: Whether cells are labelled by an antibody, brown and in parts, instead of stained by eosin.
    """

    clearing: float = 0.4
    cytoplasm: float = 1.0
    spread: float = 0.06
    sharpening: float = 0.0
    is_immuno: bool = False


USUAL = Staining()
IMMUNO = 0.2
"""Share of the drawings that are of immunohistochemistry. Our choice: most tissue is in haematoxylin and eosin."""


def draw_staining(rng: np.random.Generator) -> Staining:
    """Draw how a laboratory stains, of more kinds than scenes show."""
    return Staining(
        clearing=rng.uniform(0.0, 1.0),
        cytoplasm=rng.uniform(0.2, 2.0),
        spread=0.12,
        sharpening=max(0.0, rng.uniform(-1.0, 1.5)),
        is_immuno=rng.random() < IMMUNO,
    )


def render_scene(
    rng: np.random.Generator, height: int, width: int, stain: Stain
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Render a scene of nuclei under a fluorescence or a bright-field microscope (our choice of recipe).

    The magnification is fixed (nuclei have a radius of about 6 to 22 pixels), so a larger scene holds more nuclei.
    In a scene whose shorter side is under 132 pixels, nuclei shrink to a sixth of that side.

    Args:
        rng: The only source of randomness: the same state gives the same bytes.
        height: Pixels, at least 32.
        width: Pixels, at least 32.
        stain: `fluorescence` (DAPI-like, grey on black) or `histology` (haematoxylin and eosin).

    Returns:
        The image, (H, W, 3) uint8 RGB, and the instances, (H, W) int32: 0 for background, 1 to N for the visible
        pixels of N >= 1 nuclei, each one 8-connected region of at least 20 pixels.

    Raises:
        UserError: The stain is unknown, or a side is under 32 pixels.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise UserError(
            f"a scene of {height} x {width} pixels is too small: set height and width to at least {SMALLEST_SIDE}"
        )
    if stain == "fluorescence":
        return render_fluorescence(rng, height, width)
    if stain == "histology":
        return render_histology(rng, height, width)
    raise UserError(f"the stain {stain!r} is unknown: use {' or '.join(get_args(Stain))}")


def render_fluorescence(
    rng: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Render a DAPI-like scene: bright nuclei of varying intensity on black, blurred, unevenly lit and noisy."""
    shape = (height, width)
    clustering = rng.uniform(0.0, 1.8)
    nuclei = place_nuclei(
        rng,
        density=np.exp(clustering * smooth_noise(rng, shape, 40.0)),
        coverage=float(np.exp(rng.uniform(np.log(0.03), np.log(0.32)))),
        radius=_draw_radius(rng, shape),
        aspect=np.full(shape, rng.uniform(1.15, 1.6), np.float32),
        direction=rng.uniform(0.0, np.pi, shape).astype(np.float32),
    )
    light = _glow(rng, nuclei)
    light *= _illumination(rng, shape)
    light += _dust(rng, shape)
    return _expose(rng, light), nuclei.instances


def _glow(rng: np.random.Generator, nuclei: SceneNuclei) -> FloatMap:
    """Return the light of the nuclei, about 1 for a typical one: some in focus, some not, with haze around."""
    count, radius = len(nuclei.radii), float(np.median(nuclei.radii))
    brightness = np.exp(rng.normal(0.0, rng.uniform(0.2, 0.6), count))
    brightness = np.maximum(brightness, 0.3)
    brightness[rng.random(count) < 0.06] *= 2.0  # condensed chromatin: dividing or dying cells
    light = nuclei.map_to_pixels(brightness) * _dome(nuclei) * _chromatin(rng, nuclei)
    defocus = nuclei.map_to_pixels(rng.beta(0.6, 1.8, count))
    blurred = blur(light * defocus, radius * rng.uniform(0.15, 0.35))
    light = blur(light * (1.0 - defocus), rng.uniform(0.6, 1.3)) + blurred
    haze = rng.uniform(0.05, 0.25) * blur(light, 1.5 * radius)
    return np.asarray(light + haze, np.float32)


def _dome(nuclei: SceneNuclei) -> FloatMap:
    """Return the thickness of the nuclei, from 0.5 at the edge to 1 inside: a nucleus is a flattened ball."""
    depth = edge_distance(nuclei.instances) / np.maximum(nuclei.map_to_pixels(nuclei.radii), 1.0)
    return np.asarray(0.5 + 0.5 * np.sqrt(np.minimum(depth / 0.6, 1.0)), np.float32)


def _chromatin(rng: np.random.Generator, nuclei: SceneNuclei) -> FloatMap:
    """Return a texture around 1: fine clumps, and nucleoli, which DAPI leaves dark."""
    shape, radius = nuclei.instances.shape, float(np.median(nuclei.radii))
    clumps = grain(rng, shape, max(0.8, radius / 9.0))
    nucleoli = np.clip(grain(rng, shape, radius / 5.0) - 1.0, 0.0, 1.0)
    texture = 1.0 + rng.uniform(0.05, 0.22) * clumps - rng.uniform(0.1, 0.5) * nucleoli
    return np.asarray(np.clip(texture, 0.2, None), np.float32)


def _illumination(rng: np.random.Generator, shape: tuple[int, int]) -> FloatMap:
    """Return the field of light: 1 at a random point, not always the centre, and falling off from there."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y, x = rng.uniform(0.2, 0.8, 2)
    squared = (rows / shape[0] - y) ** 2 + (columns / shape[1] - x) ** 2
    return np.asarray(1.0 - rng.uniform(0.0, 0.7) * squared, np.float32)


def _dust(rng: np.random.Generator, shape: tuple[int, int]) -> FloatMap:
    """Return the light of some bright specks of debris, perhaps none."""
    light = np.zeros(shape, np.float32)
    count = rng.poisson(0.8 * shape[0] * shape[1] / 256**2)
    rows, columns = rng.integers(shape[0], size=count), rng.integers(shape[1], size=count)
    light[rows, columns] = rng.uniform(4.0, 14.0, count)
    return blur(light, rng.uniform(0.8, 1.4))


def _expose(rng: np.random.Generator, light: FloatMap) -> NDArray[np.uint8]:
    """Return the camera's image of the light: exposure, Poisson and read noise, three equal channels."""
    level = np.exp(rng.uniform(np.log(22.0), np.log(150.0)))  # grey level of a typical nucleus
    background = rng.uniform(2.0, 14.0) + rng.uniform(0.0, 0.1) * level
    photons = np.exp(rng.uniform(np.log(1.5), np.log(12.0)))  # per grey level
    counts = rng.poisson(photons * (level * light + background))
    signal = counts / photons + rng.normal(0.0, rng.uniform(0.4, 1.5), light.shape)
    grey = np.clip(np.round(signal), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def render_histology(
    rng: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Render an H&E-like scene: purple nuclei in pink tissue, fibrous stroma beside epithelium, white gaps."""
    shape = (height, width)
    tissue = _tissue(rng, shape)
    stroma = ramp(smooth_noise(rng, shape, 70.0) - rng.uniform(-1.0, 1.3), 0.3)
    fibres, direction = _fibres(rng, shape)
    nuclei = place_nuclei(
        rng,
        density=_cellularity(rng, tissue, stroma),
        coverage=rng.uniform(0.08, 0.38),
        radius=_draw_radius(rng, shape),
        aspect=1.3 + 1.7 * stroma,
        direction=direction,
    )
    return _paint(rng, nuclei, tissue, stroma, fibres), nuclei.instances


def draw_tissue_around(rng: np.random.Generator, nuclei: SceneNuclei, chromatin: FloatMap) -> NDArray[np.uint8]:
    """Draw an H&E-like scene around nuclei that are there already, such as those of a real image.

    Args:
        rng: The only source of randomness.
        nuclei: The nuclei.
        chromatin: (H, W) float32, about 1 on average in each nucleus: by how much more or less of the stain each
            of its pixels takes.

    Returns:
        The image, (H, W, 3) uint8 RGB.
    """
    shape = chromatin.shape
    staining = draw_staining(rng)
    tissue = np.maximum(_tissue(rng, shape), blur((nuclei.instances > 0).astype(np.float32), 3.0))
    stroma = ramp(smooth_noise(rng, shape, 70.0) - rng.uniform(-1.0, 1.3), 0.3)
    fibres, _ = _fibres(rng, shape)
    return _paint(rng, nuclei, tissue, stroma, fibres, chromatin, staining)


def draw_tissue_beneath(rng: np.random.Generator, haematoxylin: FloatMap) -> NDArray[np.uint8]:
    """Draw an H&E-like scene beneath a stain that is there already, such as that of a real image.

    Args:
        rng: The only source of randomness.
        haematoxylin: (H, W) float32, at least 0: the amount of the stain, about 1 in a typical nucleus.

    Returns:
        The image, (H, W, 3) uint8 RGB.
    """
    shape = haematoxylin.shape
    staining = draw_staining(rng)
    inside = np.asarray(np.minimum(haematoxylin, 1.0), np.float32)
    tissue = np.maximum(_tissue(rng, shape), blur(inside, 3.0))
    stroma = ramp(smooth_noise(rng, shape, 70.0) - rng.uniform(-1.0, 1.3), 0.3)
    fibres, _ = _fibres(rng, shape)
    eosin = _counterpart(rng, tissue, stroma, fibres, staining) * (1.0 - staining.clearing * inside)
    tint = staining.cytoplasm * _cytoplasm_tint(rng, tissue, stroma) * (1.0 - inside)
    return _transmit(rng, tint + rng.uniform(0.6, 2.0) * haematoxylin, eosin, staining)


def _paint(
    rng: np.random.Generator,
    nuclei: SceneNuclei,
    tissue: FloatMap,
    stroma: FloatMap,
    fibres: FloatMap,
    chromatin: FloatMap | float = 1.0,
    staining: Staining = USUAL,
) -> NDArray[np.uint8]:
    """Return the image of nuclei in tissue: both stains, and light through them."""
    inside = blur((nuclei.instances > 0).astype(np.float32), 0.7)
    tissue = tissue * (1.0 - rng.uniform(0.0, 0.6) * (1.0 - inside) * blur(inside, 2.0))  # a nucleus's cleft
    eosin = _counterpart(rng, tissue, stroma, fibres, staining) * (1.0 - staining.clearing * inside)
    tint = staining.cytoplasm * _cytoplasm_tint(rng, tissue, stroma) * (1.0 - inside)
    haematoxylin = tint + inside * blur(_nuclear_stain(rng, nuclei) * chromatin, 0.6)
    return _transmit(rng, haematoxylin, eosin, staining)


def _tissue(rng: np.random.Generator, shape: tuple[int, int]) -> FloatMap:
    """Return a map of tissue: 1, and 0 in tears, lumens and vacuoles, with soft ragged edges."""
    ragged = 0.4 * smooth_noise(rng, shape, 14.0) + 0.12 * grain(rng, shape, 1.5)
    gaps = ramp(smooth_noise(rng, shape, 50.0) + ragged - rng.uniform(0.9, 3.0), rng.uniform(0.15, 0.5))
    vacuoles = ramp(smooth_noise(rng, shape, 9.0) + ragged - rng.uniform(2.0, 4.0), 0.4)
    return np.asarray((1.0 - gaps) * (1.0 - 0.8 * vacuoles), np.float32)


def _cellularity(rng: np.random.Generator, tissue: FloatMap, stroma: FloatMap) -> FloatMap:
    """Return how likely a nucleus lies at each pixel: crowded patches, lined lumens, sparse stroma, empty gaps."""
    crowding = np.exp(rng.uniform(0.3, 1.2) * smooth_noise(rng, tissue.shape, 40.0))
    lining = 1.0 + rng.uniform(0.0, 8.0) * blur(1.0 - tissue, 10.0)
    return np.asarray((tissue > 0.7) * crowding * lining * (1.0 - 0.7 * stroma), np.float32)


def _fibres(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[FloatMap, FloatMap]:
    """Return wavy fibres of zero mean and about unit spread, and their direction in radians, both (H, W)."""
    height, width = shape
    angle = rng.uniform(0.0, np.pi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    wave = rng.uniform(4.0, 14.0) * smooth_noise(rng, shape, 70.0) + 1.0 * smooth_noise(rng, shape, 12.0)
    across = columns * np.float32(-np.sin(angle)) + rows * np.float32(np.cos(angle)) + wave
    along = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    strands = grain(rng, (256, 256), 0.8)
    fibres = cv2.remap(strands, along / 14.0, across / 1.2, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    down, right = np.gradient(across)
    return np.asarray(fibres, np.float32), np.arctan2(-right, down).astype(np.float32)


def _counterpart(
    rng: np.random.Generator, tissue: FloatMap, stroma: FloatMap, fibres: FloatMap, staining: Staining
) -> FloatMap:
    """Return the amount of what is not haematoxylin: eosin everywhere, or an antibody's label in parts."""
    eosin = _eosin(rng, tissue, stroma, fibres)
    if not staining.is_immuno:
        return eosin
    labelled = ramp(smooth_noise(rng, tissue.shape, 60.0) - rng.uniform(-1.0, 1.0), 0.15)
    return np.asarray(eosin * (0.15 + rng.uniform(0.8, 2.0) * labelled), np.float32)


def _eosin(rng: np.random.Generator, tissue: FloatMap, stroma: FloatMap, fibres: FloatMap) -> FloatMap:
    """Return the amount of eosin: granular cytoplasm, denser fibrous stroma, next to nothing in the gaps."""
    shape = tissue.shape
    cytoplasm = rng.uniform(0.1, 0.35) * grain(rng, shape, 1.1) + 0.2 * smooth_noise(rng, shape, 14.0)
    texture = stroma * rng.uniform(0.1, 0.3) * fibres + (1.0 - 0.6 * stroma) * cytoplasm
    level = rng.uniform(0.3, 0.75) * (1.0 + rng.uniform(0.0, 0.6) * stroma)
    return np.asarray(level * tissue * np.clip(1.0 + texture, 0.1, None), np.float32)


def _cytoplasm_tint(rng: np.random.Generator, tissue: FloatMap, stroma: FloatMap) -> FloatMap:
    """Return the amount of haematoxylin outside the nuclei: patchy, granular, and more in the epithelium."""
    patches = np.clip(1.0 + 0.5 * smooth_noise(rng, tissue.shape, 22.0), 0.0, None)
    granules = np.clip(1.0 + rng.uniform(0.15, 0.5) * grain(rng, tissue.shape, 1.3), 0.0, None)
    level = rng.uniform(0.1, 0.5) * (1.0 - 0.6 * stroma)
    return np.asarray(level * tissue * patches * granules, np.float32)


def _nuclear_stain(rng: np.random.Generator, nuclei: SceneNuclei) -> FloatMap:
    """Return haematoxylin inside the nuclei: from dark and even to pale with a dark rim, clumps and nucleoli."""
    shape, count = nuclei.instances.shape, len(nuclei.radii)
    darkness = rng.uniform(1.0, 2.2) * np.exp(rng.normal(0.0, 0.25, count))
    openness = np.clip(rng.uniform(0.1, 1.0) + rng.normal(0.0, 0.2, count), 0.0, 1.0)
    openness *= np.clip(2.2 - nuclei.aspects * 0.6, 0.2, 1.0)  # spindle nuclei are dense
    pale = nuclei.map_to_pixels(openness)
    rim = np.clip(2.2 - edge_distance(nuclei.instances), 0.0, 1.0)
    clumps = np.clip(grain(rng, shape, 1.3), -1.0, 2.0)
    nucleoli = np.clip(grain(rng, shape, 2.2) - 1.6, 0.0, 0.8)
    texture = 1.0 - 0.6 * pale + pale * (0.35 * rim + 0.25 * clumps + 0.6 * nucleoli) + 0.1 * clumps
    return np.asarray(nuclei.map_to_pixels(darkness) * np.clip(texture, 0.1, None), np.float32)


def _transmit(
    rng: np.random.Generator, haematoxylin: FloatMap, eosin: FloatMap, staining: Staining
) -> NDArray[np.uint8]:
    """Return the image of white light through both stains (Beer-Lambert law), slightly blurred, with noise."""
    colours = (_COUNTERSTAIN, _DAB) if staining.is_immuno else (_HAEMATOXYLIN, _EOSIN)
    vectors = np.stack(colours) * rng.normal(1.0, staining.spread, (2, 3))
    vectors *= np.exp(rng.normal(0.0, 0.2))
    density = np.stack([haematoxylin, eosin], -1) @ vectors.astype(np.float32)
    light = cv2.GaussianBlur(rng.uniform(232.0, 250.0) * np.exp(-density), (0, 0), rng.uniform(0.5, 1.1))
    noisy = light + rng.normal(0.0, rng.uniform(1.0, 3.5), light.shape)
    if staining.sharpening:
        noisy += staining.sharpening * (noisy - cv2.GaussianBlur(noisy, (0, 0), 1.5))
    return np.asarray(np.clip(np.round(noisy), 0, 255), np.uint8)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> FloatMap:
    """Return noise (H, W) float32 of about zero mean and unit spread that varies over `scale` pixels."""
    height, width = shape
    margin = 2
    rows, columns = (int(side / scale) + 2 + 2 * margin for side in shape)
    coarse = rng.normal(0.0, 1.2, (rows, columns)).astype(np.float32)
    y, x = rng.uniform(margin, margin + 1, 2)
    matrix = np.array([[1.0 / scale, 0.0, x], [0.0, 1.0 / scale, y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(coarse, matrix, (width, height), flags=flags), np.float32)


def grain(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> FloatMap:
    """Return noise (H, W) float32 of about zero mean and unit spread, blurred by a Gaussian of `sigma` pixels."""
    white = rng.standard_normal(shape, np.float32)
    return np.asarray(blur(white, sigma) * np.float32(2.0 * np.sqrt(np.pi) * sigma), np.float32)


def blur(image: FloatMap, sigma: float) -> FloatMap:
    """Blur an image (H, W) by a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma), np.float32)


def ramp(values: FloatMap, softness: float) -> FloatMap:
    """Map values linearly to [0, 1]: 0 at `-softness` and below, 0.5 at zero, 1 at `softness` and above."""
    return np.asarray(np.clip(0.5 + values / (2.0 * softness), 0.0, 1.0), np.float32)


def edge_distance(instances: NDArray[np.int32]) -> FloatMap:
    """Return each nuclear pixel's distance to the edge of its nucleus, (H, W) in pixels, 0 on the background."""
    inside = (instances > 0).astype(np.uint8)
    inside[:, 1:] &= (instances[:, 1:] == instances[:, :-1]).astype(np.uint8)
    inside[1:] &= (instances[1:] == instances[:-1]).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), np.float32)


def _draw_radius(rng: np.random.Generator, shape: tuple[int, int]) -> float:
    """Draw the median nuclear radius of a scene, in pixels."""
    return min(float(rng.triangular(7.0, 9.5, 19.0)), min(shape) / 6.0)
