"""MSRF-Net against its own Keras code: its parameter count, four outputs, edges, losses."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sac_lightning.baselines.losses import DiceCrossEntropy
from sac_lightning.baselines.msrf_net import MSRFNet
from sac_lightning.baselines.shape_stream import find_canny_edges
from sac_lightning.core.errors import UserError

# What the authors' model gave for the same weights and image under TensorFlow 2.15: probabilities at these places.
PLACES = ((0, 0), (0, 63), (63, 0), (63, 63), (5, 40), (31, 31), (32, 17), (50, 9))
OFFICIAL = {
    "mask": [0.7005667, 0.7307840, 0.7379246, 0.5941682, 0.2749105, 0.3907571, 0.6053428, 0.8316633],
    "half": [0.9208956, 0.7381089, 0.4166276, 0.7254882, 0.8427681, 0.8007204, 0.7613526, 0.7460677],
    "quarter": [0.4101940, 0.6922792, 0.5996767, 0.7004358, 0.5630746, 0.6307837, 0.4007462, 0.4825646],
    "edges": [0.5079026, 0.6886721, 0.5987287, 0.5327351, 0.5014250, 0.5117034, 0.5344282, 0.5253961],
}


@pytest.fixture
def small() -> MSRFNet:
    """Build a narrow MSRF-Net."""
    torch.manual_seed(0)
    return MSRFNet(width=8)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Make two images of 32 pixels, one with a square nucleus, the other all background."""
    masks = torch.zeros(2, 1, 32, 32)
    masks[0, :, 8:20, 10:24] = 1
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    return {"images": images, "masks": masks}


def test_the_official_size_has_as_many_numbers_as_the_keras_model() -> None:
    with torch.device("meta"):
        network = MSRFNet()
    numbers = [tensor.numel() for tensor in network.state_dict().values() if tensor.is_floating_point()]
    assert sum(numbers) == 18_595_607  # Keras counts BatchNorm's running means and variances, too
    assert sum(parameter.numel() for parameter in network.parameters()) == 18_592_397


def test_outputs_equal_those_of_the_official_code(
    fill: Callable[..., nn.Module], fixed_images: Callable[[int], Tensor]
) -> None:
    with torch.no_grad():
        outputs = fill(MSRFNet(), 1.03).outputs(fixed_images(64))
    for name, expected in OFFICIAL.items():
        probability = getattr(outputs, name).sigmoid()[0, 0]
        assert [probability[place].item() for place in PLACES] == pytest.approx(expected, rel=1e-4), name


def test_other_sizes_than_multiples_of_eight_are_refused(small: MSRFNet) -> None:
    with pytest.raises(UserError, match="multiple of 8"):
        small(torch.zeros(1, 3, 32, 36))


def test_other_widths_than_multiples_of_eight_are_refused() -> None:
    with pytest.raises(UserError, match="multiple of 8"):
        MSRFNet(width=12)


def test_logits_have_the_size_of_the_image_under_bfloat16_too(small: MSRFNet) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert small.eval()(torch.zeros(1, 3, 24, 40)).shape == (1, 1, 24, 40)


def test_every_parameter_learns_from_the_four_losses(small: MSRFNet, batch: dict[str, Tensor]) -> None:
    losses = small.losses(batch, DiceCrossEntropy())
    assert list(losses) == ["mask", "half", "quarter", "edges"]
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, parameter in small.named_parameters() if parameter.grad is None] == []


def test_losses_weigh_the_final_mask_twice(small: MSRFNet, batch: dict[str, Tensor]) -> None:
    class One(nn.Module):
        def forward(self, logits: Tensor, target: Tensor) -> Tensor:
            assert logits.shape == target.shape == (2, 1, 32, 32)
            return torch.ones(())

    losses = small.losses(batch, One())
    assert [losses[name].item() for name in ("mask", "half", "quarter")] == [2, 1, 1]


def test_an_all_background_image_alone_gives_finite_losses(small: MSRFNet, batch: dict[str, Tensor]) -> None:
    one = {"images": batch["images"][1:], "masks": batch["masks"][1:]}
    losses = small.losses(one, DiceCrossEntropy())
    assert all(loss.isfinite() for loss in losses.values())


def test_canny_edges_are_opencvs_of_the_rounded_image() -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 255
    edges = find_canny_edges(images)
    for image, edge in zip(images, edges, strict=True):
        array = np.ascontiguousarray(image.round().byte().permute(1, 2, 0).numpy())
        assert np.array_equal(edge[0].numpy() * 255, cv2.Canny(array, 10, 1000))
    assert 0 < edges.mean() < 1


def test_canny_edges_of_a_mask_are_its_boundary(batch: dict[str, Tensor]) -> None:
    edges = find_canny_edges(255 * batch["masks"])
    assert edges.shape == (2, 1, 32, 32)
    assert edges[0].sum() > 30
    assert edges[0, 0, 10:18, 12:22].sum() == 0
    assert edges[1].sum() == 0
