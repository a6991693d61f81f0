"""TIFF pages of luminance and chrominance: which decoders turn them into colours, and which do not."""

import numpy as np
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TiffPage

from sac_lightning.images.slide import Pixels

# What is decoded to red, green and blue where a page says luminance and chrominance.
DECODES_YCBCR = (
    COMPRESSION.JPEG,
    COMPRESSION.ALT_JPEG,
    COMPRESSION.OJPEG,
    COMPRESSION.JPEG_LOSSY,
    COMPRESSION.APERIO_JP2000_YCBC,
    COMPRESSION.APERIO_JP2000_RGB,
    COMPRESSION.JPEG2000,
    COMPRESSION.JPEGXL,
    COMPRESSION.WEBP,
)


def is_luminance(page: TiffPage) -> bool:
    """Return whether the samples of a page, once decoded, are luminance and chrominance."""
    return bool(page.photometric == PHOTOMETRIC.YCBCR and page.compression not in DECODES_YCBCR)


def is_whole_luminance(page: TiffPage) -> bool:
    """Return whether these are 8 bits of each for every pixel; else several pixels share their chrominance."""
    if not is_luminance(page) or page.samplesperpixel != 3 or page.dtype != np.uint8 or page.axes != "YXS":
        return False
    subsampling = page.tags.get("YCbCrSubSampling")
    return subsampling is not None and tuple(subsampling.value) == (1, 1)


def to_colours(rows: Pixels) -> Pixels:
    """Return luminance and chrominance (n, W, 3) as red, green and blue."""
    height, width = rows.shape[:2]
    if not rows.size:
        return rows
    return np.array(Image.frombytes("YCbCr", (width, height), rows.tobytes()).convert("RGB"))
