"""The record of a run, read back from its ``results.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError


@dataclass(frozen=True)
class Record:
    """One run.

    Attributes:
        path: Of its ``results.json``, or of the copy of it.
        content: What the file holds.
    """

    path: Path
    content: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Of the run."""
        return int(self.content["seed"])

    @property
    def name(self) -> str:
        """File name of its copy, after its run."""
        return f"{self.content['dataset']}_{self.content['method']}_{self.content['config_hash'][:12]}.json"

    @property
    def scale(self) -> str:
        """Name of the scale: paper, cpu, smoke."""
        return str(self.content["config"]["scale"]["name"])

    def figure(self, name: str) -> float | None:
        """A figure of the run, None where there is none.

        Args:
            name: A metric of the whole test split (in [0, 1]), seconds_per_epoch, or trainable, frozen, total.
        """
        places = (self.content["metrics"], self.content.get("parameters", {}), self.content)
        value = next((place[name] for place in places if name in place), None)
        return None if value is None else float(value)

    def images(self, name: str) -> dict[str, float]:
        """A metric (dice or iou, in [0, 1]) of each test image by the image's name."""
        return {image["name"]: float(image[name]) for image in self.content["images"]}

    def curve(self, name: str) -> list[tuple[int, float]]:
        """A metric by epoch from 0, such as val/dice or train/loss; empty where nothing was trained."""
        return [(int(row["epoch"]), float(row[name])) for row in self.content["history"] if name in row]


def read_record(path: Path) -> Record:
    """Reads a record.

    Raises:
        UserError: It is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["config"]["scale"]["name"], content["seed"], content["metrics"], content["history"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no record of a training run: remove it, or give another folder") from error
    return Record(path, content)
