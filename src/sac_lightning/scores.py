"""The figures of one evaluation: of the mask, of the prompt generator, of the instances."""

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from sac_lightning.data.sample import WholeImage
from sac_lightning.inference import Prediction
from sac_lightning.instance_metrics import AJI, AP50, PanopticQuality
from sac_lightning.instances import connected_components
from sac_lightning.metrics import F1, Dice, IoU

THRESHOLD = 0.5


class Scores(nn.Module):
    """Metrics over the images of a split, at native resolution and threshold 0.5."""

    def __init__(self, generator: bool, instances: bool) -> None:
        """Args: generator: score the prompt generator's own mask too; instances: AJI, PQ and AP50 too."""
        super().__init__()
        self.mask = _mask_metrics()
        self.generator = _mask_metrics(prefix="generator_") if generator else None
        metrics: dict[str, Metric | MetricCollection] = {
            "aji": AJI(),
            "pq": PanopticQuality(),
            "ap50": AP50(),
        }
        self.instances = MetricCollection(metrics, compute_groups=False) if instances else None

    def update(self, prediction: Prediction, image: WholeImage) -> None:
        """Adds one image."""
        truth = (image.instances > 0)[None]
        mask = prediction.probability > THRESHOLD
        self.mask.update(mask[None], truth)
        if self.generator is not None:
            assert prediction.generator_probability is not None
            self.generator.update((prediction.generator_probability > THRESHOLD)[None], truth)
        if self.instances is not None:
            labels = torch.from_numpy(connected_components(mask.cpu().numpy()))
            self.instances.update(labels, image.instances.cpu())

    def compute(self) -> dict[str, Tensor]:
        """All figures by name, over all processes."""
        values: dict[str, Tensor] = dict(self.mask.compute())
        for part in (self.generator, self.instances):
            if part is not None:
                values |= part.compute()
        return values

    def reset(self) -> None:
        """Forgets all images."""
        for part in (self.mask, self.generator, self.instances):
            if part is not None:
                part.reset()


def _mask_metrics(prefix: str | None = None) -> MetricCollection:
    return MetricCollection({"dice": Dice(), "iou": IoU(), "f1": F1()}, prefix=prefix, compute_groups=False)
