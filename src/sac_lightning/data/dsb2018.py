"""The 2018 Data Science Bowl, stage 1 train (BBBC038; Caicedo et al. 2019): 670 images, mostly fluorescence."""

from sac_lightning.data.fixed_split import FixedSplit


class DSB2018(FixedSplit):
    """536 training, 67 validation and 67 test images.

    ``python -m sac_lightning.prepare dataset=dsb2018`` downloads and lays them out::

        task = SegmentationTask(sac(backbone="vit_t"))
        Trainer(max_epochs=3).fit(task, datamodule=DSB2018("data"))
    """

    name = "dsb2018"
