"""GlaS, the Warwick-QU gland data set (Sirinukunwattana et al. 2017): H&E of colon; Table 8."""

from sac_lightning.data.fixed_split import FixedSplit


class GlaS(FixedSplit):
    """75 training and 10 validation images, test parts A (60) and B (20), of which one may be absent.

    Example::

        task = SegmentationTask(sac(backbone="vit_t"))
        Trainer(max_epochs=3).fit(task, datamodule=GlaS("data"))
    """

    name = "glas"
    scores_objects = True
    micrometres = 0.62005  # as its organisers say
