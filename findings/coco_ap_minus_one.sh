#!/usr/bin/env bash
# The COCO evaluation gives a perfect segmentation of a crowded image an AP of 0.34, and -1 once its limit is raised.
#
# pycocotools evaluates the 100 best detections of each image and class. A field of view holds hundreds of nuclei, so
# every nucleus from the 101st on counts as missed. The documented setting, params.maxDets = [1, 10, 1000], repairs
# all figures but the first: summarize() looks for the headline AP (IoU .50:.95) under the limit of 100, finds none,
# and reports -1, the value it also gives where there is nothing to evaluate. AP50 and AP75 beside it are right.
#
# It hurts whoever scores nuclei or cells by COCO's AP: figures of crowded and of sparse images are not comparable,
# and a checkpoint chosen by stats[0] is chosen among equal values of -1.
#
# Source: cocodataset/cocoapi, PythonAPI/pycocotools/cocoeval.py (COCOeval.summarize), issue 558.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6

cd "$tmp"
"$tmp/venv/bin/python" - <<'P'
import contextlib
import io
import sys
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NUCLEI = 300
boxes = [[50 * (i % 20), 50 * (i // 20), 20, 20] for i in range(NUCLEI)]
truth = {
    "info": {},
    "images": [{"id": 1, "width": 1000, "height": 1000}],
    "categories": [{"id": 1, "name": "nucleus"}],
    "annotations": [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": box}
        for i, box in enumerate(boxes, start=1)
    ],
}
perfect = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9} for box in boxes]


def evaluate(limit: int) -> tuple[float, float]:
    """Return AP and AP50 of the perfect detections, with at most limit detections per image."""
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO()
        annotated.dataset = truth
        annotated.createIndex()
        evaluation = COCOeval(annotated, annotated.loadRes(perfect), "bbox")
        evaluation.params.maxDets = [1, 10, limit]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return round(float(evaluation.stats[0]), 2), round(float(evaluation.stats[1]), 2)


standard, raised = evaluate(100), evaluate(1000)
print(f"version  pycocotools {version('pycocotools')}")
print(f"expected AP, AP50 of {NUCLEI} perfect detections: (1.0, 1.0)")
print(f"seen     {standard} with the standard limit of 100, {raised} with a limit of 1000")
if standard != (0.34, 0.34) or raised != (-1.0, 1.0):
    sys.exit("changed: COCOeval treats more than 100 detections in another way")
P
