"""The haematoxylin of tissue in two stains: nuclei stay, the other stain goes, in every part of an image alike."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import immunohistochemistry

from sac_lightning.core.errors import UserError
from sac_lightning.images.haematoxylin import unmix
from sac_lightning.images.open_image import open_image, read_image
from sac_lightning.images.selection import Selection
from sac_lightning.inference.predictor import load

BROWN, BLUE = (130, 80, 40), (110, 120, 170)


@pytest.mark.parametrize("name", ["haematoxylin", "Hematoxylin"])
def test_brown_goes_and_blue_stays(tmp_path: Path, name: str) -> None:
    image = np.full((40, 60, 3), 240, np.uint8)
    image[5:15, 5:15], image[20:30, 30:40] = BROWN, BLUE
    Image.fromarray(image).save(tmp_path / "a.png")
    taken = read_image(tmp_path / "a.png", Selection(channel=name))
    assert taken[10, 10, 0] > 200 > 180 > taken[25, 35, 0]
    with open_image(tmp_path / "a.png", Selection(channel=name)) as slide:
        assert np.array_equal(np.concatenate([slide.read(0, 13), slide.read(13, 40)]), taken)


def test_what_has_no_colours_of_8_bits_is_refused() -> None:
    for pixels in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16)):
        with pytest.raises(UserError, match="channel=haematoxylin is for stained tissue in colours of 8 bits"):
            unmix(pixels)


def test_the_shipped_model_finds_nuclei_beside_a_label() -> None:
    part = immunohistochemistry()[:256, 256:]
    shipped = load()
    found = [int(shipped.segment(image, mpp="off").instances.max()) for image in (part, unmix(part))]
    assert found[1] > 80
    assert found[1] > 2 * found[0]
