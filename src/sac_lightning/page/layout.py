"""The page: its look, and which of the desk's methods answers to what a visitor does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from sac_lightning.core.errors import UserError
from sac_lightning.core.prompts import Selection
from sac_lightning.page import words
from sac_lightning.page.desk import Desk, Visit, format_refusal
from sac_lightning.page.parts import Parts, make_parts
from sac_lightning.page.segmenter import Question, Segmenter

PROGRESS = gr.Progress()
# Files of visitors are checked every ten minutes and removed after an hour; so is the state of a visitor.
DELETE_CACHE, STATE_SECONDS = (600, 3600), 3600
CSS = """
.note, .note * { color: var(--body-text-color) !important; opacity: 0.9; font-size: var(--text-sm) }
.tools { align-items: center }
"""


def theme() -> gr.Theme:
    """Return Gradio's own theme with the fonts of the visitor's system: none is fetched."""
    return gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], primary_hue="blue"
    )


def make_page(segmenter: Segmenter, folder: Path, is_own: bool) -> gr.Blocks:
    """Make the page of a model.

    Args:
        segmenter: The model.
        folder: For the files of visitors.
        is_own: Whether the model is the visitor's, not the one that the package brings along.
    """
    desk = Desk(segmenter, folder)
    with gr.Blocks(title=words.TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE) as page:
        visit = gr.State(None, time_to_live=STATE_SECONDS, delete_callback=desk.leave)
        _Wires(desk, visit, make_parts(list(desk.samples), segmenter, is_own)).connect(page)
    assert isinstance(page, gr.Blocks)
    return page


class _Wires:
    """The connections from the components to the desk and back."""

    def __init__(self, desk: Desk, visit: gr.State, parts: Parts) -> None:
        self.desk, self.visit, self.parts = desk, visit, parts
        self.settings = [parts.points, parts.selection, parts.threshold]
        self.look = [parts.style, parts.opacity]
        self.seen = [visit, parts.image, parts.summary, parts.histogram, parts.clicks, *parts.downloads]

    def connect(self, page: gr.Blocks) -> None:
        """Bind every event to the method that answers it."""
        parts, settings, look = self.parts, self.settings, self.look
        sample = [parts.sample, *settings, *look]
        self._bind(page.load, self.open_sample, sample)
        self._bind(parts.sample.input, self.open_sample, sample)
        self._bind(parts.upload.upload, self.open_upload, [parts.upload, self.visit, *settings, *look])
        self._bind(parts.image.select, self.click, [self.visit, parts.sign, *look], quick=True)
        self._bind(parts.undo.click, self.undo, [self.visit, *look], quick=True)
        self._bind(parts.clear.click, self.clear, [self.visit, *look], quick=True)
        for event in (parts.points.input, parts.selection.input, parts.threshold.input):  # by keys and mouse alike
            self._bind(event, self.set_points, [self.visit, *settings, *look], mode="always_last")
        parts.prepare.click(self.prepare, self.visit, [self.visit, *parts.downloads], **_queue_settings())
        for event in (parts.style.input, parts.opacity.input):
            event(
                self.draw,
                [self.visit, *look],
                parts.image,
                show_progress="hidden",
                trigger_mode="always_last",
                **_queue_settings(),
            )

    def _bind(
        self,
        event: Any,
        method: Callable[..., Any],
        inputs: list[Any],
        quick: bool = False,
        mode: str = "multiple",
    ) -> None:
        """Let a method answer to an event.

        Quickly: without a curtain before the picture. Mode multiple: one after the other; always_last: of those
        that come while one is answered, the last alone.
        """
        event(
            method,
            inputs,
            self.seen,
            show_progress="hidden" if quick else "full",
            show_progress_on=None if quick else self.parts.image,
            trigger_mode=mode,
            **_queue_settings(),
        )

    def open_sample(
        self,
        name: str,
        points: int,
        selection: Selection,
        threshold: float,
        style: str,
        opacity: float,
        progress: gr.Progress = PROGRESS,
    ) -> list[Any]:
        """Show a sample image."""
        question = Question((), int(points), selection, threshold)
        return self._show_visit(self.desk.open_sample(name, question, _report_progress(progress)), style, opacity)

    def open_upload(
        self,
        path: str,
        visit: Visit | None,
        points: int,
        selection: Selection,
        threshold: float,
        style: str,
        opacity: float,
        progress: gr.Progress = PROGRESS,
    ) -> list[Any]:
        """Show an uploaded image; one that is refused leaves the page as it was."""
        question = Question((), int(points), selection, threshold)
        try:
            opened = self.desk.open_upload(Path(path), question, _report_progress(progress))
        except UserError as error:
            raise gr.Error(
                format_refusal(error), title="This image cannot be used", print_exception=False
            ) from error
        finally:
            Path(path).unlink(missing_ok=True)
        self.desk.leave(visit)
        return self._show_visit(opened, style, opacity)

    def click(self, visit: Visit, sign: int, style: str, opacity: float, event: gr.SelectData) -> list[Any]:
        """Add a click."""
        x, y = event.index
        return self._show_visit(self.desk.click(visit, x, y, sign), style, opacity)

    def undo(self, visit: Visit, style: str, opacity: float) -> list[Any]:
        """Take the last click back."""
        return self._show_visit(self.desk.undo(visit), style, opacity)

    def clear(self, visit: Visit, style: str, opacity: float) -> list[Any]:
        """Take all clicks back."""
        return self._show_visit(self.desk.clear(visit), style, opacity)

    def set_points(
        self, visit: Visit, points: int, selection: Selection, threshold: float, style: str, opacity: float
    ) -> list[Any]:
        """Choose automatic points anew."""
        return self._show_visit(self.desk.set_points(visit, int(points), selection, threshold), style, opacity)

    def draw(self, visit: Visit, style: str, opacity: float) -> Any:
        """Draw the same again in another style."""
        return self.desk.draw(visit, style, opacity)

    def prepare(self, visit: Visit) -> list[Any]:
        """Make the downloads."""
        visit, files = self.desk.downloads(visit)
        return [visit, *(gr.DownloadButton(value=str(path), interactive=True) for path in files)]

    def _show_visit(self, visit: Visit, style: str, opacity: float) -> list[Any]:
        """Return the visit, and what is seen of it at once; the files of before are taken away."""
        desk = self.desk
        buttons = [gr.DownloadButton(value=None, interactive=False) for _ in self.parts.downloads]
        picture = desk.draw(visit, style, opacity)
        areas, step, title = desk.histogram(visit)
        histogram = gr.BarPlot(value=areas, x_bin=step, x_title=title)
        clicks = words.count_clicks(len(visit.question.clicks))
        return [visit, picture, desk.summary(visit), histogram, clicks, *buttons]


def _queue_settings() -> dict[str, Any]:
    """Return the settings by which visitors wait for each other, and programs have nothing to call."""
    return {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}


def _report_progress(progress: gr.Progress) -> Callable[[int, int], object]:
    """Return a function that shows a visitor how far the encoder is."""
    return lambda done, total: progress((done, total), desc="Looking at the image", unit="parts")
