"""The components of the page, from top to bottom; on a phone the columns stand one below the other."""

from dataclasses import dataclass

import gradio as gr

from sac_lightning.images.formats import upload_endings
from sac_lightning.page import words
from sac_lightning.page.drawing import MASK, NOTHING, NUCLEI
from sac_lightning.page.segmenter import Segmenter

STYLES = [("single nuclei", NUCLEI), ("one mask", MASK), ("image only", NOTHING)]
SIGNS = [("+ nucleus", 1), ("\N{MINUS SIGN} background", 0)]
SELECTIONS = [("middle of each region (O)", "O"), ("anywhere in it (R)", "R")]
MOST_POINTS = 64
OPACITY = 0.35


@dataclass(frozen=True)
class Parts:
    """The components that react, or that change."""

    sample: gr.Radio
    upload: gr.UploadButton
    image: gr.Image
    sign: gr.Radio
    undo: gr.Button
    clear: gr.Button
    clicks: gr.Markdown
    summary: gr.Markdown
    histogram: gr.BarPlot
    prepare: gr.Button
    downloads: list[gr.DownloadButton]
    style: gr.Radio
    opacity: gr.Slider
    points: gr.Slider
    selection: gr.Radio
    threshold: gr.Slider


def make_parts(samples: list[str], segmenter: Segmenter, is_own: bool) -> Parts:
    """Lay the page out, within a gr.Blocks.

    Args:
        samples: Names of the sample images.
        segmenter: The model; what it cannot do is switched off.
        is_own: Whether the model is the visitor's, not the one that the package brings along.
    """
    gr.Markdown(f"# {words.TITLE}\n{words.INTRODUCTION}")
    about = words.describe_model(segmenter.takes_points, segmenter.has_generator, is_own)
    if about:
        gr.Markdown(about, elem_classes="about", container=True)
    with gr.Row(equal_height=True):
        sample = gr.Radio(samples, value=samples[0], label="Sample image", scale=3, elem_id="sample")
        with gr.Column(scale=2, min_width=280):
            upload = gr.UploadButton(
                "Upload an image", file_types=list(upload_endings()), size="md", elem_id="upload"
            )
            gr.Markdown(words.UPLOAD, elem_classes="note")
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            image, sign, undo, clear, clicks = _image(segmenter)
        with gr.Column(scale=2, min_width=280):
            summary = gr.Markdown(elem_id="summary", container=True)
            histogram = gr.BarPlot(
                x="area",
                y="nuclei",
                x_bin=100,
                y_aggregate="sum",
                y_lim=[0, None],
                x_title="area",
                y_title="nuclei",
                height=200,
                label="Areas",
                show_label=False,
                buttons=[],
                elem_id="histogram",
            )
            prepare, downloads = _downloads()
            style = gr.Radio(STYLES, value=NUCLEI, label="Show", elem_id="style")
            opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Strength of the colours", elem_id="opacity")
            points, selection, threshold = _automatic(segmenter)
    return Parts(
        sample,
        upload,
        image,
        sign,
        undo,
        clear,
        clicks,
        summary,
        histogram,
        prepare,
        downloads,
        style,
        opacity,
        points,
        selection,
        threshold,
    )


def _image(segmenter: Segmenter) -> tuple[gr.Image, gr.Radio, gr.Button, gr.Button, gr.Markdown]:
    """Make the image and the controls of clicks."""
    can_click = segmenter.takes_points
    image = gr.Image(
        label="Click on the image" if can_click else "The image",
        interactive=False,
        format="jpeg",
        buttons=["fullscreen"],
        elem_id="image",
    )
    with gr.Row(elem_classes="tools"):
        sign = gr.Radio(SIGNS, value=1, label="A click marks", interactive=can_click, scale=2, elem_id="sign")
        undo = gr.Button("Undo", interactive=can_click, min_width=80, size="md", elem_id="undo")
        clear = gr.Button("Clear all", interactive=can_click, min_width=80, size="md", elem_id="clear")
    clicks = gr.Markdown(elem_id="clicks", elem_classes="note", visible=can_click)
    if can_click:
        gr.Markdown(words.LEGEND, elem_classes="note")
    return image, sign, undo, clear, clicks


def _downloads() -> tuple[gr.Button, list[gr.DownloadButton]]:
    """Make the buttons of the downloads, written on request: of thousands of nuclei that takes a while."""
    prepare = gr.Button("Make the files to take home", size="md", elem_id="prepare")
    with gr.Row():
        return prepare, [
            gr.DownloadButton(label, size="sm", min_width=90, interactive=False, elem_id=name)
            for label, name in (
                ("Mask (PNG)", "mask"),
                ("Outlines (GeoJSON)", "geojson"),
                ("Measurements (CSV)", "table"),
            )
        ]


def _automatic(segmenter: Segmenter) -> tuple[gr.Slider, gr.Radio, gr.Slider]:
    """Make the controls of automatic points."""
    first, can_choose = segmenter.first, segmenter.has_generator
    with gr.Accordion("Points that the program sets by itself", open=False, elem_id="automatic"):
        points = gr.Slider(
            0,
            max(MOST_POINTS, first.points),
            first.points,
            step=1,
            label="How many",
            info=words.POINTS,
            interactive=can_choose,
            elem_id="points",
        )
        selection = gr.Radio(
            SELECTIONS,
            value=first.selection,
            label="Where",
            info=words.SELECTION,
            interactive=can_choose,
            elem_id="selection",
        )
        threshold = gr.Slider(
            0.05,
            0.95,
            first.threshold,
            step=0.05,
            label="How sure it must be",
            info=words.THRESHOLD,
            interactive=can_choose,
            elem_id="threshold",
        )
    return points, selection, threshold
