"""The LightningModule: steps, optimiser, logging, checkpoints. The one training shell of every method."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.baselines.network import Network
from sac_lightning.core.errors import UserError
from sac_lightning.core.precision import FULL
from sac_lightning.core.scale import Scale
from sac_lightning.core.view import View
from sac_lightning.data.base import NucleiDataModule
from sac_lightning.data.build import make_expert_points
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.sample import TrainingBatch, WholeImage
from sac_lightning.data.windows import WindowPoints
from sac_lightning.inference.thresholds import Components, EveryPrompt, Separation
from sac_lightning.inference.windows import Prediction, run_model, segment
from sac_lightning.model.build import ADDED_PARTS
from sac_lightning.model.checkpoint import PREFIX, SCALE, kept_names
from sac_lightning.model.checkpoint_file import KEY
from sac_lightning.model.promptable import Promptable, decodes_nuclei
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.training.averaging import CURRENT, take_averaged_weights
from sac_lightning.training.checkpoints import LastCheckpoint
from sac_lightning.training.generator_first import train_alone
from sac_lightning.training.losses import FocalDice, segmentation_losses
from sac_lightning.training.metrics.scores import Scores
from sac_lightning.training.model_settings import refuse_view, settings_of, view_whole_images
from sac_lightning.training.nucleus_loss import nucleus_losses
from sac_lightning.training.prompted import separate_image
from sac_lightning.training.schedulers import make_scheduler

PICTURES = 4


class SegmentationTask(LightningModule):
    """Trains, validates and tests a model: SAC and its relatives, or one's own network.

    One's own network is any ``nn.Module`` from images (B, 3, H, W) RGB in 0..255 to logits (B, 1, H, W).

    Example::

        task = SegmentationTask(sac(backbone="vit_t"), optimizer=partial(Adam, lr=5e-4))
        Trainer(max_epochs=3).fit(task, datamodule=DSB2018("data"))

    ``sac_lightning.load``, predict and evaluate take the checkpoints that the trainer writes.
    """

    def __init__(
        self,
        model: nn.Module,
        view: View | None = None,
        settings: dict[str, Any] | None = None,
        base: Mapping[str, str] | None = None,
        batch_size: int = 8,
        mask_loss: nn.Module | None = None,
        optimizer: Callable[[Iterable[nn.Parameter] | list[dict[str, Any]]], Optimizer] | None = None,
        scheduler: Callable[..., LRScheduler] | None = None,
        separation: Separation | None = None,
        seed: int = 0,
    ) -> None:
        """Put together what trains and tests a model.

        Args:
            model: The model, see inference.windows.run_model.
            view: How the model sees images, which the data module takes over. Default: whole images, resized to
                the side that the model was made for, or to 256 pixels.
            settings: What checkpoints say of the run, see checkpoint.Loaded. Default: the model's and the data
                module's own, the view and the seed.
            base: The pre-trained weights in the model, see build.load_base. Default: those that the model notes.
            batch_size: Windows per forward pass in validation and test.
            mask_loss: Logits and target (B, 1, H, W) to a scalar. Default: SAM's, FocalDice.
            optimizer: Parameters to an optimiser. Default: the paper's, Adam at 1e-4.
            scheduler: Optimiser to a scheduler, see schedulers.make_scheduler. Default: none, the learning rate
                stays.
            separation: How the test tells nuclei apart. Default: by the mask's connected regions.
            seed: Seed of all that is drawn in training, unless ``settings`` have one.

        Raises:
            UserError: The view has another image size than the model.
        """
        super().__init__()
        self.strict_loading = False  # A checkpoint holds only what trained.
        self.model = model
        model_settings = settings_of(model)
        self.view = view or view_whole_images(model_settings)
        self.mask_loss = FocalDice() if mask_loss is None else mask_loss
        self.make_optimizer = optimizer or partial(Adam, lr=1e-4)
        self.make_scheduler = scheduler
        self.separation = separation
        self.prompted = "own"  # see training.prompted
        self._notes_settings = settings is None
        self.settings = settings if settings is not None else self._describe(model_settings, seed)
        self.scale: Scale | None = None
        self.base = base or (getattr(model, "base", None) if "_target_" in model_settings else None)
        self.batch_size = batch_size
        refuse_view(self.view, model_settings)
        has_generator = isinstance(model, Promptable) and model.has_generator
        self.decodes_nuclei = decodes_nuclei(model)
        self.val_scores = Scores(has_generator, instances=False, prompts=False)
        self.test_scores = Scores(
            has_generator,
            instances=True,
            prompts=isinstance(model, Promptable),
            selection=model.point_selection if isinstance(model, Promptable) and has_generator else None,
        )
        self.pictures: list[tuple[WholeImage, Prediction]] = []
        self.image_scores: list[dict[str, Any]] = []

    def _describe(self, model_settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the settings of a task that was given none; setup fills in the last two."""
        return {
            "model": dict(model_settings),
            "view": asdict(self.view),
            "seed": seed,
            "data": None,
            "precision": FULL,
        }

    @property
    def seed(self) -> int:
        """The seed of all that is drawn in training."""
        return int(self.settings.get("seed", 0))

    @property
    def expert_points(self) -> ExpertPoints:
        """The expert points that the model is given, see data.base.NucleiDataModule.setup."""
        return make_expert_points(self.settings.get("model", {}))

    def setup(self, stage: str) -> None:
        """Note data and precision in the settings, unless these were given; the stage makes no difference."""
        if self._notes_settings:
            data = getattr(self.trainer, "datamodule", None)
            self.settings["data"] = data.settings if isinstance(data, NucleiDataModule) else None
            self.settings["precision"] = self.trainer.precision

    def on_fit_start(self) -> None:
        """Measure the size of nuclei, which checkpoints say."""
        data = getattr(self.trainer, "datamodule", None)
        if self.scale is None and isinstance(data, NucleiDataModule):
            self.scale = data.measure_scale()

    def training_step(self, batch: TrainingBatch) -> Tensor:
        """Return the sum of the losses of a batch.

        Raises:
            UserError: It is no finite number.
        """
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
        """Return the parts of the loss of a batch: a compared network has its own, every other model SAC's.

        A network with separating heads has its own on the mask, and beside it that of a separating generator.
        """
        if isinstance(self.model, Network) and self.model.maps == 1:
            return self.model.losses(batch, self.mask_loss)
        if isinstance(self.model, SAC) and self._is_generator_alone():
            return train_alone(self.model, batch)
        if self.decodes_nuclei:
            return nucleus_losses(self.model, batch, self.mask_loss)
        expert_points = WindowPoints(batch["expert_coords"], batch["expert_labels"])
        output = run_model(self.model, batch["images"], expert_points, batch["seeds"])
        return segmentation_losses(output, batch["masks"], self.mask_loss, batch["instances"])

    def _is_generator_alone(self) -> bool:
        """Return whether this step is the prompt generator's alone."""
        share = float(self._generator_settings().get("alone", 0.0))
        return share > 0 and self.trainer.global_step < share * self.trainer.estimated_stepping_batches

    def _generator_settings(self) -> Mapping[str, Any]:
        return self.settings["model"].get("prompts", {}).get("generator", {})  # type: ignore[no-any-return]

    def training_figures(self) -> list[str]:
        """Return the names under which a training logs its losses, for what watches one."""
        parts = ["mask"]
        if isinstance(self.model, Promptable):
            parts += ["generator"] if self.model.has_generator else []
            parts += ["iou"]
        elif isinstance(self.model, Network) and self.model.maps > 1:
            parts += ["generator"]
        return ["loss", "train/loss", *(f"train/{part}_loss" for part in parts)]

    def validation_figures(self) -> list[str]:
        """Return the names under which a training logs its validation figures, for what watches one."""
        return ["val_dice", *(f"val/{name}" for name in self.val_scores.names())]

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Seed what layers draw, such as dropout, and tell a compared network the epoch.

        Before every batch and not once in an epoch: a resumed run then draws the same as an undisturbed one, and
        Lightning does not call ``on_train_epoch_start`` when a run is resumed.
        """
        place = (self.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(zlib.crc32(repr(place).encode()))
        if isinstance(self.model, Network):
            self.model.start_epoch(self.current_epoch)

    def on_validation_epoch_start(self) -> None:
        """Forget the images of the epoch before."""
        self.pictures.clear()

    def validation_step(self, image: WholeImage) -> None:
        """Score one validation image and keep the first few to be shown."""
        prediction = self.predict_image(image)
        self.val_scores.update(prediction, image)
        self._keep(image, prediction)

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores."""
        self._log_scores("val", self.val_scores)

    def on_test_epoch_start(self) -> None:
        """Forget the validation images."""
        self.pictures.clear()
        self.test_scores.scores_objects = getattr(
            getattr(self.trainer, "datamodule", None), "scores_objects", False
        )

    def test_step(self, image: WholeImage) -> Prediction:  # type: ignore[override]
        """Score one test image and keep the first few for the picture."""
        prediction = self.predict_image(image, keep_embeddings=isinstance(self.separation, EveryPrompt))
        prediction, instances = separate_image(
            self.model, prediction, image, self.view, self.separation or Components(), self.prompted
        )
        self.test_scores.update(prediction, image, instances)
        prediction = replace(prediction, image_embeddings=None, generator_logits=None, instances=instances)
        self._keep(image, prediction)
        return prediction

    def on_test_epoch_end(self) -> None:
        """Log the test scores, and keep those of each image for the record."""
        self.image_scores = self.test_scores.image_scores()
        self._log_scores("test", self.test_scores)

    def predict_image(self, image: WholeImage, keep_embeddings: bool = False) -> Prediction:
        """Predict one image.

        Args:
            image: The image, on the model's device.
            keep_embeddings: Keep what the image encoder gives, for other prompts to be decoded.
        """
        view = self.view.at_scale(image.factor)
        return segment(
            self.model, image.image, view, image.expert_points, image.seed, self.batch_size, keep_embeddings
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
        """Return the optimiser over what trains, and its scheduler.

        Raises:
            UserError: Nothing trains.
        """
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise UserError(
                f"{self.settings['model']['name']} has nothing to train: test it by Trainer.test, or give it a "
                "prompt generator by Prompts(points=1)"
            )
        optimizer = self.make_optimizer(self.parameter_groups())
        factors = [group.get("lr_factor", 1.0) for group in optimizer.param_groups]
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] *= factor
        if self.make_scheduler is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        return {
            "optimizer": optimizer,
            "lr_scheduler": make_scheduler(self.make_scheduler, optimizer, steps, factors),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return what trains; what learns from nothing by itself, with the factor of its learning rate."""
        if isinstance(self.model, Network):
            return self.model.parameter_groups()
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        own = [p for name, p in trained if name.startswith(ADDED_PARTS)]
        rest = {"params": [p for name, p in trained if not name.startswith(ADDED_PARTS)]}
        if not own:
            return [rest]
        return [rest, {"params": own, "lr_factor": self._generator_settings().get("lr_factor", 1.0)}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what trained, and what is needed to build the model again.

        Raises:
            UserError: A weight is no finite number; the checkpoint before is the last good one.
        """
        take_averaged_weights(self, checkpoint)
        names = [f"{PREFIX}{name}" for name in kept_names(self.model, self.base)]
        for part in {"state_dict", CURRENT} & checkpoint.keys():
            checkpoint[part] = {name: checkpoint[part][name] for name in names}
        spoilt = [name for name, tensor in checkpoint["state_dict"].items() if not torch.isfinite(tensor).all()]
        if spoilt:
            raise UserError(
                f"after epoch {self.current_epoch + 1} the weights {spoilt[0].removeprefix(PREFIX)} are no finite "
                "numbers: lower optimizer.lr, or choose trainer.precision=32-true; "
                f"the last good checkpoint is {self._last_checkpoints()}"
            )
        base = None if self.base is None else dict(self.base)
        checkpoint[KEY] = {"settings": dict(self.settings), "base": base}
        if self.scale is not None:
            checkpoint[KEY][SCALE] = asdict(self.scale)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the frozen weights to those of a training with averaged ones, which Lightning wants whole."""
        for part in {"state_dict", CURRENT} & checkpoint.keys() if CURRENT in checkpoint else ():
            checkpoint[part] = {**self.state_dict(), **checkpoint[part]}
