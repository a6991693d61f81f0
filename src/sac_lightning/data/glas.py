"""GlaS, the Warwick-QU gland data set (Sirinukunwattana et al. 2017): H&E of colon; Table 8."""

from sac_lightning.data.fixed_split import FixedSplit


class GlaS(FixedSplit):
    """75 train, 10 validation, test parts A (60) and B (20), of which one may be absent."""

    dataset = "glas"
    optional_parts = ("test_a", "test_b")
