"""What a visitor does on the page, and the answers; independent of how the page looks."""

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Selection
from sac_lightning.page.drawing import Shown, draw_all_points, draw_nuclei
from sac_lightning.page.files import Downloads, write_downloads
from sac_lightning.page.picture_file import Picture, read_upload, samples
from sac_lightning.page.segmenter import Question, Segmenter
from sac_lightning.page.words import areas_of, summary

BINS = 12

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Visit:
    """The state of a visitor.

    Attributes:
        picture: The image on the page.
        question: Clicks and settings.
        files: The folder of the downloads, once they are written.
    """

    picture: Picture
    question: Question
    files: Path | None = None


class Desk:
    """The actions of a visitor, each from a visit to the next; and the pictures and texts of a visit."""

    def __init__(self, segmenter: Segmenter, folder: Path) -> None:
        """Args: segmenter: the model; folder: for the files of visitors."""
        self.segmenter = segmenter
        self.folder = folder
        self.samples = samples()
        self._drawn: tuple[str, NDArray[np.uint8]] = ("", np.zeros((0, 0, 3), dtype=np.uint8))

    def open_sample(self, name: str, question: Question, progress: Progress) -> Visit:
        """Put a sample on the page, with the settings of a question but not its clicks."""
        return self._open_picture(self.samples[name](), question, progress)

    def open_upload(self, path: Path, question: Question, progress: Progress) -> Visit:
        """Put an uploaded file on the page. Raise UserError if it cannot be used."""
        return self._open_picture(read_upload(path), question, progress)

    def _open_picture(self, picture: Picture, question: Question, progress: Progress) -> Visit:
        self.segmenter.encode(picture, progress)
        return Visit(picture, replace(question, clicks=()))

    def click(self, visit: Visit, x: float, y: float, label: int) -> Visit:
        """Add a click at a place (x, y) of the shown picture."""
        if not self.segmenter.takes_points:
            return visit
        click = (*Shown(*visit.picture.rgb.shape[:2]).to_image(x, y), label)
        return replace(visit, question=replace(visit.question, clicks=(*visit.question.clicks, click)))

    def undo(self, visit: Visit) -> Visit:
        """Take the last click back."""
        return replace(visit, question=replace(visit.question, clicks=visit.question.clicks[:-1]))

    def clear(self, visit: Visit) -> Visit:
        """Take all clicks back."""
        return replace(visit, question=replace(visit.question, clicks=()))

    def set_points(self, visit: Visit, points: int, selection: Selection, threshold: float) -> Visit:
        """Change how automatic points are chosen."""
        question = replace(visit.question, points=points, selection=selection, threshold=threshold)
        return replace(visit, question=question)

    def draw(self, visit: Visit, style: str, opacity: float) -> NDArray[np.uint8]:
        """Draw the picture on the page, (h, w, 3); see drawing.draw_nuclei."""
        nuclei = self.segmenter.answer(visit.picture, visit.question)
        shown = Shown(*visit.picture.rgb.shape[:2])
        picture = draw_nuclei(self._resize_image(visit.picture), shown.labels(nuclei.instances), style, opacity)
        clicks = np.array(visit.question.clicks, dtype=np.float32).reshape(-1, 3)
        points, labels = nuclei.points, nuclei.labels
        is_automatic = ~_find_clicked(points, clicks[:, :2])
        return draw_all_points(
            picture,
            (shown.to_screen(points[is_automatic]), labels[is_automatic]),
            (shown.to_screen(clicks[:, :2]), clicks[:, 2].astype(np.int64)),
        )

    def _resize_image(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the image at the size of the page; the last one is kept."""
        key, image = self._drawn
        if key != picture.key:
            image = Shown(*picture.rgb.shape[:2]).image(picture.rgb)
            self._drawn = (picture.key, image)
        return image

    def summary(self, visit: Visit) -> str:
        """Summarise what was found, in Markdown."""
        nuclei = self.segmenter.answer(visit.picture, visit.question)
        note = self.segmenter.magnify(visit.picture).note
        doubts = self.segmenter.doubt(visit.picture, nuclei)
        return summary(visit.picture, nuclei, self.segmenter.lacks_points(visit.question), note, doubts)

    def histogram(self, visit: Visit) -> tuple[pd.DataFrame, float, str]:
        """Return a row per nucleus, ``area`` and ``nuclei`` (1); the width of a bar; the title of the areas."""
        nuclei = self.segmenter.answer(visit.picture, visit.question)
        areas = areas_of(nuclei.instances).astype(np.float64)
        if visit.picture.micrometres is not None:
            areas *= np.prod(visit.picture.micrometres)
        step = _round_step(areas.max(initial=1.0) / BINS)
        unit = "pixels" if visit.picture.micrometres is None else "µm²"
        return pd.DataFrame({"area": areas, "nuclei": np.ones(len(areas))}), step, f"area in {unit}"

    def downloads(self, visit: Visit) -> tuple[Visit, Downloads]:
        """Write the downloads, in place of those of before."""
        nuclei = self.segmenter.answer(visit.picture, visit.question)
        files = self.folder / "results" / uuid.uuid4().hex
        written = write_downloads(visit.picture, nuclei, files)
        self.leave(visit)
        return replace(visit, files=files), written

    def leave(self, visit: Visit | None) -> None:
        """Remove what was written for a visitor."""
        if visit is not None and visit.files is not None:
            shutil.rmtree(visit.files, ignore_errors=True)


def _find_clicked(points: NDArray[np.float32], clicks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find which of the points (N, 2) a visitor has clicked, (N,); the model's pixels round them."""
    if len(clicks) == 0:
        return np.zeros(len(points), dtype=bool)
    distance = np.abs(points[:, None] - clicks[None]).max(axis=2)
    return np.asarray((distance < 0.01).any(axis=1))


def _round_step(width: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50 ... (or a tenth ... of them) from a width on."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9)))


def format_refusal(error: UserError) -> str:
    """Format an error as a whole sentence for a visitor."""
    sentence = str(error)
    return sentence[0].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")
