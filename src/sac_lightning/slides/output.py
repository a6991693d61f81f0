"""The files that predict writes for an image: which ones, and how they are filled from top to bottom."""

import csv
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.images.slide import Slide
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.slides.band import Band
from sac_lightning.slides.measurements import Measurements, columns, measure_nuclei
from sac_lightning.slides.outlines import feature, outline
from sac_lightning.slides.overlay import Overlay
from sac_lightning.slides.row_store import RowStore

# From this size on the mask is a tiled TIFF and the overlay a reduced JPEG: few programs open a larger PNG.
LARGE_PIXELS = 2**26
KINDS = ("masks", "labels", "overlays", "geojson", "measurements")


@dataclass(frozen=True)
class OutputFolder:
    """The folder of the results: a folder per kind in it, a file per image in each.

    Attributes:
        path: Of the folder.
        probability: Whether the probability is written as well.
    """

    path: Path
    probability: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the folders that are filled."""
        return (*KINDS, "probabilities") if self.probability else KINDS

    def make(self) -> None:
        """Make the folders.

        Raises:
            UserError: One cannot be made.
        """
        for kind in self.kinds:
            folder = self.path / kind
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"{folder} cannot be made ({error.strerror}): choose another output") from error

    def is_done(self, stem: str) -> bool:
        """Return whether all results of an image are there."""
        return all(self._has_result(kind, stem) for kind in self.kinds)

    def files(self, stem: str, is_large: bool) -> dict[str, Path]:
        """Return the path of each kind of result."""
        endings = {
            "masks": "tif" if is_large else "png",
            "labels": "tif",
            "overlays": "jpg" if is_large else "png",
            "geojson": "geojson",
            "measurements": "csv",
            "probabilities": "tif",
        }
        return {kind: self.path / kind / f"{stem}.{endings[kind]}" for kind in self.kinds}

    def _has_result(self, kind: str, stem: str) -> bool:
        return any(self.files(stem, is_large)[kind].exists() for is_large in (False, True))


class Results:
    """The results of one image; all files appear when the block ends well, none otherwise."""

    def __init__(self, output: OutputFolder, stem: str, slide: Slide) -> None:
        """Args: output: its folders exist; stem: the image's name; slide: the image."""
        self.slide = slide
        self.is_large = slide.height * slide.width > LARGE_PIXELS
        self.files = output.files(stem, self.is_large)
        self.folder = output.path
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        """Open files beside the results, which take their places in the end."""
        with ExitStack() as stack:
            self.partial = {kind: stack.enter_context(whole_file(path)) for kind, path in self.files.items()}
            self.masks = self._store(stack, np.uint8)
            self.labels = self._store(stack, np.uint32)
            self.probabilities = self._store(stack, np.float32) if "probabilities" in self.files else None
            self.overlay = Overlay(self.slide.height, self.slide.width, self.is_large)
            lines = stack.enter_context(self.partial["measurements"].open("w", newline="", encoding="utf-8"))
            self.table = csv.DictWriter(lines, columns(self.slide.micrometres))
            self.table.writeheader()
            self.geojson: TextIO = stack.enter_context(self.partial["geojson"].open("w", encoding="utf-8"))
            self.geojson.write('{"type": "FeatureCollection", "features": [')
            self.highest = 0  # label
            self.separator = "\n"
            self.stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the files in their places, or remove them after an error."""
        self.stack.__exit__(kind, error, trace)

    def add(self, band: Band) -> None:
        """Add the nuclei that are new in a band, and the rows that are final."""
        rows = measure_nuclei(band.new, band.raw, band.top, self.slide.micrometres)
        self.table.writerows(rows)
        self._add_outlines(band, rows)
        final = slice(band.final)
        self.masks.append((band.probability[final] > THRESHOLD).astype(np.uint8) * 255)
        self.labels.append(band.labels[final])
        self.highest = max(self.highest, int(band.new.max(initial=0)))
        self.overlay.append(band.rgb[final], band.labels[final])
        if self.probabilities is not None:
            self.probabilities.append(band.probability[final])

    def finish(self, points: NDArray[np.float32], signs: NDArray[np.int64]) -> None:
        """Write what had to wait for the last row.

        Args:
            points: (N, 2) xy in image pixels, all prompts.
            signs: (N,) 1 nucleus, 0 background.
        """
        self.geojson.write("\n]}\n")
        micrometres = self.slide.micrometres
        if self.is_large:
            self.masks.write_tiff(self.partial["masks"], np.uint8, micrometres)
        else:
            mask = Image.fromarray(self.masks.read(0, self.masks.height))
            mask.save(self.partial["masks"], format="PNG")
        label_type = np.uint16 if self.highest <= np.iinfo(np.uint16).max else np.uint32
        self.labels.write_tiff(self.partial["labels"], label_type, micrometres)
        if self.probabilities is not None:
            self.probabilities.write_tiff(self.partial["probabilities"], np.float32, micrometres)
        self.overlay.write(self.partial["overlays"], points, signs)

    def _add_outlines(self, band: Band, rows: list[Measurements]) -> None:
        boxes = ndimage.find_objects(band.new)
        for row in rows:
            label = int(row["label"])
            vertical, horizontal = boxes[label - 1]
            mask = band.new[vertical, horizontal] == label
            shape = outline(mask, horizontal.start, band.top + vertical.start)
            self.geojson.write(self.separator + feature(shape, row, self.slide.plane))
            self.separator = ",\n"

    def _store(self, stack: ExitStack, dtype: type[np.generic]) -> RowStore:
        return RowStore(stack.enter_context(tempfile.TemporaryFile(dir=self.folder)), self.slide.width, dtype)
