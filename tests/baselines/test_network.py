"""What all compared networks share: their input, the sizes that they reject, their place in the training."""

import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sac_lightning.core.errors import UserError


class Brightness(Network):
    """A network that returns the mean of the normalised channels times one trained factor."""

    def __init__(self, **about: object) -> None:
        super().__init__(**about)  # type: ignore[arg-type]
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * self.prepare(images).mean(1, keepdim=True)


def test_images_are_normalised_by_the_channel() -> None:
    red = torch.zeros(1, 3, 2, 2)
    red[:, 0] = 255
    prepared = Brightness(mean=IMAGENET_MEAN, std=IMAGENET_STD).prepare(red)
    assert prepared[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert Brightness().prepare(red).max() == 1


def test_a_size_that_does_not_suit_is_refused_with_one_that_does() -> None:
    with pytest.raises(UserError, match=r"Brightness cannot take 40x24 pixels: .* multiple of 16"):
        Brightness(multiple=16)(torch.zeros(1, 3, 24, 40))
    with pytest.raises(UserError, match="takes 32x32 pixels, not 64x32"):
        Brightness(multiple=16, image_size=32)(torch.zeros(1, 3, 32, 64))
    with pytest.raises(UserError, match="multiple of 16"):
        Brightness(multiple=16, image_size=40)


def test_the_loss_is_the_given_one_of_the_only_output() -> None:
    images, masks = torch.full((2, 3, 4, 4), 255.0), torch.ones(2, 1, 4, 4)
    losses = Brightness().losses({"images": images, "masks": masks}, nn.MSELoss())  # type: ignore[typeddict-item]
    assert losses["mask"].item() == 0


def test_what_is_frozen_is_in_no_group_of_the_optimiser() -> None:
    network = Brightness()
    network.other = nn.Parameter(torch.zeros(3), requires_grad=False)
    (group,) = network.parameter_groups()
    assert group["params"] == [network.factor]


def test_the_normalisation_is_no_part_of_a_checkpoint() -> None:
    assert set(Brightness().state_dict()) == {"factor"}
