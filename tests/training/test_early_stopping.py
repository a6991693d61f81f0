"""Early stopping and the least number of epochs: a stop that comes before it is decided again."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from sac_lightning.core.configuration import compose_config
from sac_lightning.training.console import quiet_lightning
from sac_lightning.training.early_stopping import EarlyStopping


class Reached(LightningModule):
    """Reaches a given Dice after each epoch."""

    def __init__(self, dice: list[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.dice = dice

    def training_step(self, batch: Any) -> torch.Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Any) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        self.log("val/dice", torch.tensor(self.dice[self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


@quiet_lightning()
def epochs_of(dice: list[float], folder: Path, **limits: int) -> int:
    """How many epochs a training has, of at most as many as there are figures, with a patience of two."""
    cfg = compose_config("train", ["output_dir=x", "callbacks.early_stopping.patience=2"])
    stopping = instantiate(cfg.callbacks.early_stopping)
    assert isinstance(stopping, EarlyStopping)
    trainer = Trainer(
        max_epochs=len(dice),
        accelerator="cpu",
        callbacks=[stopping],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **limits,  # type: ignore[arg-type]
    )
    data = DataLoader(torch.zeros(1, 1))
    trainer.fit(Reached(dice), data, data)
    return trainer.current_epoch


WORSE_THEN_BETTER = [0.5, 0.4, 0.4, 0.4, 0.6, 0.7, 0.8, 0.7, 0.7, 0.9]


@pytest.mark.parametrize(
    ("dice", "limits", "epochs"),
    [
        (WORSE_THEN_BETTER, {"min_epochs": 1}, 3),
        (WORSE_THEN_BETTER, {"min_epochs": 3}, 3),
        (WORSE_THEN_BETTER, {"min_epochs": 6}, 9),
        (WORSE_THEN_BETTER, {"min_epochs": 1, "min_steps": 6}, 9),
        ([0.5, *[0.4] * 8], {"min_epochs": 6}, 6),
        ([0.1 * i for i in range(8)], {"min_epochs": 6}, 8),
    ],
)
def test_a_stop_needs_the_least_length_and_epochs_without_a_gain_at_its_end(
    dice: list[float], limits: dict[str, int], epochs: int, tmp_path: Path
) -> None:
    assert epochs_of(dice, tmp_path, **limits) == epochs
