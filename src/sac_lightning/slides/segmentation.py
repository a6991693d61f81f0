"""From one image file to all of its results."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import side_of_pixel
from sac_lightning.data.structure import MOST_SIDE
from sac_lightning.images.open_image import open_image
from sac_lightning.images.refusals import name_file
from sac_lightning.images.sample_part import read_sample
from sac_lightning.images.selection import DEFAULT, Selection
from sac_lightning.images.slide import Slide
from sac_lightning.images.tissue import Tissue, find_tissue
from sac_lightning.images.tone import Tone, tone_of
from sac_lightning.inference.doubt import find_doubts
from sac_lightning.inference.predictor import Predictor
from sac_lightning.slides.area import Area, add_points, take_drawn
from sac_lightning.slides.bands import BAND_PIXELS, MOST_PIXELS, join_strips
from sac_lightning.slides.counts import Counter, Counts
from sac_lightning.slides.label_map import label_slide
from sac_lightning.slides.output import Results
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.pieces import find_pieces
from sac_lightning.slides.regions import Regions
from sac_lightning.slides.strips import Strip

# From so many windows on they have a progress bar of their own.
MANY_WINDOWS = 64


@dataclass(frozen=True)
class Segmented:
    """What is told of an image that was segmented.

    Attributes:
        notes: In words that the file's name follows: what was chosen of its images, channels and planes, if there
            was a choice; and what was done to its magnification.
        share: Which part of its windows was segmented: 1, unless glass or what is in no region was passed over.
        row: Its row of the summary, see Counts.row.
    """

    notes: tuple[str, ...]
    share: float
    row: dict[str, float | str | None]


def segment_file(
    predictor: Predictor,
    path: Path,
    points: NDArray[np.float32],
    output: OutputFolder,
    selection: Selection = DEFAULT,
    tissue: Regions | bool = True,
    regions: Regions | None = None,
) -> Segmented:
    """Segment an image file of any size and write its results.

    Args:
        predictor: The model.
        path: Of the image.
        points: (N, 3) expert points: x, y in pixels and label; with boxes (N, 5), see nuclei_of_points.add_boxes.
        output: Folder of the results.
        selection: Which image of the file.
        tissue: Whether glass and empty field are passed over; or the tissue that a person has drawn.
        regions: Only nuclei whose centre lies in them are kept. Default: all.

    Raises:
        UserError: The image cannot be used, a point lies outside of it, or all regions do.
    """
    try:
        with open_image(path, selection) as slide:
            found = find_tissue(slide) if tissue or predictor.view.stretch else None
            tone = tone_of(slide, predictor.view.stretch, found)
            area = _area(slide, found, points, tissue, regions)
            magnified = predictor.magnify(slide.micrometres, lambda: tone.rgb(read_sample(slide, MOST_SIDE)))
            scaled = predictor.at_scale(magnified.factor)
            share, counts = _segment(scaled, slide, tone, area, points, output, path.stem + selection.suffix)
            notes = (f"took {slide.note} of" if slide.note else "", f"{magnified.note}:" if magnified.note else "")
            scale, factor = predictor.scale, magnified.factor
            doubts = find_doubts(counts.cover, counts.median_area, scale, factor, counts.unsure)
            side = predictor.mpp if isinstance(predictor.mpp, float) else side_of_pixel(slide.micrometres)
            return Segmented(tuple(filter(None, notes)), share, counts.row(side, doubts))
    except UserError as error:
        raise name_file(path, error) from error


def _area(
    slide: Slide,
    found: Tissue | None,
    points: NDArray[np.float32],
    tissue: Regions | bool,
    regions: Regions | None,
) -> Area:
    """Return the part of an image in which nuclei are looked for."""
    size = slide.height, slide.width
    within = None if regions is None else regions.within(*size)
    if found is None or tissue is False:
        return Area(None, within)
    if isinstance(tissue, Regions):
        found = take_drawn(found, tissue.within(*size))
    found = add_points(found, points)
    return Area(found, within, find_pieces(slide, found))


def _segment(
    predictor: Predictor,
    slide: Slide,
    tone: Tone,
    area: Area,
    points: NDArray[np.float32],
    output: OutputFolder,
    stem: str,
) -> tuple[float, Counts]:
    """Write all results; return which part of the windows was segmented, and what was counted."""
    windows = sum(map(area.meets, area.windows(predictor.view, slide.height, slide.width)))
    coords: list[NDArray[np.float32]] = []
    signs: list[NDArray[np.int64]] = []
    counter = Counter(area)

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
        labelling = label_slide(predictor, slide, tone, points, progress=bar.update, area=area)
        bands = join_strips(
            note_points(labelling.strips),
            (slide.height, slide.width),
            labelling.label,
            BAND_PIXELS,
            MOST_PIXELS,
            labelling.threshold,
            area,
        )
        for band in bands:
            results.add(band)
            counter.add(band)
            del band  # or two are in memory while the next is made
        results.finish(np.concatenate(coords), np.concatenate(signs))
    share = min(1.0, windows / len(predictor.view.windows(slide.height, slide.width)))
    return share, counter.finish()
