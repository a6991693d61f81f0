"""How many nuclei an image has, counted while its bands come."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sac_lightning.inference.doubt import count_unsure
from sac_lightning.slides.area import Area
from sac_lightning.slides.band import Band

PER_MM2 = 1e6
"""Square micrometres of a square millimetre."""


@dataclass(frozen=True)
class Counts:
    """What was counted of an image.

    Attributes:
        nuclei: How many there are.
        area: Pixels in which nuclei were looked for: the tissue in the regions.
        covered: How many of these are nucleus.
        median_area: Of the nuclei in pixels; None: there are none.
        unsure: Of how many pixels the model is unsure, by how many it takes for nuclei.
    """

    nuclei: int
    area: int
    covered: int
    median_area: float | None
    unsure: float = 0.0

    @property
    def cover(self) -> float:
        """The part of the area that nuclei cover."""
        return self.covered / self.area if self.area else 0.0

    def row(self, side: float | None, doubts: tuple[str, ...]) -> dict[str, float | str | None]:
        """Return the image's row of the summary, without its name; None stands for what is not known.

        Args:
            side: Of a pixel in micrometres, if it is known.
            doubts: A sentence each.
        """
        pixel = None if side is None else side * side
        area_um2 = None if pixel is None else self.area * pixel
        median = None if pixel is None or self.median_area is None else round(self.median_area * pixel, 3)
        return {
            "nuclei": self.nuclei,
            "area": self.area,
            "area_um2": None if area_um2 is None else round(area_um2, 2),
            "density_per_mm2": round(self.nuclei / area_um2 * PER_MM2, 2) if area_um2 else None,
            "cover": round(self.cover, 4),
            "median_area": self.median_area,
            "median_area_um2": median,
            "warnings": "; ".join(doubts),
        }


class Counter:
    """The counts of an image, band by band."""

    def __init__(self, area: Area) -> None:
        """Args: area: in which nuclei are looked for."""
        self.area = area
        self.looked_at = self.covered = self.unsure = self.nuclear = 0
        self.areas: list[NDArray[np.int64]] = []

    def add(self, band: Band) -> None:
        """Count the nuclei that are new in a band, and the pixels of its final rows."""
        sizes = np.bincount(band.new.ravel())[1:]
        self.areas.append(sizes[sizes > 0])
        inside = self.area.draw(band.top, band.top + band.final, band.labels.shape[1])
        self.looked_at += int(inside.sum())
        self.covered += int((inside & (band.labels[: band.final] > 0)).sum())
        unsure, nuclear = count_unsure(band.probability[: band.final][inside])
        self.unsure += unsure
        self.nuclear += nuclear

    def finish(self) -> Counts:
        """Return the counts of all bands."""
        areas = np.concatenate([np.zeros(0, dtype=np.int64), *self.areas])
        median = float(np.median(areas)) if len(areas) else None
        return Counts(len(areas), self.looked_at, self.covered, median, self.unsure / max(self.nuclear, 1))
