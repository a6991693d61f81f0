"""What the compared networks share: the form of their input, and what the training asks of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(nn.Module, ABC):
    """A compared network: RGB images in 0..255 to logits of nucleus, and the losses that it is trained with."""

    def __init__(
        self,
        multiple: int = 1,
        image_size: int | None = None,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        """Says which images the network takes.

        Args:
            multiple: The sides of its input are multiples of this many pixels.
            image_size: The only side that it takes, where its structure is tied to one. None: any.
            mean: Of each channel, in 0..1; taken off the images.
            std: Likewise; the images are divided by it.

        Raises:
            UserError: ``image_size`` is no multiple.
        """
        super().__init__()
        self.multiple = multiple
        self.image_size = image_size
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        if image_size is not None:
            self.refuse_size(image_size, image_size)

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) RGB in 0..255 to logits (B, 1, H, W) of nucleus."""

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """The parts of the training loss of a batch, whose sum is minimised.

        Args:
            batch: Windows with their masks.
            mask_loss: Logits and target (B, 1, H, W) to a scalar.
        """
        return {"mask": mask_loss(self(batch["images"]).float(), batch["masks"])}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What trains, as an optimiser takes it: one group, unless some parameters need settings of their own."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]

    def start_epoch(self, epoch: int) -> None:
        """Called before each training batch with its epoch, the first being 0; for what changes on the way."""

    def load_pretrained(self) -> None:
        """Load the weights of the network's own pre-training, if it was built with some.

        Raises:
            UserError: They cannot be read, or do not fit.
        """

    def load_imagenet(self) -> str | None:
        """Downloads the ImageNet weights of the backbone into it.

        Returns:
            Which weights these are; None where the network has no pre-trained part.

        Raises:
            OSError: They cannot be had, as there is no network.
        """
        return None

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise images (B, 3, H, W) in 0..255; raise UserError if their size does not suit the network."""
        self.refuse_size(*images.shape[-2:])
        return (images / 255 - self.mean) / self.std

    def refuse_size(self, height: int, width: int) -> None:
        """Raises UserError where the network does not take images of this size."""
        name = type(self).__name__
        if self.image_size is not None and (height, width) != (self.image_size, self.image_size):
            raise UserError(
                f"this {name} takes {self.image_size}x{self.image_size} pixels, not {width}x{height}: its "
                f"parameters are tied to the size; set view.image_size={self.image_size}, or train one for yours"
            )
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"{name} cannot take {width}x{height} pixels: set view.image_size to a multiple of {self.multiple}"
            )
