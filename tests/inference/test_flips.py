"""Mirror images: their mean answer is the same to an image and to its mirror image."""

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.core.view import View
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.windows import MIRRORED, Prediction, add_mirrored, mirror_points, segment
from sac_lightning.model.point_selection import PADDING
from sac_lightning.model.promptable import Segmentation

VIEW = View(image_size=None, crop=24, flips=True)


class Lopsided(nn.Module):
    """A network that is surer of nuclei further right and further down."""

    maps = 4

    def forward(self, images: Tensor) -> Tensor:
        columns = torch.linspace(-2, 2, images.shape[-1])
        rows = torch.linspace(-1, 1, images.shape[-2])[:, None]
        logits = (images.mean(1, keepdim=True) - 128) * 0.02 + columns + rows
        return logits * torch.arange(1.0, 5.0).view(1, 4, 1, 1)


def noise() -> Tensor:
    return torch.rand(3, 40, 56, generator=torch.Generator().manual_seed(0)) * 255


def maps_of(prediction: Prediction) -> list[Tensor]:
    assert prediction.generator_maps is not None
    return [prediction.probability, prediction.generator_maps]


@pytest.mark.parametrize("dimensions", MIRRORED)
def test_the_answer_to_a_mirror_image_is_the_mirrored_answer(dimensions: tuple[int, ...]) -> None:
    model = Lopsided().eval()
    for flips, same in ((True, True), (False, False)):
        view = View(image_size=None, crop=24, flips=flips)
        answer = maps_of(segment(model, noise(), view))
        mirrored = maps_of(segment(model, noise().flip(dimensions), view))
        close = [torch.allclose(a, b.flip(dimensions), atol=1e-6) for a, b in zip(answer, mirrored, strict=True)]
        assert close == [same, same]


def test_the_logits_are_the_mean_of_four() -> None:
    image = torch.full((3, 24, 24), 200.0)
    probability = segment(Lopsided().eval(), image, VIEW).probability
    torch.testing.assert_close(probability, torch.full((24, 24), 1.44).sigmoid())  # (200 - 128) * 0.02


@pytest.mark.parametrize("dimensions", MIRRORED)
def test_points_stay_on_their_pixels(dimensions: tuple[int, ...]) -> None:
    image = torch.zeros(1, 1, 20, 30)
    image[0, 0, 3, 7] = image[0, 0, 15, 29] = 1
    points = WindowPoints(torch.tensor([[[7.0, 3.0], [29.0, 15.0], [0.0, 0.0]]]), torch.tensor([[1, 0, PADDING]]))
    mirrored = mirror_points(points, dimensions, image.shape)
    assert mirrored is not None
    x, y = mirrored.coords[0, :2].long().T
    assert image.flip(dimensions)[0, 0, y, x].tolist() == [1, 1]
    assert mirrored.coords[0, 2].tolist() == [0, 0]


def test_a_model_that_takes_points_gets_them_mirrored() -> None:
    seen: list[WindowPoints | None] = []
    points = WindowPoints(torch.tensor([[[2.0, 1.0]]]), torch.tensor([[1]]))

    def run(images: Tensor, given: WindowPoints | None) -> Segmentation:
        seen.append(given)
        return Segmentation(images[:, :1], None, None, torch.zeros(1, 0, 2), torch.zeros(1, 0))

    images = torch.rand(1, 3, 8, 10)
    answer = add_mirrored(run(images, points), run, images, points)
    assert [each.coords[0, 0].tolist() for each in seen if each] == [[2, 1], [7, 1], [2, 6], [7, 6]]
    torch.testing.assert_close(answer.logits, images[:, :1])
    assert answer.generator_logits is None
