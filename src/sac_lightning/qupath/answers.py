"""Nuclei as QuPath's extension takes them: a list of GeoJSON features, in pixels of the image that was sent."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from sac_lightning.inference.predictor import Nuclei
from sac_lightning.slides.outlines import CLASS_COLOUR, CLASS_NAME, format_geometry
from sac_lightning.slides.traced_outlines import outline_nuclei

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

    Returns:
        One feature for each, by its number. Its quality is the mean probability of its pixels.
    """
    wanted = np.isin(nuclei.instances, list(numbers))
    rows = np.flatnonzero(wanted.any(axis=1))
    if not len(rows):
        return []
    band = slice(rows[0], rows[-1] + 1)
    instances = np.where(wanted[band], nuclei.instances[band], 0)
    areas = np.bincount(instances.ravel())
    sums = np.bincount(instances.ravel(), nuclei.probability[band].ravel())
    features = []
    for number, shape in zip(np.flatnonzero(areas[1:]) + 1, outline_nuclei(instances, int(rows[0])), strict=True):
        properties = {
            "objectType": "annotation",
            "classification": {"name": CLASS_NAME, "color": CLASS_COLOUR},
            "label": "nucleus",
            "quality": round(float(sums[number] / areas[number]), 4),
            "sam_model": model,
        }
        features.append({"type": "Feature", "geometry": format_geometry(shape), "properties": properties})
    return features
