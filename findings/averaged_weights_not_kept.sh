#!/usr/bin/env bash
# Lightning's weight averaging with a checkpoint of weights alone.
#
# Who trains with EMAWeightAveraging has every epoch validated with the averaged weights: the callback swaps them in,
# and ModelCheckpoint picks the epoch by what they reach. With save_weights_only=True, which one sets so that files
# are small, the file that it then writes holds the other weights, those of the last optimiser step, because the hook
# by which the callback puts the average into a checkpoint is not called for such files. Nothing is said. The model
# that is handed on is not the one whose validation figure stands beside it. Without the option the file is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "lightning==2.6.6" "torch==2.14.1" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import sys

import lightning
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Slope(lightning.LightningModule):
    """One number that grows by one with every step."""

    def __init__(self):
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        return -self.number.sum()

    def validation_step(self, batch, index):
        self.log("validated", self.number.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def validated_and_kept(weights_only):
    keep = ModelCheckpoint(
        dirpath=f"weights_only_{weights_only}", monitor="validated", mode="max", save_weights_only=weights_only
    )
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[EMAWeightAveraging(decay=0.5), keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    batches = DataLoader(torch.zeros(1, 1))
    trainer.fit(Slope(), batches, batches)
    kept = torch.load(keep.best_model_path, weights_only=True)["state_dict"]["number"].item()
    return keep.best_model_score.item(), kept


print(f"version  lightning {lightning.__version__}, torch {torch.__version__}")
outcomes = {weights_only: validated_and_kept(weights_only) for weights_only in (False, True)}
for weights_only, (validated, kept) in outcomes.items():
    print(f"save_weights_only={weights_only}")
    print(f"expected in the file {validated:.3f}, what was validated")
    print(f"seen     in the file {kept:.3f}")
as_expected = abs(outcomes[False][0] - outcomes[False][1]) < 1e-6
surprising = abs(outcomes[True][0] - outcomes[True][1]) > 0.1
sys.exit(0 if as_expected and surprising else "changed: a file of weights alone holds the averaged ones")
PYTHON
