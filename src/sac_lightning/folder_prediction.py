"""Image files segmented: a folder of images in, masks and overlays out."""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from tqdm import tqdm

from sac_lightning.data.image_file import IMAGE_ENDINGS, read_image, write_image
from sac_lightning.errors import UserError
from sac_lightning.picture import draw_points, overlaid
from sac_lightning.predictor import Nuclei, Predictor, load

NO_POINTS = np.zeros((0, 3), dtype=np.float32)


def predict(cfg: DictConfig) -> None:
    """Segments every image; one that fails is reported at the end and does not stop the others."""
    images = find_images(Path(cfg.images))
    points = read_points(Path(cfg.points), images) if cfg.points else {}
    predictor = load(cfg.checkpoint, weights=cfg.weights, device=cfg.device)
    masks, overlays = Path(cfg.output) / "masks", Path(cfg.output) / "overlays"
    for folder in (masks, overlays):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made ({error.strerror}): choose another output") from error
    failed, skipped = [], 0
    for path in tqdm(images, desc="segmenting"):
        mask_path, overlay_path = masks / f"{path.stem}.png", overlays / f"{path.stem}.png"
        if mask_path.exists() and overlay_path.exists() and not cfg.overwrite:
            skipped += 1
            continue
        try:
            write_prediction(predictor, path, points.get(path.name, NO_POINTS), mask_path, overlay_path)
        except UserError as error:
            failed.append(str(error))
    print(f"{len(images) - len(failed) - skipped} segmented, {skipped} already there, {len(failed)} failed")
    print(f"masks      {masks}\noverlays   {overlays}")
    for sentence in failed:
        print(f"error: {sentence}", file=sys.stderr)
    if failed:
        sys.exit(1)


def write_prediction(
    predictor: Predictor,
    path: Path,
    points: NDArray[np.float32],
    mask_path: Path,
    overlay_path: Path,
) -> None:
    """Segments one image file and writes its mask and overlay.

    Args:
        predictor: The model.
        path: Of the image.
        points: (N, 3) x, y in pixels and label.
        mask_path: Of the PNG with 255 on nuclei.
        overlay_path: Of the PNG with mask and points on the image.
    """
    image = read_image(path)
    try:
        nuclei = predictor.segment(image, points[:, :2], points[:, 2])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    write_image(overlay_path, overlay(image, nuclei))
    write_image(mask_path, nuclei.mask.astype(np.uint8) * 255)


def overlay(image: NDArray[np.uint8], nuclei: Nuclei) -> NDArray[np.uint8]:
    """The image (H, W, 3) with its mask and its points: blue for nucleus, pink for background."""
    picture = overlaid(image, nuclei.mask)
    draw_points(picture, nuclei.points, nuclei.labels)
    return picture


def find_images(path: Path) -> list[Path]:
    """The image files of a folder, sorted, or the one file that is named.

    Raises:
        UserError: There is none, or two would write the same result.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path} does not exist: give an image or a folder of images")
    images = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_ENDINGS)
    if not images:
        raise UserError(f"{path} holds no image: give a folder with files that end in {', '.join(IMAGE_ENDINGS)}")
    stems: dict[str, Path] = {}
    for image in images:
        if image.stem in stems:
            raise UserError(
                f"{image} and {stems[image.stem].name} would write the same result: rename one of them"
            )
        stems[image.stem] = image
    return images


def read_points(path: Path, images: list[Path]) -> dict[str, NDArray[np.float32]]:
    """Expert points by image file name.

    Args:
        path: A CSV with the columns image (file name, with or without ending), x, y and label.
        images: The images that are segmented.

    Returns:
        (N, 3) x, y in pixels and label per image file name.

    Raises:
        UserError: It cannot be read, lacks a column, holds no number where one belongs, or names another image.
    """
    names = {image.name: image.name for image in images} | {image.stem: image.name for image in images}
    points: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): give a CSV with the columns image,x,y,label") from error
    for line, row in enumerate(rows, start=2):
        try:
            image, point = row["image"], (float(row["x"]), float(row["y"]), float(row["label"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}, line {line}, is not an image and numbers for x, y and label: write them in these columns"
            ) from error
        if image not in names:
            raise UserError(
                f"{path}, line {line}, names the image {image}, which is not among the images: correct it"
            )
        points[names[image]].append(point)
    return {name: np.array(rows, dtype=np.float32) for name, rows in points.items()}
