"""Any architecture of segmentation-models-pytorch, with any of its encoders, as a compared network."""

import segmentation_models_pytorch
from torch import Tensor

from sac_lightning.baselines.network import IMAGENET_MEAN, IMAGENET_STD, Network
from sac_lightning.core.errors import UserError
from sac_lightning.core.heads import Heads, refuse_heads
from sac_lightning.model.prompt_generator import SEPARATING

ARCHITECTURES = segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING


class SMP(Network):
    """``segmentation_models_pytorch.create_model(arch, encoder)`` with one class, or one per map of ``heads``.

    Images are normalised with ImageNet's mean and standard deviation, whatever the encoder: the library would have
    to download the values that belong to each encoder.
    """

    def __init__(self, arch: str = "Unet", encoder: str = "resnet34", heads: Heads | None = None) -> None:
        """Build the network with random weights.

        Args:
            arch: Architecture, such as Unet, FPN, DeepLabV3Plus or Segformer; case does not matter.
            encoder: Encoder, such as resnet34 or mit_b2, or ``tu-`` followed by the name of a timm model.
            heads: See Network.

        Raises:
            UserError: The architecture or the encoder does not exist, or the two cannot be combined.
        """
        if arch.lower() not in ARCHITECTURES:
            known = ", ".join(sorted(made.__name__ for made in ARCHITECTURES.values()))
            raise UserError(f"model.arch is {arch}: choose among {known}")
        refuse_heads(heads)
        classes = SEPARATING if heads else 1
        try:
            network = segmentation_models_pytorch.create_model(
                arch, encoder, encoder_weights=None, classes=classes
            )
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"segmentation_models_pytorch has no {arch} with model.encoder={encoder}: choose another encoder, "
                "such as resnet34, mit_b2 or tu-convnext_tiny"
            ) from error
        multiple = network.encoder.output_stride if network.requires_divisible_input_shape else 1
        super().__init__(multiple=multiple, mean=IMAGENET_MEAN, std=IMAGENET_STD, heads=heads)
        self.arch = arch
        self.encoder = encoder
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        return self.network(self.prepare(images))  # type: ignore[no-any-return]

    def load_imagenet(self) -> str | None:
        """Download the encoder's ImageNet weights; see Network."""
        pretrained = segmentation_models_pytorch.create_model(self.arch, self.encoder, encoder_weights="imagenet")
        self.network.encoder.load_state_dict(pretrained.encoder.state_dict())
        return f"{self.encoder} of segmentation_models_pytorch"
