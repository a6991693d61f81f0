"""How certain a figure is: its spread over seeds, its interval over test images, paired differences of rows.

Our choice: the paper gives single figures. An interval over images estimates what other images of the same kind
would give. It does not estimate what another training run would give: the spread over seeds does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sac_lightning.core.errors import UserError
from sac_lightning.reporting.row import MeasuredRow

CONFIDENCE = 0.95
RESAMPLES = 9999
# For MoNuSeg's 14 test images these are all 2 ** 14 changes of sign, so the test is exact; for more images they
# are a random sample.
SIGN_CHANGES = 2**14
SEED = 0
ROUNDING = 1e-12  # Values that differ by less count as equal.


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds of a row.

    Attributes:
        mean: Mean in the figure's own unit; a metric is in [0, 1].
        deviation: Sample standard deviation (n - 1); None for one seed.
        seeds: Number of seeds.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class Interval:
    """A 95 % interval from low to high."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """The paired difference of row a minus row b over the same images.

    Attributes:
        mean: Mean of the differences, in [-1, 1].
        interval: Interval of that mean; None for one image.
        p_value: Two-sided; the null hypothesis is that a difference is as likely as its negative. None for one
            image.
        images: Number of images.
    """

    mean: float
    interval: Interval | None
    p_value: float | None
    images: int

    @property
    def p_text(self) -> str:
        """The p value to three decimals, or "p < 0.001"."""
        assert self.p_value is not None, "one image has no p value"
        return "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"


def spread_over_seeds(row: MeasuredRow, figure: str) -> Spread | None:
    """Return the mean and sample standard deviation over the seeds of a figure of the whole test split.

    Args:
        row: A measured row.
        figure: As in `Record.figure`: f1, dice, aji, seconds_per_epoch, ...

    Returns:
        The spread over the records that have the figure; None if no record has it.
    """
    values = [value for record in row.records if (value := record.figure(figure)) is not None]
    return spread(values) if values else None


def spread(values: Sequence[float]) -> Spread:
    """Return the mean and sample standard deviation of one or more values."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, len(values))


def image_scores(row: MeasuredRow, metric: str = "dice") -> dict[str, float]:
    """Return a metric of each test image, in [0, 1], by image name in sorted order: the mean over the seeds.

    Args:
        row: A row with at least one record.
        metric: dice or iou.

    Raises:
        UserError: The seeds were not tested on the same images.
    """
    runs = [record.images(metric) for record in row.records]
    for record, run in zip(row.records, runs, strict=True):
        if run.keys() != runs[0].keys():
            raise UserError(
                f"{row.row.label} of {row.row.experiment} was tested on other images in {record.path} than in "
                f"{row.records[0].path}: remove the record that is out of date"
            )
    return {name: float(np.mean([run[name] for run in runs])) for name in sorted(runs[0])}


def interval_over_images(row: MeasuredRow, metric: str = "dice") -> Interval | None:
    """Return the 95 % bootstrap interval of a metric's mean over test images; see `interval_of_mean`."""
    return interval_of_mean(list(image_scores(row, metric).values()))


def interval_of_mean(values: Sequence[float]) -> Interval | None:
    """Return the 95 % bootstrap interval of the mean of some values.

    We use BCa rather than percentiles: scores of images are skewed (few images fail, none is above 1), and BCa
    accounts for the skew. It is undefined if all values are equal; the interval is then that value.

    Returns:
        The interval; None for fewer than two values, which tell nothing about others.
    """
    return _bootstrap([values], np.mean)


def interval_of_ratio(above: Sequence[float], below: Sequence[float]) -> Interval | None:
    """Return the 95 % bootstrap interval (BCa) of mean(above) / mean(below), both resampled independently.

    Args:
        above: Positive values.
        below: Positive values.

    Returns:
        The interval; None if one of the two has fewer than two values.
    """
    return _bootstrap([above, below], _ratio)


def paired_difference(a: MeasuredRow, b: MeasuredRow, metric: str = "dice") -> Difference:
    """Return how much row a exceeds row b on the same images, each row's scores averaged over its seeds.

    The p value is that of the two-sided permutation test that changes the signs of the differences. Wilcoxon's
    test would rank them and test their median; this one tests the mean, which the tables and the interval are
    about, assumes no shape of the distribution, and is exact for up to 14 images.

    Args:
        a: A row with at least one record.
        b: A row with at least one record.
        metric: dice or iou.

    Raises:
        UserError: The rows were not tested on the same images.
    """
    scores_a, scores_b = image_scores(a, metric), image_scores(b, metric)
    if scores_a.keys() != scores_b.keys():
        example = min(scores_a.keys() ^ scores_b.keys())
        raise UserError(
            f"{a.row.label} of {a.row.experiment} and {b.row.label} of {b.row.experiment} were not tested on the "
            f"same images (only one has {example}): test both on the same split"
        )
    differences = np.array([scores_a[name] - scores_b[name] for name in scores_a])
    return Difference(
        float(differences.mean()), interval_of_mean(differences.tolist()), _p_value(differences), len(differences)
    )


def _p_value(differences: NDArray[np.float64]) -> float | None:
    if len(differences) < 2:
        return None
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=SIGN_CHANGES,
        rng=np.random.default_rng(SEED),
    )
    return float(test.pvalue)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64], axis: int = -1) -> Any:
    return np.mean(above, axis=axis) / np.mean(below, axis=axis)


def _bootstrap(samples: Sequence[Sequence[float]], statistic: Callable[..., Any]) -> Interval | None:
    if min(len(sample) for sample in samples) < 2:
        return None
    if all(max(sample) - min(sample) < ROUNDING for sample in samples):
        value = float(statistic(*(sample[:1] for sample in samples)))
        return Interval(value, value)
    found = stats.bootstrap(
        [np.asarray(sample) for sample in samples],
        statistic,
        vectorized=True,
        method="BCa",
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))
