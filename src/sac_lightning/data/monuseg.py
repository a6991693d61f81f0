"""MoNuSeg (Kumar et al. 2017, 2020): 1000x1000 H&E at 40x from many organs."""

from sac_lightning.data.fixed_split import FixedSplit


class MoNuSeg(FixedSplit):
    """24 train, 6 validation, 14 test."""

    dataset = "monuseg"
