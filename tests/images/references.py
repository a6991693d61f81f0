"""Independent readers of image files, each asked for the pixels, resolutions and sizes of pixels of one image."""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Found:
    """What a reader says of an image.

    Attributes:
        pixels: (H, W) or (H, W, 3).
        levels: Height and width of each resolution; None: it has no notion of them.
        micrometres: Width and height of a pixel; None: it says none.
    """

    pixels: NDArray[Any]
    levels: tuple[tuple[int, int], ...] | None = None
    micrometres: tuple[float, float] | None = None


# Of a stack, the plane at depth 1, channel 1, both from 0; else the picture in colour.
Reference = Callable[[Path, bool], Found]


def by_openslide(path: Path, in_stack: bool) -> Found:
    import openslide

    first = sorted(path.glob("*.dcm"))[0] if path.is_dir() else path
    with openslide.OpenSlide(first) as slide:
        return _read_slide(slide)


def by_tiffslide(path: Path, in_stack: bool) -> Found:
    import tiffslide

    with tiffslide.TiffSlide(path) as slide:
        return _read_slide(slide)


def _read_slide(slide: Any) -> Found:
    """Read by the interface that OpenSlide and its followers have; nothing is white."""
    width, height = slide.dimensions
    bounds = [slide.properties.get(f"openslide.bounds-{key}") for key in ("x", "y", "width", "height")]
    left, top, wide, high = (0, 0, width, height) if None in bounds else map(int, bounds)
    pixels = np.array(slide.read_region((left, top), 0, (wide, high)))
    if pixels.shape[2] == 4:
        pixels[pixels[:, :, 3] == 0] = 255
    levels = tuple((round(high / factor), round(wide / factor)) for factor in slide.level_downsamples)
    prefix = "openslide" if "openslide.vendor" in slide.properties else "tiffslide"
    size = [slide.properties.get(f"{prefix}.mpp-{axis}") for axis in "xy"]
    return Found(pixels[:, :, :3], levels, None if None in size else (float(size[0]), float(size[1])))


def by_wsidicom(path: Path, in_stack: bool) -> Found:
    from wsidicom import WsiDicom

    with WsiDicom.open(path) as slide:
        levels = tuple((level.size.height, level.size.width) for level in slide.levels)
        pixels = np.array(slide.read_region((0, 0), 0, (slide.size.width, slide.size.height)))
        return Found(pixels, levels, (slide.mpp.width, slide.mpp.height))


def by_bioio(path: Path, in_stack: bool) -> Found:
    from bioio import BioImage

    image = BioImage(path)
    sizes = image.physical_pixel_sizes
    micrometres = None if not sizes.X or not sizes.Y else (sizes.X, sizes.Y)
    levels = None
    if len(image.resolution_level_dims) > 1:
        # Height and width are the last, but for samples.
        last = -1 if image.dims.order.endswith("X") else -2
        shapes = [shape[:last] + shape[last:][:1] for shape in image.resolution_level_dims.values()]
        levels = tuple((shape[-2], shape[-1]) for shape in shapes)
    if in_stack:
        return Found(image.get_image_data("YX", Z=1, C=1, T=0), levels, micrometres)
    if "S" in image.dims.order:
        return Found(image.get_image_data("YXS", Z=0, C=0, T=0), levels, micrometres)
    return Found(image.get_image_data("YXC", Z=0, T=0), levels, micrometres)


def by_czifile(path: Path, in_stack: bool) -> Found:
    from czifile import CziFile

    with CziFile(path) as file:
        if in_stack:
            where = tuple({"Z": 1, "C": 1, "Y": slice(None), "X": slice(None)}.get(axis, 0) for axis in file.axes)
            return Found(file.asarray()[where])
        # Version 2019.7.2 joins scenes: the first alone, in the order red, green, blue. Holes are 0.
        where = tuple(
            {"Y": slice(0, 720), "X": slice(0, 1240), "0": slice(None)}.get(axis, 0) for axis in file.axes
        )
        # What no tile covers is left as it was.
        pixels = file.asarray(out=np.zeros(file.shape, file.dtype))[where]
        pixels[(pixels == 0).all(axis=2)] = 255
        return Found(pixels)


def by_readlif(path: Path, in_stack: bool) -> Found:
    from readlif.reader import LifFile

    image = LifFile(str(path)).get_image(0)
    size = (1 / image.scale[0], 1 / image.scale[1])
    return Found(np.array(image.get_frame(z=int(in_stack), c=int(in_stack))), None, size)


def by_bioformats(path: Path, in_stack: bool) -> Found:
    """Ask Java's Bio-Formats: its largest series, and the plane that it converts to TIFF."""
    import tifffile

    first = sorted(path.glob("*full.dcm"))[0] if path.is_dir() and list(path.glob("*.dcm")) else path
    if first.is_dir():
        raise ValueError("this version reads no OME-Zarr")
    xml = _run_java("ImageInfo", "-nopix", "-omexml-only", "-no-upgrade", str(first))
    images = re.findall(r"<Pixels\b[^>]*>", xml)
    values = [dict(re.findall(r'(\w+)="([^"]*)"', image)) for image in images]
    largest = max(range(len(values)), key=lambda index: int(values[index]["SizeX"]) * int(values[index]["SizeY"]))
    one = values[largest]
    size = None
    if "PhysicalSizeX" in one and "PhysicalSizeY" in one:
        unit = {"µm": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6}
        size = tuple(
            float(one[f"PhysicalSize{axis}"]) * unit[one.get(f"PhysicalSize{axis}Unit", "µm")] for axis in "XY"
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "plane.tif"
        plane = ["-z", "1", "-channel", "1"] if in_stack else []
        _run_java("ImageConverter", "-no-upgrade", "-series", str(largest), *plane, str(first), str(target))
        pixels = tifffile.imread(target)
    if pixels.ndim == 3 and pixels.shape[0] == 3:
        pixels = np.moveaxis(pixels, 0, 2)
    return Found(pixels, None, size)


def _run_java(tool: str, *arguments: str) -> str:
    command = ["java", "-Xmx1g", "-cp", os.environ["BIOFORMATS_JAR"], f"loci.formats.tools.{tool}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def name_version(package: str) -> str:
    """Return a reader's name with its version."""
    if package == "Bio-Formats":
        found = re.search(r"Version: (\S+)", _run_java("ImageInfo", "-version"))
        return f"Bio-Formats {found[1] if found else ''}"
    return f"{package} {version(package)}"


REFERENCES: dict[str, Reference] = {
    "openslide-python": by_openslide,
    "tiffslide": by_tiffslide,
    "wsidicom": by_wsidicom,
    "bioio": by_bioio,
    "czifile": by_czifile,
    "readlif": by_readlif,
    "Bio-Formats": by_bioformats,
}
