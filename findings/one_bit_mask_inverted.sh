#!/usr/bin/env bash
# A mask of nuclei saved with tifffile comes back from Pillow and OpenCV inside out.
#
# tifffile stores a boolean array as a one-bit TIFF and tags it MINISWHITE: a zero is white. It stores True as 1 and
# ignores the tag when it reads the file, so its own round trip looks right. Pillow and OpenCV follow the tag and
# return the complement: the background is set, the nuclei are not. Nothing warns. With photometric="minisblack" given
# to imwrite, or the mask cast to uint8, all three agree.
#
# It hurts whoever thresholds images, saves the boolean result with tifffile and trains with a loader built on Pillow
# or OpenCV: the network learns the background.
#
# Source: tifffile, imwrite (photometric of bilevel data); TIFF 6.0, PhotometricInterpretation = 0 (WhiteIsZero).
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check \
    tifffile==2026.3.3 pillow==13.0.0 opencv-python-headless==5.0.0.93

cd "$tmp"
"$tmp/venv/bin/python" - <<'P'
import sys
from importlib.metadata import version

import cv2
import numpy as np
import tifffile
from PIL import Image

mask = np.zeros((64, 64), bool)
mask[20:30, 10:30] = True
tifffile.imwrite("bilevel.tif", mask)
tifffile.imwrite("bytes.tif", mask.astype(np.uint8))


def count(file: str) -> tuple[int, int, int]:
    """Return the pixels set according to tifffile, Pillow and OpenCV."""
    readings = tifffile.imread(file), np.asarray(Image.open(file)), cv2.imread(file, cv2.IMREAD_UNCHANGED)
    return tuple(int(np.count_nonzero(reading)) for reading in readings)


nuclei, background = int(mask.sum()), int((~mask).sum())
bilevel, as_bytes = count("bilevel.tif"), count("bytes.tif")
print("version ", *(f"{name} {version(name)}" for name in ("tifffile", "pillow", "opencv-python-headless")))
print(f"expected {(nuclei,) * 3} pixels set, by tifffile, Pillow and OpenCV")
print(f"seen     {bilevel} from the boolean mask, {as_bytes} from the same mask as uint8")
if bilevel != (nuclei, background, background) or as_bytes != (nuclei,) * 3:
    sys.exit("changed: the boolean mask is no longer inverted by Pillow and OpenCV alone")
P
