"""The LightningModule of MDM's pre-training (Pan et al. 2023): a U-Net restores images with hidden patches."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from sac_lightning.baselines.diffusion_unet import DiffusionUNet
from sac_lightning.baselines.mdm import STEPS, generators, hide_patches
from sac_lightning.data.sample import TrainingBatch

SSIM_WINDOW = 5
SSIM_SIGMA = 1.5
SSIM_CONSTANTS = (0.01**2, 0.03**2)
"""For values of a range of 1, although the images go from -1 to 1: as the official code has it."""


class MaskedPretraining(LightningModule):
    """Trains a diffusion U-Net, without labels, to restore windows of which a random share of patches is hidden.

    The weights are the last step's. The official code keeps an exponential average of them beside (0.9999 of it
    stay at each step) and does not say which of the two it goes on with. Our choice: a training of a few thousand
    steps would leave mostly the random start in such an average.
    """

    def __init__(self, unet: DiffusionUNet, optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]) -> None:
        """Args: unet: what trains; optimizer: parameters to an optimiser."""
        super().__init__()
        self.unet = unet
        self.make_optimizer = optimizer

    def training_step(self, batch: TrainingBatch) -> Tensor:
        """The dissimilarity of the windows of a batch and what the U-Net makes of them; their masks are not used.

        Each window has a step of its own, from 0 to 999, and with it the share of patches that is hidden. Both
        come from its seed and the epoch, so that a run that goes on draws what it would have drawn.
        """
        images = batch["images"] / 127.5 - 1
        sources = generators(batch["seeds"] + (self.current_epoch << 31))
        steps = torch.cat([torch.randint(STEPS, (1,), generator=source) for source in sources]).to(images.device)
        restored = self.unet(hide_patches(images, steps, sources), steps)
        loss = dissimilarity(images, restored)
        self.log("train/dissimilarity", loss.detach(), on_step=False, on_epoch=True, batch_size=len(images))
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def configure_optimizers(self) -> Optimizer:
        """The optimiser over the U-Net."""
        return self.make_optimizer(self.unet.parameters())


def dissimilarity(images: Tensor, restored: Tensor) -> Tensor:
    """The structural dissimilarity (1 - SSIM) / 2, at most a half, as the mean over pixels and channels.

    Of windows of 5x5 pixels with Gaussian weights, and zeros beyond the border. torchmetrics' SSIM has windows of
    another size and leaves the border out. Computed in float32: variances as differences of means need it.

    Args:
        images: (B, 3, H, W) in -1..1.
        restored: Likewise.
    """
    with torch.autocast(images.device.type, enabled=False):
        x, y = images.float(), restored.float()
        mean_x, mean_y, square_x, square_y, product = _local_means([x, y, x * x, y * y, x * y])
        variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
        covariance = product - mean_x * mean_y
        small, smaller = SSIM_CONSTANTS[1], SSIM_CONSTANTS[0]
        luminance = (2 * mean_x * mean_y + smaller) / (mean_x**2 + mean_y**2 + smaller)
        structure = (2 * covariance + small) / (variance_x + variance_y + small)
        return ((1 - luminance * structure).clamp(0, 1) / 2).mean()


def _local_means(maps: list[Tensor]) -> tuple[Tensor, ...]:
    """Each of the maps (B, 3, H, W), averaged in a Gaussian window around each pixel."""
    offsets = torch.arange(SSIM_WINDOW, device=maps[0].device) - SSIM_WINDOW // 2
    profile = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    profile = profile / profile.sum()
    stacked = torch.cat(maps, dim=1)
    weights = torch.outer(profile, profile).expand(stacked.shape[1], 1, -1, -1)
    return F.conv2d(stacked, weights, padding=SSIM_WINDOW // 2, groups=stacked.shape[1]).chunk(len(maps), dim=1)
