"""Otsu's threshold (1979): the floor that any trained system has to beat."""

import torch
from skimage.filters import threshold_otsu
from torch import Tensor, nn

LOGIT = 10.0  # Absolute logit of every pixel: a threshold has no degrees of certainty.
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's grey.


class Otsu(nn.Module):
    """One grey threshold per image; the smaller class is taken as nuclei, whether bright or dark."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in 0..255 to logits (B, 1, H, W) of -10 or 10."""
        masks = [_mark_smaller_class(image) for image in images]
        return torch.where(torch.stack(masks)[:, None], LOGIT, -LOGIT)


def _mark_smaller_class(image: Tensor) -> Tensor:
    """Return the mask (H, W) of the smaller class of an image (3, H, W)."""
    grey = (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(0)
    bright = grey > float(threshold_otsu(grey.cpu().numpy()))
    return bright if bright.float().mean() <= 0.5 else ~bright
