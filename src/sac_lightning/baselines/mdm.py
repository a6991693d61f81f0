"""MDM (Pan et al. 2023): a pixel classifier on the features of a U-Net that was pre-trained on masked images.

The pre-training (``python -m sac_lightning.pretrain method=mdm``) hides patches of an image, more of them at later
steps, and trains the U-Net to restore the image. For segmentation, an image at step 50 of 1000, with a twentieth
of its patches hidden, goes through the frozen U-Net; the outputs of five of its decoder blocks are classified
pixel by pixel.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.baselines.diffusion_unet import LOWEST_STRIDE, DecoderFeatures
from sac_lightning.baselines.network import Network
from sac_lightning.core.errors import UserError
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.weights import read_weights

STEPS = 1000
PATCH = 8
FEATURE_STEP = 50
FEATURE_BLOCKS = slice(8, 13)
FEATURES = 9
"""Features per pixel, in multiples of the U-Net's width: 2 from each of four blocks and 1 from the last."""


class MDM(Network):
    """The U-Net's features and their classifier: 1728 features at the official width of 192.

    The U-Net has 311,017,539 parameters, of which the 7,795,971 that come after the features are left out; the
    classifier has 225,826.

    In training, each window has its patches hidden anew, according to its own seed. The official code also hides
    different ones at every prediction. Our choice: predictions always hide the same patches, so that the same
    image gives the same prediction twice.
    """

    def __init__(self, width: int = 192, units: Sequence[int] = (128, 32), weights: str | None = None) -> None:
        """Build both parts with random weights.

        Args:
            width: Channels of the U-Net at full resolution; see DecoderFeatures.
            units: Sizes of the classifier's two hidden layers.
            weights: Pre-trained weights, which load_pretrained puts into the U-Net; the U-Net is then frozen and
                only the classifier trains. None: everything trains from scratch.
        """
        super().__init__(multiple=LOWEST_STRIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        self.pretrained = weights
        self.frozen = weights is not None
        self.unet = DecoderFeatures(width, FEATURE_BLOCKS.stop).requires_grad_(not self.frozen)
        self.classifier = PixelClassifier(FEATURES * width, units)

    def load_pretrained(self) -> None:
        """Load the U-Net's pre-trained weights, if any; see Network."""
        if self.pretrained is not None:
            self.load_weights(Path(self.pretrained))

    def load_weights(self, path: Path) -> None:
        """Load the weights of a pre-training into the U-Net.

        Args:
            path: The .safetensors file that the pre-training wrote, or a state dict with the same names in torch's
                format.

        Raises:
            UserError: The file cannot be read, or belongs to another network or width.
        """
        given, own = read_weights(path), self.unet.state_dict()
        for name, tensor in own.items():
            if name not in given or given[name].shape != tensor.shape:
                raise UserError(
                    f"{path} does not contain {name} of shape {tuple(tensor.shape)}: use the mdm.safetensors of a "
                    f"pre-training with model.width={self.unet.width}"
                )
        self.unet.load_state_dict({name: given[name] for name in own})

    def train(self, mode: bool = True) -> "MDM":
        """Set the training mode, but keep a frozen U-Net in eval mode."""
        super().train(mode)
        if self.frozen:
            self.unet.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; see Network."""
        return self._classify(images, torch.zeros(len(images), dtype=torch.long))

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """Return the losses; see Network. Each window has its own patches hidden."""
        logits = self._classify(batch["images"], batch["seeds"])
        return {"mask": mask_loss(logits.float(), batch["masks"])}

    def _classify(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in 0..255 to logits (B, 1, H, W); the seeds (B,) choose the hidden patches."""
        steps = torch.full((len(images),), FEATURE_STEP, device=images.device)
        hidden = hide_patches(self.prepare(images), steps, make_generators(seeds))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.unet.decode(hidden, steps)[FEATURE_BLOCKS]
        of_classes: Tensor = self.classifier(features, images.shape[-2:])
        return of_classes[:, 1:] - of_classes[:, :1]


class PixelClassifier(nn.Module):
    """Multilayer perceptron on each pixel's features: 128, 32 and 2 units, with ReLU and BatchNorm between them.

    The features are interpolated bilinearly to the image's size and divided by their norm over the whole image.
    Division, first layer and interpolation are all linear, so we swap their order: the result is the same, but
    only 128 maps are needed at the image's size instead of 1728.
    """

    def __init__(self, features: int, units: Sequence[int] = (128, 32)) -> None:
        """Build the layers.

        Args:
            features: Number of features per pixel.
            units: Sizes of the two hidden layers.
        """
        super().__init__()
        first, second = units
        self.first = nn.Conv2d(features, first, kernel_size=1)
        self.rest = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm2d(first),
            nn.Conv2d(first, second, kernel_size=1),
            nn.ReLU(),
            nn.BatchNorm2d(second),
            nn.Conv2d(second, 2, kernel_size=1),
        )
        # Initialised as in the official code. The features are so small that at first the eps of the first
        # BatchNorm outweighs their variance.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the logits (B, 2, H, W) of background and nucleus.

        Args:
            features: Maps (B, channels, height, width), at one or several resolutions.
            size: H and W.
        """
        assert self.first.bias is not None
        weights = torch.split(self.first.weight, [maps.shape[1] for maps in features], dim=1)
        by_resolution: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for maps, weight in zip(features, weights, strict=True):
            # Channels last takes half the time on a CPU.
            projected = F.conv2d(maps.contiguous(memory_format=torch.channels_last), weight)
            by_resolution[maps.shape[-2:]].append(projected.float())  # After division, too small for float16.
        norms = torch.stack([squared_norm_at(maps, size) for maps in features]).sum(0).sqrt().view(-1, 1, 1, 1)
        sums = [reduce(torch.add, maps) / norms for maps in by_resolution.values()]
        upsampled = reduce(torch.add, [F.interpolate(maps, tuple(size), mode="bilinear") for maps in sums])
        return self.rest(upsampled + self.first.bias.view(1, -1, 1, 1))  # type: ignore[no-any-return]


def squared_norm_at(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return the sums of squares (B,) that maps (B, channels, h, w) would have if interpolated to a size (H, W).

    Interpolation multiplies a map M by a matrix on either side, U M V', so the sum of squares is the sum of M *
    (U'U) M (V'V).
    """
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps.float()
        rows, columns = (
            _build_interpolation(old, new, maps.device) for old, new in zip(maps.shape[-2:], size, strict=True)
        )
        return (maps * (rows.mT @ rows @ maps @ (columns.mT @ columns))).sum((1, 2, 3))


def _build_interpolation(old: int, new: int, device: torch.device) -> Tensor:
    """Return the matrix (new, old) of linear interpolation."""
    return F.interpolate(torch.eye(old, device=device)[None], new, mode="linear")[0].mT


def make_generators(seeds: Tensor) -> list[torch.Generator]:
    """Return one random generator per seed (B,), on the CPU so that a run on a GPU draws the same numbers."""
    return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]


def hide_patches(images: Tensor, steps: Tensor, sources: Sequence[torch.Generator]) -> Tensor:
    """Paint 8x8 patches of images (B, 3, H, W) in -1..1 grey; the steps (B,) set the share of hidden patches.

    Args:
        images: Images whose sides are multiples of 8.
        steps: Steps in 0..1000: at 0 no patch is hidden, at 1000 all are.
        sources: One generator per image, which chooses the patches.
    """
    rows, columns = (side // PATCH for side in images.shape[-2:])
    visible = torch.zeros(len(images), rows * columns)
    for patches, step, source in zip(visible, steps.tolist(), sources, strict=True):
        order = torch.rand(rows * columns, generator=source).argsort()
        patches[order[: int(rows * columns * (1 - step / STEPS))]] = 1
    by_place = visible.view(-1, 1, rows, columns).to(images.device)
    return images * by_place.repeat_interleave(PATCH, dim=-2).repeat_interleave(PATCH, dim=-1)
