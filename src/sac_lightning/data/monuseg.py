"""MoNuSeg (Kumar et al. 2017, 2020): 1000x1000 H&E at 40x from many organs."""

from sac_lightning.data.fixed_split import FixedSplit


class MoNuSeg(FixedSplit):
    """24 training, 6 validation and 14 test images.

    They are larger than a model's input, which sees them in windows::

        task = SegmentationTask(sac(backbone="vit_t"), view=View(256, crop=256))
        Trainer(max_epochs=3).fit(task, datamodule=MoNuSeg("data", crops_per_image=6))
    """

    name = "monuseg"
    micrometres = 0.25
