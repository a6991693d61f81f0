"""The record of a run, read back from its ``results.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.runs.record import NO_RECORD, RECORD_FILE, RunRecord, read_record


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        path: Path of its ``results.json``, or of a copy of that.
        content: Content of the file.
    """

    path: Path
    content: RunRecord

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.content["seed"])

    @property
    def name(self) -> str:
        """Name of its copy in the pages' folder: after its run, or the name that it already has there."""
        if self.path.name != RECORD_FILE:
            return self.path.name
        return f"{self.content['dataset']}_{self.content['method']}_{self.content['config_hash'][:12]}.json"

    @property
    def scale(self) -> str:
        """Name of the scale: paper, cpu, smoke."""
        return str(self.content["config"]["scale"]["name"])

    def figure(self, name: str) -> float | None:
        """Return a figure of the run, None if it has no such figure.

        Args:
            name: A metric of the whole test split (in [0, 1]), seconds_per_epoch, or trainable, frozen, total.
        """
        places: tuple[Mapping[str, Any], ...] = (self.content["metrics"], self.content["parameters"], self.content)
        value = next((place[name] for place in places if name in place), None)
        return None if value is None else float(value)

    def images(self, name: str) -> dict[str, float]:
        """Return a metric (dice or iou, in [0, 1]) of each test image by the image's name."""
        return {image["name"]: float(image[name]) for image in self.content["images"]}

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Return (epoch from 0, value) of a metric such as val/dice or train/loss; empty without training."""
        return [(int(row["epoch"]), float(row[name])) for row in self.content["history"] if name in row]


def read_training(path: Path) -> Record:
    """Read the record of a training, or of a count of parameters.

    Raises:
        UserError: The file is not such a record.
    """
    content = read_record(path)
    if "scale" not in content["config"] or "history" not in content:
        raise UserError(NO_RECORD.format(path))
    return Record(path, content)
