"""The 2018 Data Science Bowl, stage 1 train (BBBC038; Caicedo et al. 2019): 670 images, mostly fluorescence."""

from sac_lightning.data.fixed_split import FixedSplit


class DSB2018(FixedSplit):
    """536 train, 67 validation, 67 test."""

    dataset = "dsb2018"
