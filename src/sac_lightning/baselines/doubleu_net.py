"""DoubleU-Net (Jha et al. 2020, "A Deep Convolutional Neural Network for Medical Image Segmentation").

Two U-Nets in a row. The first has VGG19 as its encoder; its output, as a probability, is multiplied with the
image, and the product is the input of the second, whose decoder gets the skip connections of both encoders. The
sizes are those of the official PyTorch file: 29,288,886 parameters at full width.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG19_Weights

from sac_lightning.baselines.network import Network
from sac_lightning.baselines.squeeze_excitation import SqueezeExcitation
from sac_lightning.data.sample import TrainingBatch
from sac_lightning.model.prompt_generator import DoubleConvolution

VGG19_WIDTH = 64
VGG19_CONVOLUTIONS = (2, 2, 4, 4, 4)  # In each stage.
DILATIONS = (6, 12, 18)
MIDDLE_GREY = 127


class VGG19(nn.Module):
    """The convolutions of VGG19 (Simonyan and Zisserman 2015), without BatchNorm."""

    def __init__(self, width: int = VGG19_WIDTH) -> None:
        """Build the convolutions.

        Args:
            width: Channels of the first stage; they double from stage to stage, up to eight times as many in the
                last two.
        """
        super().__init__()
        self.channels = [width * factor for factor in (1, 2, 4, 8, 8)]
        self.stages = nn.ModuleList(
            _vgg_stage(below, above, number)
            for (below, above), number in zip(pairwise([3, *self.channels]), VGG19_CONVOLUTIONS, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images (B, 3, H, W) to the maps of the five stages, from (B, w, H, W) to (B, 8w, H/16, W/16)."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(F.max_pool2d(maps[-1], 2) if maps else images))
        return maps

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the convolutions from the state dict of torchvision's VGG19."""
        numbers = sorted({int(name.split(".")[1]) for name in state if name.startswith("features.")})
        convolutions = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        with torch.no_grad():
            for number, convolution in zip(numbers, convolutions, strict=True):
                assert convolution.bias is not None
                convolution.weight.copy_(state[f"features.{number}.weight"])
                convolution.bias.copy_(state[f"features.{number}.bias"])


def _vgg_stage(channels_in: int, channels_out: int, number: int) -> nn.Sequential:
    """Build a stage of ``number`` convolutions, each with ReLU."""
    layers: list[nn.Module] = []
    for channels in [channels_in, *[channels_out] * (number - 1)]:
        convolution = nn.Conv2d(channels, channels_out, kernel_size=3, padding=1)
        assert convolution.bias is not None
        # Initialised as in torchvision: else the signal would fade over sixteen convolutions without BatchNorm.
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class GatedConvolutions(nn.Sequential):
    """Two 3x3 convolutions with BatchNorm and ReLU, then squeeze and excitation with a reduction of 8."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the layers.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of the output.
        """
        super().__init__(
            DoubleConvolution(channels_in, channels_out),
            SqueezeExcitation(channels_out, hidden=max(1, channels_out // 8)),
        )


def _convolution(channels_in: int, channels_out: int, kernel_size: int = 1, dilation: int = 1) -> nn.Sequential:
    """Build a convolution that keeps the size, without bias, followed by BatchNorm and ReLU."""
    padding = dilation * (kernel_size // 2)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017).

    The official PyTorch file averages the map down to 2x2, where the Keras code takes a single mean. We follow the
    PyTorch file; it also lets BatchNorm work on a batch of one image.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Build the branches.

        Args:
            channels_in: Channels of the input.
            channels_out: Channels of each branch, and of the output.
        """
        super().__init__()
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(2), _convolution(channels_in, channels_out))
        self.branches = nn.ModuleList(
            [
                _convolution(channels_in, channels_out),
                *(_convolution(channels_in, channels_out, 3, dilation) for dilation in DILATIONS),
            ]
        )
        self.fusion = _convolution(channels_out * (len(self.branches) + 1), channels_out)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, h, w) to (B, C', h, w)."""
        mean = F.interpolate(self.mean(features), features.shape[-2:], mode="bilinear", align_corners=True)
        branches = [branch(features) for branch in self.branches]
        return self.fusion(torch.cat([mean, *branches], dim=1))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """A decoder up to the image's resolution, with skip connections at each level."""

    def __init__(self, channels_in: int, skips: Sequence[int], channels_out: Sequence[int]) -> None:
        """Build the blocks.

        Args:
            channels_in: Channels of the deepest map.
            skips: Channels of each level's skip connections, deepest level first.
            channels_out: Channels of each level's output, deepest level first.
        """
        super().__init__()
        self.blocks = nn.ModuleList(
            GatedConvolutions(below + skip, above)
            for below, skip, above in zip([channels_in, *channels_out[:-1]], skips, channels_out, strict=True)
        )

    def forward(self, features: Tensor, *encoders: Sequence[Tensor]) -> Tensor:
        """Map features (B, C, h, w) and the maps of one or two encoders, deepest last, to (B, C', H, W)."""
        for block, *skips in zip(self.blocks, *(reversed(maps) for maps in encoders), strict=True):
            upsampled = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
            features = block(torch.cat([upsampled, *skips], dim=1))
        return features


class DoubleUNet(Network):
    """Two U-Nets; 29,288,886 parameters at width 64.

    The prediction is the output of the second. This is our choice: the official code scores both outputs as one,
    and its pictures show them side by side.
    """

    def __init__(self, width: int = VGG19_WIDTH) -> None:
        """Build both U-Nets.

        Args:
            width: Channels of VGG19's first stage; all others are proportional to it.
        """
        super().__init__(multiple=16)
        channels = [width // 2, width, 2 * width, 4 * width]
        self.vgg = VGG19(width)
        vgg_skips = self.vgg.channels[-2::-1]
        self.first_pyramid = ASPP(self.vgg.channels[-1], width)
        self.first_decoder = Decoder(width, vgg_skips, channels[::-1])
        self.first_head = nn.Conv2d(channels[0], 1, kernel_size=1)
        self.second_encoder = nn.ModuleList(
            GatedConvolutions(below, above) for below, above in pairwise([3, *channels])
        )
        self.second_pyramid = ASPP(channels[-1], width)
        both_skips = [a + b for a, b in zip(vgg_skips, reversed(channels), strict=True)]
        self.second_decoder = Decoder(width, both_skips, channels[::-1])
        self.second_head = nn.Conv2d(channels[0], 1, kernel_size=1)
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the second U-Net; see Network."""
        return self.outputs(images)[1]

    def outputs(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, 3, H, W) RGB in 0..255 to the logits (B, 1, H, W) of both U-Nets."""
        # For channels last, see prompt_generator.UNet.
        prepared = self.prepare(centre_images(images)).contiguous(memory_format=torch.channels_last)
        *vgg_maps, deepest = self.vgg(prepared)
        first = self.first_head(self.first_decoder(self.first_pyramid(deepest), vgg_maps))
        features = prepared * first.sigmoid()
        maps = []
        for block in self.second_encoder:
            maps.append(block(features))
            features = F.max_pool2d(maps[-1], 2)
        second = self.second_head(self.second_decoder(self.second_pyramid(features), vgg_maps, maps))
        return first, second

    def losses(self, batch: TrainingBatch, mask_loss: nn.Module) -> Mapping[str, Tensor]:
        """Return a single loss of both outputs, stacked vertically as one image; see Network.

        The official code puts the outputs into two channels and computes one Dice over all pixels, which is not
        the mean of two Dices.
        """
        outputs = torch.cat(self.outputs(batch["images"]), dim=-2)
        return {"mask": mask_loss(outputs.float(), torch.cat([batch["masks"]] * 2, dim=-2))}

    def load_imagenet(self) -> str | None:
        """Download VGG19's ImageNet weights, which exist at its full width only; see Network."""
        if self.width != VGG19_WIDTH:
            return None
        weights = VGG19_Weights.IMAGENET1K_V1
        try:
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
        except Exception as error:  # Not only OSErrors: the file may be damaged, in transit or in the cache.
            raise OSError(f"the ImageNet weights {weights.url} cannot be downloaded: {error}") from error
        self.vgg.load(state)
        return f"torchvision {weights}"


def centre_images(images: Tensor) -> Tensor:
    """Shift images (B, 3, H, W) in 0..255 so that the median of all their values is 127; clip them to 0..255.

    The official code reads images this way. For an even number of values, the median is the mean of the middle
    two.
    """
    # One image at a time, because on a GPU the median along a dimension is not the same in every run.
    medians = torch.stack([(image.median() - (-image).median()) / 2 for image in images])
    return (images - medians.view(-1, 1, 1, 1) + MIDDLE_GREY).clamp(0, 255)
