"""Nuclei as QuPath's extension takes them: a list of GeoJSON features, in pixels of the image that was sent."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from sac_lightning.data.label_maps import find_boxes
from sac_lightning.inference.predictor import Nuclei
from sac_lightning.slides.outlines import CLASS_COLOUR, CLASS_NAME, format_geometry, outline

Feature: TypeAlias = dict[str, Any]


def format_nuclei(nuclei: Nuclei, numbers: Iterable[int], model: str) -> list[Feature]:
    """Format some nuclei as features.

    They are annotations along the edges of pixels, from the corner of the image's first. Those that answer a
    classified prompt get its class from the extension, others keep ours. An index (``object_idx``), which samapi
    sends, is left out: the extension would take it for a class.

    Args:
        nuclei: Of the image.
        numbers: Which of ``nuclei.instances``.
        model: Name of the model.
    """
    boxes = find_boxes(nuclei.instances).astype(int)
    features = []
    for number in numbers:
        left, top, right, bottom = boxes[number].tolist()
        place = slice(top, bottom), slice(left, right)
        mask = nuclei.instances[place] == number
        properties = {
            "objectType": "annotation",
            "classification": {"name": CLASS_NAME, "color": CLASS_COLOUR},
            "label": "nucleus",
            "quality": round(float(nuclei.probability[place][mask].mean()), 4),
            "sam_model": model,
        }
        geometry = format_geometry(outline(mask, left, top))
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return features
