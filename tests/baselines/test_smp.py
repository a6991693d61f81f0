"""Architectures of segmentation-models-pytorch behind our interface."""

import pytest
import segmentation_models_pytorch
import torch

from sac_lightning.baselines.network import IMAGENET_MEAN, IMAGENET_STD
from sac_lightning.baselines.smp import SMP
from sac_lightning.core.errors import UserError


@pytest.mark.parametrize(
    ("arch", "encoder"),
    [("Unet", "resnet18"), ("FPN", "mobilenet_v2"), ("Segformer", "mit_b0"), ("unet", "tu-resnet18")],
)
def test_the_network_is_the_librarys_on_normalised_images(arch: str, encoder: str) -> None:
    ours = SMP(arch, encoder).eval()
    theirs = segmentation_models_pytorch.create_model(arch, encoder, encoder_weights=None).eval()
    theirs.load_state_dict(ours.network.state_dict())
    images = torch.rand(1, 3, 64, 96) * 255
    normalised = (images / 255 - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
        3, 1, 1
    )
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(normalised))
    assert ours(images).shape == (1, 1, 64, 96)


def test_what_the_library_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.arch is Nonet: choose among .*DeepLabV3Plus.* Unet"):
        SMP("Nonet")
    with pytest.raises(UserError, match=r"no Unet with model.encoder=nothing"):
        SMP("Unet", "nothing")
    with pytest.raises(UserError, match=r"no DPT with model.encoder=resnet34"):
        SMP("DPT", "resnet34")


def test_sizes_that_do_not_suit_are_refused() -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        SMP("FPN", "resnet18")(torch.zeros(1, 3, 40, 64))


def test_imagenet_weights_go_into_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = SMP("Unet", "resnet18")
    pretrained = SMP("Unet", "resnet18").network
    monkeypatch.setattr(segmentation_models_pytorch, "create_model", lambda *_, **__: pretrained)
    head = {name: tensor.clone() for name, tensor in ours.network.decoder.state_dict().items()}
    assert ours.load_imagenet() == "resnet18 of segmentation_models_pytorch"
    for name, tensor in ours.network.encoder.state_dict().items():
        assert torch.equal(tensor, pretrained.encoder.state_dict()[name]), name
    assert all(torch.equal(tensor, head[name]) for name, tensor in ours.network.decoder.state_dict().items())
