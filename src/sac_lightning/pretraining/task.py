"""The LightningModule of the pre-training: each step queries SAM about scenes and lets it correct itself."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.pretraining.auxiliary import ReconstructionHead, SimilarityHead
from sac_lightning.pretraining.example import Example
from sac_lightning.pretraining.interaction import CLICKS, decode, draw_corrections, interact
from sac_lightning.pretraining.losses import balanced_bce, coverage, dice, iou, mask_loss

MOST_CORRECTIONS = 3


class PretrainingTask(LightningModule):
    """The joint training of image encoder, prompt encoder and mask decoder.

    A step asks for objects by a click or a box each, corrects the answers by clicks on what is wrong, asks for
    unions of kinds by many points, and trains the embedding directly through heads that are dropped afterwards.
    """

    def __init__(
        self,
        sam: SAC,
        patch: int,
        objects: int,
        box_share: float,
        focus: tuple[float, float],
        seed: int,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[..., LRScheduler],
    ) -> None:
        """Set up the model, its auxiliary heads and the settings.

        Args:
            sam: The model, with all of its parameters set to train.
            patch: Side of a patch of its image encoder, in pixels.
            objects: Objects of each scene that go through the decoder; the similarity heads train on all queried
                objects.
            box_share: Share of the steps that begin with boxes instead of clicks.
            focus: Shares of the training at which the focal loss begins to replace balanced cross-entropy, and at
                which it has replaced it.
            seed: Seed of the corrections.
            optimizer: Builds an optimiser from parameters.
            scheduler: Builds, from an optimiser and ``total_steps``, a scheduler that steps once per batch.
        """
        super().__init__()
        self.sam = sam
        self.similarity_of_objects = SimilarityHead()
        self.similarity_of_kinds = SimilarityHead()
        self.reconstruction = ReconstructionHead(patch)
        self.objects = objects
        self.box_share = box_share
        self.begin, self.end = focus
        self.seed = seed
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler

    def training_step(self, batch: Example) -> Tensor:
        """Return the sum of the losses of a batch of scenes."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        images = self.sam.normalise(batch["image"])
        embeddings = self.sam.image_encoder(images)
        losses = self._embedding_losses(embeddings, images, batch)
        losses |= self._object_losses(embeddings, batch, generator)
        losses["union"] = self._union_loss(embeddings, batch)
        total = torch.stack(list(losses.values())).sum()
        logged = {f"train/{name}": loss.detach() for name, loss in losses.items()}
        self.log_dict(logged, on_step=False, on_epoch=True, batch_size=len(images))
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    @property
    def focus(self) -> float:
        """The share of the focal loss at this step, in [0, 1]."""
        progress = self.global_step / max(int(self.trainer.estimated_stepping_batches), 1)
        return min(max((progress - self.begin) / (self.end - self.begin), 0.0), 1.0)

    def _embedding_losses(self, embeddings: Tensor, images: Tensor, batch: Example) -> dict[str, Tensor]:
        """Return the losses of pixel similarity, per object and per kind, and of the image's reconstruction."""
        side = images.shape[-1]
        objects = self.similarity_of_objects(embeddings, batch["clicks"], side)
        stride = side // objects.shape[-1]
        centres = slice(stride // 2, None, stride)
        object_map, kind_map = (batch[key][:, None, centres, centres] for key in ("objects", "kinds"))
        same_object = (object_map == batch["asked"][..., None, None]).float()
        kinds = self.similarity_of_kinds(embeddings, batch["clicks"], side)
        clicked = batch["clicks"].long()
        kind = batch["kinds"].flatten(1).gather(1, clicked[..., 1] * side + clicked[..., 0])
        same_kind = (kind_map == kind[..., None, None]).float()
        return {
            "similarity_of_objects": (balanced_bce(objects, same_object) + dice(objects, same_object)).mean(),
            "similarity_of_kinds": 0.5 * (balanced_bce(kinds, same_kind) + dice(kinds, same_kind)).mean(),
            "reconstruction": 0.5 * self.reconstruction(embeddings, images),
        }

    def _object_losses(self, embeddings: Tensor, batch: Example, generator: torch.Generator) -> dict[str, Tensor]:
        """Ask about each object by a click or a box, then again with corrections; return both losses."""
        side, grid = batch["image"].shape[-1], 4 * embeddings.shape[-1]
        asked = batch["asked"][:, : self.objects, None, None]
        target = coverage(batch["objects"][:, None] == asked, grid).flatten(0, 1)[:, None]
        repeated = embeddings.repeat_interleave(self.objects, dim=0)
        coords = batch["clicks"][:, : self.objects].reshape(-1, 1, 2)
        labels = torch.ones(coords.shape[:2], dtype=torch.long, device=coords.device)
        boxes = None
        if torch.rand((), generator=generator) < self.box_share:
            boxes = batch["boxes"][:, : self.objects].reshape(-1, 4)
            logits, estimate = decode(self.sam, repeated, boxes=boxes)
        else:
            logits, estimate = decode(self.sam, repeated, coords, labels)
        first = self._answer_loss(logits, estimate, target)

        rated_best = estimate[:, 1:].argmax(1) + 1
        answer = logits.detach()[torch.arange(len(logits)), rated_best][:, None]
        number = int(torch.randint(1, MOST_CORRECTIONS + 1, (), generator=generator))
        more_coords, more_labels = draw_corrections(answer[:, 0], target[:, 0], number, side, generator)
        if boxes is None:
            more_coords, more_labels = torch.cat([coords, more_coords], 1), torch.cat([labels, more_labels], 1)
        shown = answer if torch.rand((), generator=generator) < 0.5 else None
        logits, estimate = decode(self.sam, repeated, more_coords, more_labels, boxes, shown)
        second = self._answer_loss(logits, estimate, target)
        return {"first_answer": first, "corrected_answer": second}

    def _answer_loss(self, logits: Tensor, estimate: Tensor, target: Tensor) -> Tensor:
        """Return the single mask's loss plus the lowest of the three's plus the error of the estimated IoU."""
        each = mask_loss(logits, target, self.focus)  # (N, 4)
        error = (estimate - iou(logits.detach(), target)) ** 2
        return (each[:, 0] + each[:, 1:].amin(1)).mean() + error.mean()

    def _union_loss(self, embeddings: Tensor, batch: Example) -> Tensor:
        """Ask, by many points, for all objects of the kinds on which they lie; return the single mask's loss."""
        target = coverage(batch["union"], 4 * embeddings.shape[-1])[:, None]
        logits, estimate = decode(self.sam, embeddings, batch["union_coords"], batch["union_labels"])
        error = (estimate[:, :1] - iou(logits[:, :1].detach(), target)) ** 2
        return mask_loss(logits[:, :1], target, self.focus).mean() + error.mean()

    def validation_step(self, batch: Example) -> None:
        """Click on the objects of held-out scenes, ask for their unions, and log the IoU of the answers."""
        images = self.sam.normalise(batch["image"])
        embeddings = self.sam.image_encoder(images)
        truths = batch["objects"][:, None] == batch["asked"][..., None, None]
        repeated = embeddings.repeat_interleave(truths.shape[1], dim=0)
        answers = interact(self.sam, repeated, truths.flatten(0, 1), CLICKS)
        target = coverage(batch["union"], 4 * embeddings.shape[-1])[:, None]
        logits, _ = decode(self.sam, embeddings, batch["union_coords"], batch["union_labels"])
        watched = {
            "one_click": answers.best[:, 0],
            "three_clicks": answers.best[:, -1],
            "union": iou(logits[:, :1], target)[:, 0],
        }
        for name, values in watched.items():
            self.log(f"val/{name}_iou", values.float().mean(), prog_bar=True, batch_size=len(values))

    def configure_optimizers(self) -> Any:
        """Build the optimiser over all parameters, and its scheduler."""
        optimizer = self.make_optimizer(self.parameters())
        scheduler = self.make_scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
