"""MDM (Pan et al. 2023): a classifier of pixels on the features of a U-Net that was pre-trained on masked images.

The pre-training (``python -m sac_lightning.pretrain method=mdm``) hides patches of an image, the more the later
the step, and has the U-Net restore the image. For segmentation an image at step 50 of 1000, a twentieth of its
patches hidden, goes into the frozen U-Net; what five blocks of its decoder put out is classified pixel by pixel.
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
"""Features of a pixel, in widths of the U-Net: 2 from each of four blocks and 1 from the last."""


class MDM(Network):
    """The U-Net's features and their classifier: 1728 features at the official width of 192.

    Of the U-Net's 311,017,539 parameters the 7,795,971 after the features are left out; the classifier has
    225,826.

    In training each window has patches hidden anew, from its own seed. The official code hides others at every
    prediction, too. Our choice: always the same ones, so that a prediction comes out the same twice.
    """

    def __init__(self, width: int = 192, units: Sequence[int] = (128, 32), weights: str | None = None) -> None:
        """Builds both parts with random weights.

        Args:
            width: Channels of the U-Net at full resolution; see DecoderFeatures.
            units: Of the classifier's two hidden layers.
            weights: Those of a pre-training, which load_pretrained puts into the U-Net: it is frozen then, and the
                classifier alone trains. None: everything trains from scratch.
        """
        super().__init__(multiple=LOWEST_STRIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        self.pretrained = weights
        self.frozen = weights is not None
        self.unet = DecoderFeatures(width, FEATURE_BLOCKS.stop).requires_grad_(not self.frozen)
        self.classifier = PixelClassifier(FEATURES * width, units)

    def load_pretrained(self) -> None:
        """See Network."""
        if self.pretrained is not None:
            self.load_weights(Path(self.pretrained))

    def load_weights(self, path: Path) -> None:
        """Puts the weights of a pre-training into the U-Net.

        Args:
            path: Of the .safetensors that it wrote, or of a state dict with the same names in torch's format.

        Raises:
            UserError: The file cannot be read, or it is of another network or width.
        """
        given, own = read_weights(path), self.unet.state_dict()
        for name, tensor in own.items():
            if name not in given or given[name].shape != tensor.shape:
                raise UserError(
                    f"{path} holds no {name} of the shape {tuple(tensor.shape)}: give the mdm.safetensors of a "
                    f"pre-training with model.width={self.unet.width}"
                )
        self.unet.load_state_dict({name: given[name] for name in own})

    def train(self, mode: bool = True) -> "MDM":
        """As of any module, but that a frozen U-Net stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.unet.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """See Network."""
        return self._classify(images, torch.zeros(len(images), dtype=torch.long))

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """See Network; each window with patches of its own hidden."""
        logits = self._classify(batch["images"], batch["seeds"])
        return {"mask": mask_loss(logits.float(), batch["masks"])}

    def _classify(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in 0..255 and seeds (B,) of what is hidden to logits (B, 1, H, W)."""
        steps = torch.full((len(images),), FEATURE_STEP, device=images.device)
        hidden = hide_patches(self.prepare(images), steps, generators(seeds))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.unet.decode(hidden, steps)[FEATURE_BLOCKS]
        of_classes: Tensor = self.classifier(features, images.shape[-2:])
        return of_classes[:, 1:] - of_classes[:, :1]


class PixelClassifier(nn.Module):
    """Perceptron of each pixel's features: 128, 32 and 2 units, ReLU and batch normalisation between them.

    The features are brought to the image's size by bilinear interpolation, and divided by the norm of all of them
    in the image. Division, first layer and interpolation change places, as all of them are linear: the result is
    the same, of 128 maps at the image's size instead of 1728.
    """

    def __init__(self, features: int, units: Sequence[int] = (128, 32)) -> None:
        """Args: features: Of a pixel; units: Of the two hidden layers."""
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
        # As the official code begins. The features are so small that at first the eps of the first normalisation
        # outweighs their variance.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The logits (B, 2, H, W) of background and nucleus.

        Args:
            features: (B, channels, height, width), of one or several resolutions.
            size: H and W.
        """
        assert self.first.bias is not None
        weights = torch.split(self.first.weight, [maps.shape[1] for maps in features], dim=1)
        by_resolution: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for maps, weight in zip(features, weights, strict=True):
            # Channels last: half the time on a CPU.
            projected = F.conv2d(maps.contiguous(memory_format=torch.channels_last), weight)
            by_resolution[maps.shape[-2:]].append(projected.float())  # Divided, they are too small for float16.
        norms = torch.stack([squared_norm_at(maps, size) for maps in features]).sum(0).sqrt().view(-1, 1, 1, 1)
        sums = [reduce(torch.add, maps) / norms for maps in by_resolution.values()]
        upsampled = reduce(torch.add, [F.interpolate(maps, tuple(size), mode="bilinear") for maps in sums])
        return self.rest(upsampled + self.first.bias.view(1, -1, 1, 1))  # type: ignore[no-any-return]


def squared_norm_at(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The sums of squares (B,) that maps (B, channels, h, w) would have, interpolated to a size (H, W).

    Interpolation multiplies by a matrix from either side, U M V', so the sum is that of M * (U'U) M (V'V).
    """
    with torch.autocast(maps.device.type, enabled=False):
        maps = maps.float()
        rows, columns = (
            _interpolation(old, new, maps.device) for old, new in zip(maps.shape[-2:], size, strict=True)
        )
        return (maps * (rows.mT @ rows @ maps @ (columns.mT @ columns))).sum((1, 2, 3))


def _interpolation(old: int, new: int, device: torch.device) -> Tensor:
    """The matrix (new, old) of linear interpolation."""
    return F.interpolate(torch.eye(old, device=device)[None], new, mode="linear")[0].mT


def generators(seeds: Tensor) -> list[torch.Generator]:
    """A source of random numbers for each seed (B,), on the CPU, so that a GPU draws the same."""
    return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]


def hide_patches(images: Tensor, steps: Tensor, sources: Sequence[torch.Generator]) -> Tensor:
    """Paint 8x8 patches of images (B, 3, H, W) in -1..1 grey, the share of them that their steps (B,) say.

    Args:
        images: Their sides are multiples of 8.
        steps: In 0..1000: none is hidden at 0, all are at 1000.
        sources: What says which patches, for each image.
    """
    rows, columns = (side // PATCH for side in images.shape[-2:])
    visible = torch.zeros(len(images), rows * columns)
    for patches, step, source in zip(visible, steps.tolist(), sources, strict=True):
        order = torch.rand(rows * columns, generator=source).argsort()
        patches[order[: int(rows * columns * (1 - step / STEPS))]] = 1
    by_place = visible.view(-1, 1, rows, columns).to(images.device)
    return images * by_place.repeat_interleave(PATCH, dim=-2).repeat_interleave(PATCH, dim=-1)
