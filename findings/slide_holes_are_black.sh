#!/usr/bin/env bash
# Where a slide has no tissue, tiffslide and bioio have a black tile, and OpenSlide has nothing.
#
# Scanners leave out the tiles of empty glass: in the TIFF their offset and byte count are 0. OpenSlide returns them as
# transparent (alpha 0), which viewers show as white. tiffslide, made to be exchanged for it (the same properties, the
# same read_region), returns RGB without alpha, and black there; bioio's plug-in for TIFF does the same. Nothing
# warns, and on slides without holes all three agree to the last bit.
#
# It hurts whoever exchanges one for the other: a tissue mask by brightness takes empty glass for the darkest tissue,
# means of intensity and percentiles of stain shift, and a network for nuclei sees black with hard edges.
#
# Source: OpenSlide, read_region ("pixels that were not scanned are transparent"); tiffslide, TiffSlide.read_region.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check \
    tiffslide==3.0.1 openslide-python==1.4.7 openslide-bin==4.0.1.2 bioio==3.6.0 bioio-tifffile==1.3.1 \
    tifffile==2026.3.3 imagecodecs==2026.3.6

cd "$tmp"
"$tmp/venv/bin/python" -W ignore - <<'P'
import sys
from importlib.metadata import version

import bioio_tifffile
import numpy as np
import openslide
import tifffile
import tiffslide
from bioio import BioImage

glass = np.full((512, 512, 3), 243, np.uint8)
tifffile.imwrite("slide.tif", glass, photometric="rgb", tile=(256, 256), compression="jpeg", metadata=None)
with tifffile.TiffFile("slide.tif") as file:
    tables = [file.pages.first.tags[name].valueoffset for name in ("TileOffsets", "TileByteCounts")]
with open("slide.tif", "r+b") as content:
    for table in tables:  # the first tile is left out
        content.seek(table)
        content.write(bytes(4))

by_openslide = np.array(openslide.OpenSlide("slide.tif").read_region((0, 0), 0, (512, 512)))
by_tiffslide = np.array(tiffslide.TiffSlide("slide.tif").read_region((0, 0), 0, (512, 512)))
by_bioio = BioImage("slide.tif", reader=bioio_tifffile.Reader).get_image_data("YXS")
print("version ", *(f"{name} {version(name)}" for name in ("tiffslide", "openslide-python", "bioio", "bioio-tifffile")))
print("expected what is missing is transparent or white, as in OpenSlide:", by_openslide[0, 0])
print("seen     tiffslide", by_tiffslide[0, 0], "and bioio", by_bioio[0, 0], "where the tile is missing;",
      "elsewhere", by_openslide[300, 300, :3], by_tiffslide[300, 300], by_bioio[300, 300])
black = all((one[0, 0, :3] == 0).all() for one in (by_tiffslide, by_bioio))
same = all((one[300, 300, :3] == by_openslide[300, 300, :3]).all() for one in (by_tiffslide, by_bioio))
if by_openslide[0, 0, 3] != 0 or not black or not same:
    sys.exit("changed: missing tiles are no longer black in tiffslide and bioio")
P
