"""The LightningModule: steps, optimiser, logging, checkpoints. The one training shell of every method."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.baselines.network import Network
from sac_lightning.core.errors import UserError
from sac_lightning.core.view import View
from sac_lightning.data.sample import TrainingBatch, WholeImage
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.separate import separate_nuclei
from sac_lightning.inference.thresholds import EveryPrompt, Separation
from sac_lightning.inference.windows import Prediction, run_model, segment
from sac_lightning.model.checkpoint import KEY, PREFIX, trained_state
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.checkpoints import LastCheckpoint
from sac_lightning.training.losses import segmentation_losses
from sac_lightning.training.metrics.scores import Scores

PICTURES = 4


class SegmentationTask(LightningModule):
    """Trains and tests a model: SAC and its relatives, or any network from images to logits."""

    def __init__(
        self,
        model: nn.Module,
        view: View,
        settings: Mapping[str, Any],
        base: Mapping[str, str] | None,
        batch_size: int,
        mask_loss: nn.Module | None = None,
        optimizer: Callable[[Iterable[nn.Parameter] | list[dict[str, Any]]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        separation: Separation | None = None,
    ) -> None:
        """Puts together what a training or, without loss and optimiser, a test needs.

        Args:
            model: See inference.run_model.
            view: How the model sees images.
            settings: Written into the checkpoints, see checkpoint.Loaded.
            base: Of build.load_base, likewise.
            batch_size: Windows per forward pass in validation and test.
            mask_loss: Logits and target to a scalar.
            optimizer: Parameters to an optimiser.
            scheduler: Optimiser and ``total_steps`` to a scheduler that steps once per batch; None: constant.
            separation: How the test tells nuclei apart. Default: by the mask's connected regions.
        """
        super().__init__()
        self.strict_loading = False  # A checkpoint holds only what trained.
        self.model = model
        self.view = view
        self.mask_loss = mask_loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.separation = separation
        self.settings = settings
        self.base = base
        self.batch_size = batch_size
        has_generator = isinstance(model, SAC) and model.prompt_generator is not None
        self.val_scores = Scores(has_generator, instances=False, prompts=False)
        self.test_scores = Scores(has_generator, instances=True, prompts=isinstance(model, SAC))
        self.pictures: list[tuple[WholeImage, Prediction]] = []
        self.image_scores: list[dict[str, Any]] = []

    def training_step(self, batch: TrainingBatch) -> Tensor:
        """The sum of the losses of a batch."""
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise UserError(self._explain_failure(batch, losses))
        logged = {f"train/{name}_loss": loss.detach() for name, loss in losses.items()}
        logged["train/loss"] = total.detach()
        self.log_dict(logged, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["names"]))
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    def _explain_failure(self, batch: TrainingBatch, losses: Mapping[str, Tensor]) -> str:
        """Explain why the training cannot go on: a step with such a loss would leave no number in the weights."""
        values = ", ".join(f"{name} {float(loss.detach()):g}" for name, loss in losses.items())
        return (
            f"the loss is no finite number ({values}) in epoch {self.current_epoch + 1}, on the images "
            f"{', '.join(sorted(set(batch['names'])))}: look at them, lower optimizer.lr, or choose "
            f"trainer.precision=32-true; the last good checkpoint is {self._last_checkpoints()}"
        )

    def _last_checkpoints(self) -> str:
        paths = [
            callback.path for callback in self.trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint)
        ]
        return ", ".join(str(path) for path in paths if path.is_file()) or "none yet"

    def losses(self, batch: TrainingBatch) -> Mapping[str, Tensor]:
        """The parts of the loss of a batch: a compared network knows its own, the others have SAC's."""
        assert self.mask_loss is not None, "this task was made for testing"
        if isinstance(self.model, Network):
            return self.model.losses(batch, self.mask_loss)
        expert_points = WindowPoints(batch["expert_coords"], batch["expert_labels"])
        output = run_model(self.model, batch["images"], expert_points, batch["seeds"])
        return segmentation_losses(output, batch["masks"], self.mask_loss)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Seeds what layers draw, such as dropout, and tells a compared network the epoch.

        Before every batch, not once in an epoch: a resumed run then draws the same as an undisturbed one, and
        Lightning leaves ``on_train_epoch_start`` out where a run goes on.
        """
        place = (self.settings["seed"], self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(zlib.crc32(repr(place).encode()))
        if isinstance(self.model, Network):
            self.model.start_epoch(self.current_epoch)

    def on_validation_epoch_start(self) -> None:
        """Forgets the images of the epoch before."""
        self.pictures.clear()

    def validation_step(self, image: WholeImage) -> None:
        """Scores one validation image and keeps the first few to be shown."""
        prediction = self.predict_image(image)
        self.val_scores.update(prediction, image)
        self._keep(image, prediction)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation scores."""
        self._log_scores("val", self.val_scores)

    def on_test_epoch_start(self) -> None:
        """Forgets the validation images."""
        self.pictures.clear()

    def test_step(self, image: WholeImage) -> Prediction:  # type: ignore[override]
        """Scores one test image and keeps the first few for the picture."""
        prediction = self.predict_image(image, keep_embeddings=isinstance(self.separation, EveryPrompt))
        instances = None
        if self.separation is not None:
            instances = separate_nuclei(self.model, prediction, self.view, self.separation)
        self.test_scores.update(prediction, image, instances)
        prediction = replace(prediction, image_embeddings=None)
        self._keep(image, prediction)
        return prediction

    def on_test_epoch_end(self) -> None:
        """Logs the test scores, and keeps those of each image for the record."""
        self.image_scores = self.test_scores.image_scores()
        self._log_scores("test", self.test_scores)

    def predict_image(self, image: WholeImage, keep_embeddings: bool = False) -> Prediction:
        """Predict one image."""
        return segment(
            self.model, image.image, self.view, image.expert_points, image.seed, self.batch_size, keep_embeddings
        )

    def _keep(self, image: WholeImage, prediction: Prediction) -> None:
        if len(self.pictures) < PICTURES:
            self.pictures.append((image, prediction))

    def _log_scores(self, stage: str, scores: Scores) -> None:
        values = {f"{stage}/{name}": value for name, value in scores.compute().items()}
        self.log_dict(values, sync_dist=True)
        self.log(f"{stage}_dice", values[f"{stage}/dice"], prog_bar=True, logger=False, sync_dist=True)
        scores.reset()

    def configure_optimizers(self) -> Any:
        """The optimiser over what trains, and its scheduler."""
        assert self.make_optimizer is not None, "this task was made for testing"
        optimizer = self.make_optimizer(self._parameter_groups())
        factors = [group.get("lr_factor", 1.0) for group in optimizer.param_groups]
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] *= factor
        if self.make_scheduler is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self.make_scheduler(optimizer, **self._schedule(steps, factors))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _schedule(self, steps: int, factors: list[float]) -> dict[str, Any]:
        """What a schedule is told: its steps; one cycle, which sets the rates, the peak of each group too."""
        settings = getattr(self.make_scheduler, "keywords", {})
        if "max_lr" not in settings:
            return {"total_steps": steps}
        if settings.get("pct_start", 0) * steps == 1:
            steps += 1  # torch divides by zero where the warm-up is exactly one step.
        return {"total_steps": steps, "max_lr": [settings["max_lr"] * factor for factor in factors]}

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """What trains; the prompt generator by itself, with the factor of its learning rate."""
        if isinstance(self.model, Network):
            return self.model.parameter_groups()
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        own = [p for name, p in trained if name.startswith("prompt_generator.")]
        rest = {"params": [p for name, p in trained if not name.startswith("prompt_generator.")]}
        if not own:
            return [rest]
        return [rest, {"params": own, "lr_factor": self.settings["model"]["prompts"]["generator"]["lr_factor"]}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what trained, and what is needed to build the model again.

        Raises:
            UserError: A weight is no finite number; the checkpoint before is the last good one.
        """
        state = trained_state(self.model, self.base)
        spoilt = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
        if spoilt:
            raise UserError(
                f"after epoch {self.current_epoch + 1} the weights {spoilt[0]} are no finite numbers: "
                "lower optimizer.lr, or choose trainer.precision=32-true; "
                f"the last good checkpoint is {self._last_checkpoints()}"
            )
        checkpoint["state_dict"] = {f"{PREFIX}{name}": tensor for name, tensor in state.items()}
        base = None if self.base is None else dict(self.base)
        checkpoint[KEY] = {"settings": dict(self.settings), "base": base}
