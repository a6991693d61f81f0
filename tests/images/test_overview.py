"""An image seen from afar, by the levels of its file or without any."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from sac_lightning.images import slide as limits
from sac_lightning.images.open_image import open_image
from sac_lightning.images.overview import reduce_slide

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 26, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
SMALL = IMAGE[::16, ::16]


def pyramid(path: Path) -> None:
    description = "Aperio Image Library v12\r\n416x320 [0,0 416x320] (16x16)|MPP = 0.5"
    with tifffile.TiffWriter(path) as file:
        for step in (1, 4, 2, 8):  # the second is the thumbnail
            part = np.ascontiguousarray(IMAGE[::step, ::step])
            file.write(part, photometric="rgb", tile=(16, 16), metadata=None, description=description)


def test_levels_are_slides(tmp_path: Path) -> None:
    pyramid(tmp_path / "a.svs")
    with open_image(tmp_path / "a.svs") as slide:
        assert slide.levels == ((320, 416), (160, 208), (40, 52))
        assert slide.open_level is not None
        level = slide.open_level(2)
        assert (level.height, level.width) == (40, 52)
        assert level.micrometres == pytest.approx((4, 4))
        assert np.array_equal(level.read(0, 40), IMAGE[::8, ::8])


@pytest.mark.parametrize("name", ["a.svs", "a.tif", "a.png"])
def test_the_whole_from_afar(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRIP_PIXELS", 5000)
    if name == "a.svs":
        pyramid(tmp_path / name)
    else:
        from PIL import Image

        Image.fromarray(IMAGE).save(tmp_path / name)
    with open_image(tmp_path / name) as slide:
        seen, factor = reduce_slide(slide, SMALL.shape[0] * SMALL.shape[1])
        assert factor == 16
        assert np.array_equal(seen, SMALL)
        whole, factor = reduce_slide(slide, 10**6)
        assert factor == 1
        assert np.array_equal(whole, IMAGE)
        assert reduce_slide(slide, 1)[0].shape == (1, 1, 3)
