"""An image for the page: a sample, or an uploaded file that is checked before it is decoded."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sac_lightning.core.errors import UserError
from sac_lightning.data.scene import Stain, render_scene
from sac_lightning.images.formats import EXTRA_ENDINGS, is_tiff, refuse_ending, upload_endings
from sac_lightning.images.open_image import open_image
from sac_lightning.images.slide import Pixels
from sac_lightning.images.tone import tone_of

MAX_SIDE = 4096
"""Pixels. Larger images are for the predict command, which reads them in parts."""
MAX_BYTES = 64 * 2**20
SAMPLE_SIDE = 384
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Picture:
    """An image of the page.

    Attributes:
        name: What its results are called.
        rgb: (H, W, 3) uint8, shown and segmented.
        raw: (H, W) or (H, W, 3) in the file's own numbers, of which intensities are measured.
        micrometres: Width and height of a pixel, if the file has them.
        note: What was chosen of the images, planes and channels of the file; empty: it holds one.
        key: The same for the same pixels of the same size.
    """

    name: str
    rgb: NDArray[np.uint8]
    raw: Pixels
    micrometres: tuple[float, float] | None = None
    note: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        """Make the key."""
        digest = hashlib.sha256(np.ascontiguousarray(self.rgb).tobytes())
        object.__setattr__(self, "key", f"{self.rgb.shape} {self.micrometres} {digest.hexdigest()}")


def samples() -> dict[str, Callable[[], Picture]]:
    """Return the sample pictures by name: drawn scenes, and a real one if scikit-image brings it along."""
    choices: dict[str, Callable[[], Picture]] = {
        "Fluorescence (drawn by the computer)": lambda: _scene("fluorescence", 4),
        "Tissue, H&E stain (drawn by the computer)": lambda: _scene("histology", 1),
    }
    if _immunohistochemistry_file().is_file():
        choices["Tissue, immunohistochemistry (a real photograph)"] = _immunohistochemistry
    return choices


def _scene(stain: Stain, seed: int) -> Picture:
    image, _ = render_scene(np.random.default_rng(seed), SAMPLE_SIDE, SAMPLE_SIDE, stain)
    return Picture(stain, image, image)


def _immunohistochemistry_file() -> Path:
    """Return its path in scikit-image's wheels; other builds would download it, which the page does not."""
    import skimage

    return Path(skimage.__file__).parent / "data" / "ihc.png"


def _immunohistochemistry() -> Picture:
    return read_upload(_immunohistochemistry_file(), name="immunohistochemistry")


def read_upload(path: Path, name: str | None = None) -> Picture:
    """Read an uploaded file; one that is too large is refused before it is decoded.

    Args:
        path: Of the file; its name is the uploaded one's.
        name: What its results are called. Default: the name of the file without its ending.

    Raises:
        UserError: It is no image, too large, or too small.
    """
    if path.suffix.lower() not in upload_endings():
        refuse_ending(Path(path.name))
        raise UserError(f"{path.name} is no image of a kind that is read here: choose {_kinds()}")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(
            f"{path.name} has {path.stat().st_size / 2**20:.0f} MB, more than {MAX_BYTES // 2**20}: "
            f"{MAX_SIDE:,}: cut out a region, or use the predict command"
        )
    try:
        _refuse_size_of_header(path)
        with open_image(path) as slide:
            _refuse_size(slide.width, slide.height, path.name)
            raw = slide.read(0, slide.height)
            rgb = tone_of(slide, stretch=False).rgb(raw)
            return Picture(name or path.stem, np.ascontiguousarray(rgb), raw, slide.micrometres, slide.note)
    except UserError as error:
        # The path on the server is not for visitors.
        raise UserError(str(error).replace(str(path), path.name)) from error


def _refuse_size_of_header(path: Path) -> None:
    """Raise UserError over the size in a file's header, if open_image would decode it at once."""
    if path.suffix.lower() in EXTRA_ENDINGS:
        return
    with path.open("rb") as file:
        if is_tiff(file.read(4)):
            return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Our limit is the lower one.
            with Image.open(path) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{path.name} claims more pixels than are decoded here, {MAX_SIDE:,} a side: cut out a region"
        ) from error
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{path.name} cannot be read as an image: it is damaged, or of another kind than its name says"
        ) from error
    _refuse_size(width, height, path.name)


def _refuse_size(width: int, height: int, name: str) -> None:
    if max(width, height) > MAX_SIDE:
        raise UserError(
            f"{name} has {width:,} x {height:,} pixels, more than {MAX_SIDE:,} a side: cut out a region, or use "
            "the predict command, which takes images of any size"
        )
    if min(width, height) < SMALLEST_SIDE:
        raise UserError(f"{name} has only {width} x {height} pixels: choose a larger image")


def refuse_enlarged(picture: Picture, factor: float) -> None:
    """Raise UserError if a picture is too large to be encoded at the magnification of the model's training.

    Args:
        picture: The image.
        factor: How many of its pixels are one of the training.
    """
    side = max(picture.rgb.shape[:2]) / factor
    if factor < 1 and side > MAX_SIDE:
        raise UserError(
            f"{picture.name} has {side:,.0f} pixels a side where it is enlarged for the model, more than "
            f"{MAX_SIDE:,}: cut out a region, or use the predict command"
        )


def _kinds() -> str:
    return "PNG, JPEG, TIFF, WebP or BMP, or a file of a microscope that predict reads"
