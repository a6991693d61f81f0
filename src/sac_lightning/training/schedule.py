"""Schedules of the learning rate in epochs, for which torch's own need to be told the steps of one."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts


def cosine_restarts(
    optimizer: Optimizer, total_steps: int, epochs: int, period: int, eta_min: float
) -> CosineAnnealingWarmRestarts:
    """Return a cosine from the optimiser's learning rate down to ``eta_min`` that starts again after each period.

    Args:
        optimizer: The optimiser, at the highest learning rate.
        total_steps: Steps of the whole training.
        epochs: Epochs of the whole training.
        period: Length of a period, in epochs.
        eta_min: The lowest learning rate.
    """
    steps = max(1, round(total_steps * period / epochs))
    return CosineAnnealingWarmRestarts(optimizer, T_0=steps, eta_min=eta_min)
