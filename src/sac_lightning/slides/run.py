"""The predict command: image files in, for each a mask, a label map, an overlay, outlines and measurements out."""

import sys
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.inference.predictor import load
from sac_lightning.slides.find_images import find_images
from sac_lightning.slides.output import OutputFolder
from sac_lightning.slides.point_files import read_points
from sac_lightning.slides.segmentation import segment_file

NO_POINTS = np.zeros((0, 3), dtype=np.float32)


def predict(cfg: DictConfig) -> None:
    """Segment every image; report those that fail at the end, without stopping for them."""
    images = find_images(str(cfg.images))
    points = read_points(Path(cfg.points), images) if cfg.points else {}
    predictor = load(cfg.checkpoint, cfg.weights, cfg.device, cfg.instances, cfg.trust)
    output = OutputFolder(Path(cfg.output), probability=cfg.probability)
    output.make()
    failed, skipped = [], 0
    for path in tqdm(images, desc="segmenting", unit="image", disable=None):
        if output.is_done(path.stem) and not cfg.overwrite:
            skipped += 1
            continue
        try:
            segment_file(predictor, path, points.get(path.name, NO_POINTS), output, cfg.page)
        except UserError as error:
            failed.append(str(error))
    print(f"{len(images) - len(failed) - skipped} segmented, {skipped} already there, {len(failed)} failed")
    for kind in output.kinds:
        print(f"{kind:<14}{output.path / kind}")
    for sentence in failed:
        print(f"error: {sentence}", file=sys.stderr)
    if failed:
        sys.exit(1)
