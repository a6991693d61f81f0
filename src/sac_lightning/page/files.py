"""The downloads of a visitor: the files that predict writes, of one image and its answer."""

from pathlib import Path
from typing import NamedTuple

from sac_lightning.images.slide import whole_slide
from sac_lightning.inference.predictor import Nuclei
from sac_lightning.page.picture_file import Picture
from sac_lightning.slides.band import Band
from sac_lightning.slides.output import Results
from sac_lightning.slides.output_folder import OutputFolder


class Downloads(NamedTuple):
    """Paths of the mask (PNG), the outlines (GeoJSON) and the measurements (CSV)."""

    mask: Path
    geojson: Path
    table: Path


def write_downloads(picture: Picture, nuclei: Nuclei, folder: Path) -> Downloads:
    """Write the results of an image, as the predict command would.

    Args:
        picture: The image.
        nuclei: Its nuclei.
        folder: Of the files; it is made.
    """
    output = OutputFolder(folder)
    output.make()
    slide = whole_slide(picture.raw, picture.micrometres)
    labels = nuclei.instances
    with Results(output, picture.name, slide) as results:
        results.add(Band(0, slide.height, picture.raw, picture.rgb, nuclei.probability, labels, labels))
        results.finish(nuclei.points, nuclei.labels)
    files = results.files
    return Downloads(files["masks"], files["geojson"], files["measurements"])
