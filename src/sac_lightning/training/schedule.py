"""Learning rates over a training, where torch's own schedules do not know how long an epoch is."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts


def cosine_restarts(
    optimizer: Optimizer, total_steps: int, epochs: int, period: int, eta_min: float
) -> CosineAnnealingWarmRestarts:
    """A cosine from the optimiser's learning rate down to ``eta_min``, begun anew after each period.

    Args:
        optimizer: With the highest learning rate.
        total_steps: Of the whole training.
        epochs: Of the whole training.
        period: In epochs.
        eta_min: The lowest learning rate.
    """
    steps = max(1, round(total_steps * period / epochs))
    return CosineAnnealingWarmRestarts(optimizer, T_0=steps, eta_min=eta_min)
