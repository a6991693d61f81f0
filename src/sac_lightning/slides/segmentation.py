"""From one image file to all of its results."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.images.open_image import open_image
from sac_lightning.images.refusals import name_file
from sac_lightning.images.selection import DEFAULT, Selection
from sac_lightning.images.slide import Slide
from sac_lightning.images.tone import tone_of
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides.bands import BAND_PIXELS, MOST_PIXELS, join_strips
from sac_lightning.slides.label_map import label_slide
from sac_lightning.slides.output import Results
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.strips import Strip

# From so many windows on they have a progress bar of their own.
MANY_WINDOWS = 64


def segment_file(
    predictor: Predictor,
    path: Path,
    points: NDArray[np.float32],
    output: OutputFolder,
    selection: Selection = DEFAULT,
) -> str:
    """Segment an image file of any size and write its results.

    Args:
        predictor: The model.
        path: Of the image.
        points: (N, 3) expert points: x, y in pixels and label.
        output: Folder of the results.
        selection: Which image of the file.

    Returns:
        What was chosen of the images, channels and planes of the file; empty if it holds one.

    Raises:
        UserError: The image cannot be used, or a point lies outside of it.
    """
    try:
        with open_image(path, selection) as slide:
            _segment(predictor, slide, points, output, path.stem + selection.suffix)
            return slide.note
    except UserError as error:
        raise name_file(path, error) from error


def _segment(
    predictor: Predictor, slide: Slide, points: NDArray[np.float32], output: OutputFolder, stem: str
) -> None:
    windows = len(predictor.view.windows(slide.height, slide.width))
    coords: list[NDArray[np.float32]] = []
    signs: list[NDArray[np.int64]] = []

    def note_points(strips: Iterator[Strip]) -> Iterator[Strip]:
        for strip in strips:
            coords.append(strip.points)
            signs.append(strip.labels)
            yield strip
            del strip  # as below

    # None: without a terminal there is no bar.
    disable = True if windows < MANY_WINDOWS else None
    with (
        Results(output, stem, slide) as results,
        tqdm(total=windows, desc=stem, unit="window", leave=False, disable=disable) as bar,
    ):
        tone = tone_of(slide, predictor.view.stretch)
        labelling = label_slide(predictor, slide, tone, points, progress=bar.update)
        bands = join_strips(
            note_points(labelling.strips),
            (slide.height, slide.width),
            labelling.label,
            BAND_PIXELS,
            MOST_PIXELS,
            labelling.threshold,
        )
        for band in bands:
            results.add(band)
            del band  # or two are in memory while the next is made
        results.finish(np.concatenate(coords), np.concatenate(signs))
