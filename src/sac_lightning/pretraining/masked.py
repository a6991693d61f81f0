"""The LightningModule of MDM's pre-training (Pan et al. 2023): a U-Net restores images with hidden patches."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from sac_lightning.baselines.diffusion_unet import DiffusionUNet
from sac_lightning.baselines.mdm import STEPS, hide_patches, make_generators
from sac_lightning.data.sample import TrainingBatch

SSIM_WINDOW = 5
SSIM_SIGMA = 1.5
SSIM_CONSTANTS = (0.01**2, 0.03**2)
"""Meant for values with a range of 1, although the images are in -1..1; the official code does the same."""


class MaskedPretraining(LightningModule):
    """The training, without labels, of a diffusion U-Net to restore windows with hidden patches.

    A random share of the patches is hidden. The weights are those of the last step. The official code also keeps
    an exponential moving average of them (with a decay of 0.9999 per step) and does not say which of the two it
    uses afterwards. Our choice is the last step's: after a training of a few thousand steps, such an average would
    still be mostly the random initial weights.
    """

    def __init__(self, unet: DiffusionUNet, optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]) -> None:
        """Set up the training.

        Args:
            unet: The network to train.
            optimizer: Builds an optimiser from parameters.
        """
        super().__init__()
        self.unet = unet
        self.make_optimizer = optimizer

    def training_step(self, batch: TrainingBatch) -> Tensor:
        """Return the dissimilarity of a batch's windows and the U-Net's restorations; the masks are not used.

        Each window has its own step in 0..999, which sets the share of its patches that is hidden. Both are drawn
        from the window's seed and the epoch, so that a resumed run draws the same as an uninterrupted one.
        """
        images = batch["images"] / 127.5 - 1
        sources = make_generators(batch["seeds"] + (self.current_epoch << 31))
        steps = torch.cat([torch.randint(STEPS, (1,), generator=source) for source in sources]).to(images.device)
        restored = self.unet(hide_patches(images, steps, sources), steps)
        loss = dissimilarity(images, restored)
        self.log("train/dissimilarity", loss.detach(), on_step=False, on_epoch=True, batch_size=len(images))
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def configure_optimizers(self) -> Optimizer:
        """Build the optimiser over the U-Net."""
        return self.make_optimizer(self.unet.parameters())


def dissimilarity(images: Tensor, restored: Tensor) -> Tensor:
    """Return the structural dissimilarity (1 - SSIM) / 2, clamped to 0..0.5, as the mean over pixels and channels.

    It uses 5x5 windows with Gaussian weights, and zeros beyond the border; torchmetrics' SSIM has windows of
    another size and leaves the border out. It is computed in float32, because variances are differences of means.

    Args:
        images: (B, 3, H, W) in -1..1.
        restored: (B, 3, H, W) in -1..1.
    """
    with torch.autocast(images.device.type, enabled=False):
        x, y = images.float(), restored.float()
        mean_x, mean_y, square_x, square_y, product = _average_locally([x, y, x * x, y * y, x * y])
        variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
        covariance = product - mean_x * mean_y
        small, smaller = SSIM_CONSTANTS[1], SSIM_CONSTANTS[0]
        luminance = (2 * mean_x * mean_y + smaller) / (mean_x**2 + mean_y**2 + smaller)
        structure = (2 * covariance + small) / (variance_x + variance_y + small)
        return ((1 - luminance * structure).clamp(0, 1) / 2).mean()


def _average_locally(maps: list[Tensor]) -> tuple[Tensor, ...]:
    """Average each of the maps (B, 3, H, W) in a Gaussian window around each pixel."""
    offsets = torch.arange(SSIM_WINDOW, device=maps[0].device) - SSIM_WINDOW // 2
    profile = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    profile = profile / profile.sum()
    stacked = torch.cat(maps, dim=1)
    weights = torch.outer(profile, profile).expand(stacked.shape[1], 1, -1, -1)
    return F.conv2d(stacked, weights, padding=SSIM_WINDOW // 2, groups=stacked.shape[1]).chunk(len(maps), dim=1)
