"""From an image to the nucleus of each pixel: the one place where the predict command decides on instances."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sac_lightning.data.label_maps import renumber_labels
from sac_lightning.images.slide import Slide
from sac_lightning.images.tone import Tone
from sac_lightning.inference.every_prompt import refuse_size
from sac_lightning.inference.predictor import Predictor, empty_nuclei
from sac_lightning.inference.thresholds import EveryNucleus, EveryPrompt
from sac_lightning.inference.watershed import Maps, labels_of_maps, mask_threshold
from sac_lightning.slides.area import WHOLE, Area
from sac_lightning.slides.decoded_strips import decode_strips
from sac_lightning.slides.strips import Strip, segment_slide


@dataclass(frozen=True)
class Labelling:
    """What bands.join_strips needs to label the nuclei of an image.

    Attributes:
        strips: The image, from top to bottom.
        label: A part of it that cuts no connected region of the mask to the labels (H, W) of its nuclei.
        threshold: The mask is where the probability is greater.
    """

    strips: Iterator[Strip]
    label: Callable[[Maps], NDArray[np.int32]]
    threshold: float


def label_slide(
    predictor: Predictor,
    slide: Slide,
    tone: Tone,
    points: NDArray[np.float32],
    progress: Callable[[int], object] = lambda windows: None,
    area: Area = WHOLE,
) -> Labelling:
    """Label the nuclei of an image by the predictor's method.

    Components and watershed look at one connected region of the mask at a time, so a large image comes in parts.
    So do prompts of a model that decodes nuclei. Those of another need the embeddings of the whole image: it is
    one part, and not large.

    Args:
        predictor: The model, its view, its device and its method.
        slide: The image.
        tone: Its 8-bit colours.
        points: (N, 3) expert points, xy in image pixels and label; with boxes (N, 5), see
            nuclei_of_points.add_boxes.
        progress: Called with the number of windows that have been segmented since the last call.
        area: The part of the image in which nuclei are looked for.

    Raises:
        UserError: Every prompt is to be decoded by itself, and the image is large or there are expert points.
    """
    separation = predictor.separation
    if isinstance(separation, EveryNucleus):
        strips = segment_slide(predictor, slide, tone, points, progress=progress, area=area, encode=True)
        decoded = decode_strips(predictor, strips, (slide.height, slide.width), points)
        return Labelling(decoded, partial(_number_nuclei, separation.min_area), mask_threshold(separation))
    if not isinstance(separation, EveryPrompt):
        strips = segment_slide(predictor, slide, tone, points, progress=progress, area=area)
        return Labelling(strips, lambda maps: labels_of_maps(maps, separation), mask_threshold(separation))
    refuse_size(slide.height, slide.width, predictor.factor)
    raw = slide.read(0, slide.height)
    rgb = tone.rgb(raw)
    windows = predictor.view.windows(slide.height, slide.width)
    if any(map(area.meets, windows)):
        nuclei = predictor.segment(rgb, points[:, :2], points[:, 2])
    else:
        nuclei = empty_nuclei(slide.height, slide.width)
    area.clear_glass(nuclei.probability, 0)
    instances = renumber_labels(np.where(nuclei.probability > 0, nuclei.instances, 0))
    progress(len(windows))
    strip = Strip(raw, rgb, nuclei.probability, None, nuclei.points, nuclei.labels)
    return Labelling(iter([strip]), lambda maps: instances, mask_threshold(separation))


def _number_nuclei(min_area: int, maps: Maps) -> NDArray[np.int32]:
    """Number the nuclei of a part of an image that were decoded by themselves."""
    assert maps.nuclei is not None
    return renumber_labels(np.where(maps.mask, maps.nuclei, 0), min_area)
