"""The interface of the compared networks: the form of their input, and what the training needs from them.

Some can have the maps of a separating prompt generator as further heads, so that no row of an instance table is
handicapped; without them a network is its paper's, to the last parameter.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.heads import Heads, refuse_heads
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.prompt_generator import SEPARATING

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(nn.Module, ABC):
    """A compared network: RGB images in 0..255 to logits of nucleus, and the losses that it is trained with.

    Attributes:
        maps: Channels of its logits, see inference.windows.run_model: 1, or SEPARATING with separating heads.
    """

    def __init__(
        self,
        multiple: int = 1,
        image_size: int | None = None,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        heads: Heads | None = None,
    ) -> None:
        """Set which images the network accepts and how it normalises them.

        Args:
            multiple: The sides of the input must be multiples of this many pixels.
            image_size: The only side that the network accepts, if its structure is tied to one. None: any.
            mean: Mean of each channel, in 0..1; subtracted from the images.
            std: Standard deviation of each channel, in 0..1; the images are divided by it.
            heads: ``separating``: the network gives the four maps of prompt_generator.MASK. None: the mask alone.

        Raises:
            UserError: ``image_size`` is not a multiple of ``multiple``, or there are no such heads.
        """
        super().__init__()
        refuse_heads(heads)
        self.maps = SEPARATING if heads else 1
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
        """Map images (B, 3, H, W) RGB in 0..255 to logits (B, maps, H, W), of nucleus first."""

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """Return the parts of the training loss of a batch of a network with the mask alone; see SegmentationTask.

        Args:
            batch: Windows with their masks.
            mask_loss: Maps logits and target (B, 1, H, W) to a scalar.
        """
        return {"mask": mask_loss(self(batch["images"]).float(), batch["masks"])}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimiser's parameter groups: one, unless some parameters need settings of their own."""
        return [{"params": [parameter for parameter in self.parameters() if parameter.requires_grad]}]

    def start_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 0; called before each training batch."""

    def load_pretrained(self) -> None:
        """Load the weights of the network's own pre-training, if it was built with any.

        Raises:
            UserError: The weights cannot be read, or do not fit.
        """

    def load_imagenet(self) -> str | None:
        """Download the ImageNet weights of the backbone and load them into it.

        Returns:
            A name for these weights; None if there are none for the network.

        Raises:
            OSError: The weights cannot be downloaded.
        """
        return None

    def prepare(self, images: Tensor) -> Tensor:
        """Normalise images (B, 3, H, W) in 0..255; raise UserError if the network does not accept their size."""
        self.refuse_size(*images.shape[-2:])
        return (images / 255 - self.mean) / self.std

    def refuse_size(self, height: int, width: int) -> None:
        """Raise UserError if the network does not accept images of this size."""
        name = type(self).__name__
        if self.image_size is not None and (height, width) != (self.image_size, self.image_size):
            raise UserError(
                f"this {name} takes {self.image_size}x{self.image_size} pixels, not {width}x{height}: its "
                f"parameters depend on it; set view.image_size={self.image_size} or train one for your size"
            )
        if height % self.multiple or width % self.multiple:
            raise UserError(
                f"{name} cannot take {width}x{height} pixels: set view.image_size to a multiple of {self.multiple}"
            )
