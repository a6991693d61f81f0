"""Nuclei as a GeoJSON file for QuPath, written one after the other."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shapely import MultiPolygon, Polygon

from sac_lightning.images.selection import Plane
from sac_lightning.slides.measurements import Measurements
from sac_lightning.slides.outlines import feature

COMPRESSION_LEVEL = 6


class GeojsonFile:
    """A collection of nuclei that is being written."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, plane: Plane | None) -> None:
        """Args: file: for the text; plane: of the stack in which the nuclei lie."""
        self.file, self.plane = file, plane
        self.separator = "\n"

    def add(self, shapes: list[Polygon | MultiPolygon], rows: list[Measurements]) -> None:
        """Add nuclei: the outline and the measurements of each."""
        for shape, row in zip(shapes, rows, strict=True):
            self.file.write((self.separator + feature(shape, row, self.plane)).encode())
            self.separator = ",\n"


@contextmanager
def open_geojson(path: Path, compressed: bool, plane: Plane | None) -> Iterator[GeojsonFile]:
    """Open a GeoJSON file to write nuclei to.

    Args:
        path: Of the file.
        compressed: Whether by gzip, which QuPath reads from 0.4 on in a file NAME.geojson.gz.
        plane: Of the stack in which the nuclei lie; QuPath shows them there.
    """
    with path.open("wb") as file, _text_file(file, compressed) as text:
        text.write(b'{"type":"FeatureCollection","features":[')
        yield GeojsonFile(text, plane)
        text.write(b"\n]}\n")


def _text_file(file: BinaryIO, compressed: bool) -> BinaryIO | gzip.GzipFile:
    """Return what takes the text; compressed without name and time, so that the same nuclei are the same bytes."""
    return gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0) if compressed else file
