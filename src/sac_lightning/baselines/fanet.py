"""FANet (Tomar et al. 2021, "A Feedback Attention Network for Improved Biomedical Image Segmentation").

A U-shaped network that sees, besides the image, an earlier mask of it, which is pooled into every level (MixPool).
The first mask is Otsu's; in testing, each prediction is fed back, for ten passes in all.

MixPool combines that mask with a second one: a convolution of the features, cut at a hard threshold. No gradient
passes the threshold, so these convolutions keep their random initial weights: 982,088 of the 7,720,266 parameters.
They still matter, because they decide from the features, though at random, which pixels pass. So we keep them,
frozen; 6,738,178 parameters train.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sac_lightning.baselines.network import Network
from sac_lightning.baselines.squeeze_excitation import SqueezeExcitation
from sac_lightning.data.sample import TrainingBatch

LEVELS = 4


def find_otsu_masks(images: Tensor) -> Tensor:
    """Return the first masks: pixels brighter than Otsu's threshold on the grey image, blurred by a 5x5 Gaussian.

    Unlike the Otsu among the compared systems, this always marks the bright side: where nuclei are dark it marks
    everything else, and the network has to make use of that. An image of a single colour is marked everywhere,
    unless it is black.

    Args:
        images: (B, 3, H, W) RGB in 0..255.

    Returns:
        (B, 1, H, W) in {0, 1}.
    """
    pixels = images.detach().round().clamp(0, 255).to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    masks = np.stack([_mark_bright_side(image) for image in pixels])
    return torch.from_numpy(masks)[:, None].to(images.device, torch.float32)


def _mark_bright_side(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mask (H, W) in {0, 1} of an image (H, W, 3)."""
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    blurred = cv2.GaussianBlur(grey, (5, 5), 0)
    _, mask = cv2.threshold(blurred, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return mask.astype(np.uint8)


def _normalised_convolution(channels_in: int, channels_out: int, kernel_size: int) -> nn.Sequential:
    """Build a convolution that keeps the size, then BatchNorm.

    BatchNorm cancels the convolution's bias, which is kept for the official parameter count.
    """
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size, padding=kernel_size // 2),
        nn.BatchNorm2d(channels_out),
    )


class RecalibratedResidual(nn.Module):
    """Two 3x3 convolutions beside a 1x1 convolution whose channels are gated through a single hidden unit."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the layers from ``channels_in`` to ``channels_out`` channels."""
        super().__init__()
        self.convolutions = nn.Sequential(
            _normalised_convolution(channels_in, channels_out, 3),
            nn.ReLU(inplace=True),
            _normalised_convolution(channels_out, channels_out, 3),
        )
        # The official code gates the shortcut, not the sum, with a reduction equal to the number of channels.
        self.shortcut = nn.Sequential(
            _normalised_convolution(channels_in, channels_out, 1),
            SqueezeExcitation(channels_out, hidden=1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H, W)."""
        return F.relu(self.convolutions(features) + self.shortcut(features))


class RandomSelection(nn.Module):
    """The pixels at which a random convolution of the features is positive; it never trains."""

    def __init__(self, channels: int) -> None:
        """Build the frozen layers.

        Args:
            channels: Channels of the features.
        """
        super().__init__()
        self.projection = nn.Sequential(
            _normalised_convolution(channels, channels, 3), nn.ReLU(inplace=True), nn.Conv2d(channels, 1, 1)
        )
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) to a selection (B, 1, H, W) bool."""
        projected: Tensor = self.projection(features)
        return projected > 0


class MixPool(nn.Module):
    """Features where the mask or the random selection lets them pass, concatenated with the whole features."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: Channels of the features, in and out.
        """
        super().__init__()
        self.selection = RandomSelection(channels)
        self.selected = nn.Sequential(_normalised_convolution(channels, channels // 2, 3), nn.ReLU(inplace=True))
        self.whole = nn.Sequential(_normalised_convolution(channels, channels // 2, 3), nn.ReLU(inplace=True))

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Mix masks into features.

        Args:
            features: (B, C, h, w).
            masks: (B, 1, H, W) in {0, 1}; H is a multiple of h.

        Returns:
            (B, C, h, w).
        """
        pooled = F.max_pool2d(masks, masks.shape[-1] // features.shape[-1])
        passing = self.selection(features) | (pooled > 0)
        return torch.cat([self.selected(features * passing), self.whole(features)], dim=1)


class Level(nn.Module):
    """The layers at one resolution, the same in encoder and decoder."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the layers from ``channels_in`` to ``channels_out`` channels."""
        super().__init__()
        self.residuals = nn.Sequential(
            RecalibratedResidual(channels_in, channels_out), RecalibratedResidual(channels_out, channels_out)
        )
        self.mix = MixPool(channels_out)

    def forward(self, features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (B, C, h, w) and masks (B, 1, H, W) to (B, C', h, w), with and without masks mixed in."""
        features = self.residuals(features)
        return self.mix(features, masks), features


class FANet(Network):
    """Feedback attention network; 7,720,266 parameters at 32 channels, 6,738,178 of which train.

    In training, the official code feeds each image the mask that the network predicted for it in the best epoch so
    far by validation loss, and Otsu's mask until then. It rotates and flips the images anew in each epoch but not
    those masks, so that image and mask are not aligned. Our windows are drawn anew in each epoch, so they have no
    earlier mask. Our choice: a window gets Otsu's mask in epoch 0; later it gets the mask that the network, as it
    is just before the step, predicts for the window from Otsu's mask. Mask and window are aligned, nothing has to
    be stored, and a training that resumes from a checkpoint sees the same as an uninterrupted one.
    """

    def __init__(self, width: int = 32, feedback: int = 10) -> None:
        """Build the network.

        Args:
            width: Channels at full resolution, a multiple of 4; they double from level to level, over four levels.
            feedback: Number of passes of a prediction: the first with Otsu's mask, each of the others with the
                mask of the pass before.
        """
        super().__init__(multiple=2**LEVELS)
        channels = [width * 2**level for level in range(LEVELS)]
        self.encoders = nn.ModuleList(
            Level(below, above) for below, above in zip([3, *channels[:-1]], channels, strict=True)
        )
        self.upsamplings = nn.ModuleList(
            nn.ConvTranspose2d(c, c, kernel_size=4, stride=2, padding=1) for c in reversed(channels)
        )
        self.decoders = nn.ModuleList(Level(2 * c, c // 2) for c in reversed(channels))
        self.head = nn.Conv2d(width // 2 + 1, 1, kernel_size=1)
        self.feedback = feedback
        self.epoch = 0

    def start_epoch(self, epoch: int) -> None:
        """Remember the epoch; see Network."""
        self.epoch = epoch

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the last pass; see Network."""
        prepared = self.prepare(images)
        masks = find_otsu_masks(images)
        for _ in range(self.feedback - 1):
            found = self._find_masks(prepared, masks)
            if torch.equal(found, masks):
                break  # The remaining passes would all give the same mask.
            masks = found
        return self._logits(prepared, masks)

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """Return the loss of a single pass, with the mask that the class docstring describes; see Network."""
        prepared = self.prepare(batch["images"])
        masks = find_otsu_masks(batch["images"])
        if self.epoch > 0:
            masks = self._find_masks_in_eval(prepared, masks)
        return {"mask": mask_loss(self._logits(prepared, masks).float(), batch["masks"])}

    def _logits(self, prepared: Tensor, masks: Tensor) -> Tensor:
        """Run one pass: images (B, 3, H, W) in 0..1 and masks (B, 1, H, W) in {0, 1} to logits (B, 1, H, W)."""
        # Channels last is a third faster on a CPU at 8 features, and the layout that a GPU's bfloat16 convolutions
        # prefer.
        mixed = prepared.contiguous(memory_format=torch.channels_last)
        skips = []
        for encoder in self.encoders:
            mixed, features = encoder(mixed, masks)
            skips.append(features)
            mixed = F.max_pool2d(mixed, 2)
        for upsampling, decoder in zip(self.upsamplings, self.decoders, strict=True):
            mixed, _ = decoder(torch.cat([upsampling(mixed), skips.pop()], dim=1), masks)
        return self.head(torch.cat([mixed, masks], dim=1))  # type: ignore[no-any-return]

    def _find_masks(self, prepared: Tensor, masks: Tensor) -> Tensor:
        """Return the masks (B, 1, H, W) in {0, 1} that one pass predicts, without a gradient."""
        with torch.no_grad():
            found = (self._logits(prepared, masks) > 0).float()
        # Autocast caches the rounded weights. At least up to torch 2.9, those of this pass carry no gradient
        # (pytorch#158232), and the next pass, which would reuse them, would train nothing.
        torch.clear_autocast_cache()
        return found

    def _find_masks_in_eval(self, prepared: Tensor, masks: Tensor) -> Tensor:
        """Return the same masks, computed with BatchNorm's running statistics, which this pass leaves unchanged.

        The first pass of a prediction works this way. With the batch's own statistics the masks would differ from
        it, and each batch would enter the running statistics twice per step.
        """
        training = self.training
        self.eval()
        try:
            return self._find_masks(prepared, masks)
        finally:
            self.train(training)
