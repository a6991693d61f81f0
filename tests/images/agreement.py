"""Compare our reader with independent ones, layout by layout.

``python -m tests.images.agreement`` prints the table of docs/image-files.md, of the readers that are installed;
``BIOFORMATS_JAR=bioformats_package.jar`` adds Bio-Formats, which needs Java. Names of layouts limit it to these.
"""

import os
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tests.images.extra_layouts import EXTRA_COLOURS, EXTRA_STACKS
from tests.images.layouts import COLOURS, STACKS
from tests.images.references import REFERENCES, Found, Reference, name_version

from sac_lightning.images.open_image import open_image
from sac_lightning.images.selection import DEFAULT, Selection

LAYOUTS = {**COLOURS, **EXTRA_COLOURS, **STACKS, **EXTRA_STACKS}
MODULES = {"openslide-python": "openslide"}


def is_stack(name: str) -> bool:
    return name in STACKS or name in EXTRA_STACKS


def by_us(path: Path, in_stack: bool) -> Found:
    selection = Selection(page=2, channel=2) if in_stack else DEFAULT
    with open_image(path, selection) as slide:
        return Found(slide.read(0, slide.height), slide.levels or None, slide.micrometres)


def compare(ours: Found, theirs: Found) -> dict[str, str]:
    """Return for pixels, levels and size whether both say the same: ``=``, what differs, or ``-`` for silence."""
    told = {"pixels": _compare_pixels(ours, theirs), "levels": "-", "size": "-"}
    if theirs.levels is not None and ours.levels is not None:
        told["levels"] = "=" if theirs.levels == ours.levels else f"{len(theirs.levels)}"
    if theirs.micrometres is not None and ours.micrometres is not None:
        same = np.allclose(theirs.micrometres, ours.micrometres, rtol=1e-3)
        told["size"] = "=" if same else "{:.3g}x{:.3g}".format(*theirs.micrometres)
    return told


def _compare_pixels(ours: Found, theirs: Found) -> str:
    if ours.pixels.shape != theirs.pixels.shape:
        return "x".join(map(str, theirs.pixels.shape))
    difference = np.abs(ours.pixels.astype(np.int64) - theirs.pixels)
    if not difference.any():
        return "="
    if ours.pixels.ndim == 3:
        holes = (ours.pixels == 255).all(axis=2) & (theirs.pixels == 0).all(axis=2)
        black = ", holes black" if holes.any() else ""
        if not difference[~holes].any():
            return f"={black}"
        if np.array_equal(ours.pixels[~holes], theirs.pixels[~holes][:, ::-1]):
            return f"red and blue swapped{black}"
    return f"±{difference.max()}"


def _installed() -> dict[str, Reference]:
    there = {name: one for name, one in REFERENCES.items() if find_spec(MODULES.get(name, name))}
    if "BIOFORMATS_JAR" in os.environ:
        there["Bio-Formats"] = REFERENCES["Bio-Formats"]
    return there


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    references = _installed()
    print("| layout | " + " | ".join(map(name_version, references)) + " |")
    print("| --- |" + " --- |" * len(references))
    with tempfile.TemporaryDirectory() as folder:
        for name, make in LAYOUTS.items():
            if sys.argv[1:] and name not in sys.argv[1:]:
                continue
            path = Path(folder) / name
            make(path)
            ours, cells = by_us(path, is_stack(name)), []
            for ask in references.values():
                try:
                    told = compare(ours, ask(path, is_stack(name)))
                    cells.append("; ".join(told.values()))
                except Exception as error:
                    cells.append("")
                    if os.environ.get("WHY"):
                        print("    ", name, ask.__name__, repr(error)[:200])
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
