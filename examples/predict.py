"""Find the nuclei in image files: print how many there are in each, and write its label map.

    python examples/predict.py checkpoint.ckpt image.png another.png --output labels

A label map is a TIFF of the image's size: 0 is background, and the pixels of nucleus n hold n.
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import sac_lightning


def main() -> None:
    """Segment the images that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=Path("labels"))
    arguments = parser.parse_args()

    predictor = sac_lightning.load(arguments.checkpoint)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for path in arguments.images:
        nuclei = predictor.segment(np.asarray(Image.open(path).convert("RGB")))
        tifffile.imwrite(arguments.output / f"{path.stem}.tif", nuclei.instances)
        print(f"{path.name}: {nuclei.instances.max()} nuclei on {nuclei.mask.mean():.1%} of the image")


if __name__ == "__main__":
    main()
