#!/usr/bin/env bash
# A nucleus turned into an outline and back loses or gains a rim, although each step is exact by its own convention.
#
# OpenCV's outlines run through the centres of the border pixels, and fillPoly paints every pixel that they touch.
# COCO tools and annotation programs such as QuPath draw outlines along the edges of pixels. Across that border the
# same numbers mean another shape: findContours followed by pycocotools (how COCO files are commonly made from masks)
# loses half a pixel all round, and an outline along the edges, filled by OpenCV, gains half a pixel. OpenCV's own
# round trip is exact, so a check within it shows nothing. On a nucleus of 10 pixels that is a fifth of its area.
#
# It hurts whoever converts label maps to COCO or annotations to label maps: small nuclei change most, touching nuclei
# part or overlap, and an otherwise perfect result has an IoU of about 0.8 with its own truth.
#
# Source: OpenCV, findContours and fillPoly; cocodataset/cocoapi, common/maskApi.c (rleFrPoly).
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check \
    opencv-python-headless==5.0.0.93 pycocotools==2.0.11 numpy==2.4.6

cd "$tmp"
"$tmp/venv/bin/python" - <<'P'
import sys
from importlib.metadata import version

import cv2
import numpy as np
from pycocotools import mask as coco

SIZE = 32
EDGES = np.array([[8, 8], [18, 8], [18, 18], [8, 18]], np.int32)  # x, y of the corners of ten by ten pixels


def trace(mask: np.ndarray) -> np.ndarray:
    """Return OpenCV's outline (N, 2) of the only object."""
    (outline,), _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return outline[:, 0]


def fill_by_opencv(outline: np.ndarray) -> int:
    """Return the number of pixels that OpenCV fills."""
    return int(cv2.fillPoly(np.zeros((SIZE, SIZE), np.uint8), [outline], 1).sum())


def fill_by_coco(outline: np.ndarray) -> int:
    """Return the number of pixels that pycocotools fills."""
    return int(coco.area(coco.frPyObjects([outline.ravel().astype(float).tolist()], SIZE, SIZE))[0])


square = np.zeros((SIZE, SIZE), np.uint8)
square[8:18, 8:18] = 1
rows, columns = np.mgrid[:SIZE, :SIZE]
disc = ((rows - 15) ** 2 + (columns - 15) ** 2 <= 25).astype(np.uint8)
seen = [(int(mask.sum()), fill_by_opencv(trace(mask)), fill_by_coco(trace(mask))) for mask in (square, disc)]
edges = fill_by_opencv(EDGES), fill_by_coco(EDGES)
print("version ", *(f"{name} {version(name)}" for name in ("opencv-python-headless", "pycocotools")))
print("expected the pixels of the nucleus from both: square 100, disc 81, square drawn along its edges 100")
print(f"seen     findContours of {seen[0][0]}, {seen[1][0]} pixels: filled by OpenCV {seen[0][1]}, {seen[1][1]}, "
      f"by pycocotools {seen[0][2]}, {seen[1][2]}")
print(f"seen     the square drawn along its edges: filled by OpenCV {edges[0]}, by pycocotools {edges[1]}")
if seen != [(100, 100, 81), (81, 81, 66)] or edges != (121, 100):
    sys.exit("changed: OpenCV and pycocotools fill these outlines in another way")
P
