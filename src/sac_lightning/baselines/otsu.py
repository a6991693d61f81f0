"""Otsu's threshold (1979): the floor that anything trained has to beat."""

import torch
from skimage.filters import threshold_otsu
from torch import Tensor, nn

LOGIT = 10.0  # of a pixel on either side: the threshold knows no degrees
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's grey


class Otsu(nn.Module):
    """One grey threshold per image; the smaller class is taken for nuclei, whichever side it is on."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..255 to logits (B, 1, H, W) of -10 or 10."""
        masks = [_smaller_class(image) for image in images]
        return torch.where(torch.stack(masks)[:, None], LOGIT, -LOGIT)


def _smaller_class(image: Tensor) -> Tensor:
    """The mask (H, W) of one image (3, H, W)."""
    grey = (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(0)
    bright = grey > float(threshold_otsu(grey.cpu().numpy()))
    return bright if bright.float().mean() <= 0.5 else ~bright
