#!/usr/bin/env bash
# A stained slide in Zeiss' CZI comes out of bioio with red and blue exchanged.
#
# CZI stores colour as blue, green, red. Zeiss' own pylibCZIrw hands it on in that order and says so (Bgr24). bioio-czi,
# which reads by it, calls the axis S, as all plug-ins of bioio do for red, green, blue, and leaves the order. czifile
# turns it round, as Bio-Formats does. Nothing warns; eosin becomes blue and haematoxylin brown.
#
# It hurts whoever deconvolves stains, normalises colour or segments nuclei of H&E from CZI through bioio: both stains
# are exchanged, and grey images, on which readers are mostly tried, look right.
#
# Source: pylibCZIrw, CziReader.PIXEL_TYPES (memory order B, G, R); bioio, Dimensions ("S" are samples, RGB).
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check \
    bioio==3.6.0 bioio-czi==3.0.1 pylibCZIrw==6.1.0 czifile==2019.7.2.3 tifffile==2026.3.3 numpy==2.4.6

cd "$tmp"
"$tmp/venv/bin/python" -W ignore - <<'P'
import sys
from importlib.metadata import version

import bioio_czi
import czifile
import numpy as np
from bioio import BioImage
from pylibCZIrw import czi

eosin = (230, 120, 160)  # red, green, blue
with czi.create_czi("slide.czi") as file:
    blue_green_red = np.full((64, 64, 3), eosin[::-1], np.uint8)
    file.write(blue_green_red)
    file.write_metadata("slide")

by_bioio = BioImage("slide.czi", reader=bioio_czi.Reader)
pixel = tuple(map(int, by_bioio.get_image_data("YXS")[0, 0]))
other = tuple(map(int, czifile.imread("slide.czi").reshape(-1, 3)[0]))
print("version ", *(f"{name} {version(name)}" for name in ("bioio", "bioio-czi", "pylibCZIrw", "czifile")))
print(f"expected red, green, blue {eosin}, as czifile has it: {other}")
print(f"seen     {pixel} along the axes {by_bioio.dims.order}")
if other != eosin or pixel != eosin[::-1]:
    sys.exit("changed: bioio-czi no longer exchanges red and blue")
P
