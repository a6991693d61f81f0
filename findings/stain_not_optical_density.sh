#!/usr/bin/env bash
# scikit-image's stain channels are a sixth of the optical density that the paper it cites defines.
#
# rgb2hed cites Ruifrok and Johnston (2001), where the amount of a stain is an optical density: -log10 of the
# transmitted light, unmixed by the stains' matrix; QuPath reports such densities. scikit-image divides the logarithm
# by log(1e-6), so that a density of 6 becomes 1, and its page does not say so. The picture of the channel looks the
# same, and hed2rgb undoes the scale, so neither a plot nor a round trip shows it.
#
# It hurts whoever takes a threshold from a paper or from QuPath (a density of DAB above which a nucleus counts as
# positive) to rgb2hed: clearly stained nuclei fall below it and count as negative.
#
# Source: scikit-image, skimage/color/colorconv.py (separate_stains, log_adjust), pull request 4725.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6

cd "$tmp"
"$tmp/venv/bin/python" - <<'P'
import sys
from importlib.metadata import version

import numpy as np
from skimage.color import hed_from_rgb, rgb2hed, rgb_from_hed

densities = np.array([0.3, 0.0, 0.6])  # haematoxylin, eosin, DAB: a nucleus that is clearly positive
rgb = 10 ** -(densities @ rgb_from_hed)
by_the_paper = -np.log10(rgb) @ hed_from_rgb
seen = rgb2hed(rgb[None, None])[0, 0]
print(f"version  scikit-image {version('scikit-image')}")
print("expected haematoxylin, eosin, DAB", by_the_paper.round(3) + 0.0)
print("seen     haematoxylin, eosin, DAB", seen.round(3) + 0.0)
if not np.allclose(by_the_paper, densities) or not np.allclose(seen, densities / 6):
    sys.exit("changed: rgb2hed has another scale")
P
