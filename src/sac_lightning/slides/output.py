"""The files that predict writes for an image, filled from top to bottom."""

import csv
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image
from shapely import MultiPolygon, Polygon

from sac_lightning.core.files import whole_file, whole_folder
from sac_lightning.images.slide import Slide
from sac_lightning.inference.thresholds import THRESHOLD
from sac_lightning.slides.band import Band
from sac_lightning.slides.formats import FORMATS
from sac_lightning.slides.geojson_file import open_geojson
from sac_lightning.slides.measurements import Measurements, columns, measure_nuclei
from sac_lightning.slides.output_folder import OutputFolder
from sac_lightning.slides.overlay import Overlay
from sac_lightning.slides.row_store import RowStore, opens_in_imagej
from sac_lightning.slides.traced_outlines import outline_nuclei

# From this size on the mask is a TIFF file and the overlay a reduced JPEG: few programs open a larger PNG.
LARGE_PIXELS = 2**26
ZARR_FOLDERS = (FORMATS["ome-zarr"].folder, FORMATS["spatialdata"].folder)


class NucleiWriter(Protocol):
    """What takes nuclei as they come."""

    def add(self, shapes: list[Polygon | MultiPolygon], rows: list[Measurements]) -> None:
        """Add nuclei: the outline and the measurements of each."""


class Results:
    """The results of one image; all files appear when the block ends well, none otherwise."""

    def __init__(self, output: OutputFolder, stem: str, slide: Slide) -> None:
        """Args: output: its folders exist; stem: the image's name; slide: the image."""
        self.slide = slide
        self.is_large = slide.height * slide.width > LARGE_PIXELS
        self.output, self.stem = output, stem
        self.files = output.files(stem, self.is_large)
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        """Open files beside the results, which take their places in the end."""
        with ExitStack() as stack:
            self.partial = {kind: stack.enter_context(_whole(kind, path)) for kind, path in self.files.items()}
            self.masks = self._store(stack, np.uint8)
            self.labels = self._store(stack, np.uint32)
            self.probabilities = self._store(stack, np.float32) if "probabilities" in self.files else None
            self.overlay = Overlay(self.slide.height, self.slide.width, self.is_large)
            lines = stack.enter_context(self.partial["measurements"].open("w", newline="", encoding="utf-8"))
            self.table = csv.DictWriter(lines, columns(self.slide.micrometres))
            self.table.writeheader()
            geojson = open_geojson(self.partial["geojson"], self.output.compressed, self.slide.plane)
            self.writers: list[NucleiWriter] = [stack.enter_context(geojson)]
            self._open_formats(stack)
            self.highest = 0  # label
            self.stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the files in their places, or remove them after an error."""
        self.stack.__exit__(kind, error, trace)
        if error is None:
            self.output.remove_former(self.stem, self.files)

    def add(self, band: Band) -> None:
        """Add the nuclei that are new in a band, and the rows that are final."""
        rows = measure_nuclei(band.new, band.raw, band.top, self.slide.micrometres)
        self.table.writerows(rows)
        shapes = outline_nuclei(band.new, band.top)
        for writer in self.writers:
            writer.add(shapes, rows)
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
        if self.is_large:
            self._write_tiff(self.masks, "masks", np.uint8)
        else:
            mask = Image.fromarray(self.masks.read(0, self.masks.height))
            mask.save(self.partial["masks"], format="PNG")
        label_type = np.uint16 if self.highest <= np.iinfo(np.uint16).max else np.uint32
        self._write_tiff(self.labels, "labels", label_type)
        if self.probabilities is not None:
            self._write_tiff(self.probabilities, "probabilities", np.float32)
        self.overlay.write(self.partial["overlays"], points, signs)
        self._finish_formats(label_type)

    def _open_formats(self, stack: ExitStack) -> None:
        self.spatial_data = None
        if "imagej" in self.output.formats:
            from sac_lightning.slides.roi_set import open_roi_set

            path = self.partial[FORMATS["imagej"].folder]
            self.writers.append(stack.enter_context(open_roi_set(path, self.slide.plane)))
        if "spatialdata" in self.output.formats:
            from sac_lightning.slides.spatial_data import open_spatial_data

            path = self.partial[FORMATS["spatialdata"].folder]
            self.spatial_data = stack.enter_context(open_spatial_data(path, self.slide.micrometres))
            self.writers.append(self.spatial_data)

    def _finish_formats(self, label_type: DTypeLike) -> None:
        if self.spatial_data is not None:
            self.spatial_data.finish(self.labels, label_type)
        if "ome-zarr" in self.output.formats:
            from sac_lightning.slides.label_pyramid import write_ome_zarr

            path = self.partial[FORMATS["ome-zarr"].folder]
            write_ome_zarr(self.labels, path, label_type, self.slide.micrometres, self.stem)

    def _write_tiff(self, store: RowStore, kind: str, dtype: DTypeLike) -> None:
        store.write_tiff(self.partial[kind], dtype, self.slide.micrometres)
        if not opens_in_imagej(store.height, store.width, dtype):
            self.output.beyond_imagej.append(self.files[kind])

    def _store(self, stack: ExitStack, dtype: type[np.generic]) -> RowStore:
        folder = self.output.path
        return RowStore(stack.enter_context(tempfile.TemporaryFile(dir=folder)), self.slide.width, dtype)


def _whole(kind: str, path: Path) -> AbstractContextManager[Path]:
    """Return what makes a result appear whole, a file or a folder."""
    return whole_folder(path, replace=True) if kind in ZARR_FOLDERS else whole_file(path)
