"""The record of a run: ``results.json``, the truth of which W&B and TensorBoard are views.

Its schema stands here, for all who write or read one. See runs.environment for what it says of the machine.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.runs.contents import Contents, are_contents
from sac_lightning.runs.identity import Identity, config_hash, identity_of

RECORD_FILE = "results.json"
NO_RECORD = "{} is no record of a training run: remove it, or give another folder"


class Provenance(TypedDict):
    """What every record says of its run.

    Attributes:
        row: Label of the row of a table that the run is of, None outside of tables.
        experiment: Name of the experiment that started it, likewise.
        config: The resolved configuration; paths in it are relative to the output folder.
        config_hash: Of ``config``, see runs.identity.
        code_version: When the run began, see runs.code_version.
        contents: Digests of what it read, when it began, see runs.contents; records of former times have none.
        date: When the run ended, in UTC.
    """

    row: str | None
    experiment: str | None
    config: dict[str, Any]
    config_hash: str
    code_version: str
    contents: NotRequired[Contents]
    date: str


class Environment(TypedDict):
    """Where a run took place.

    Attributes:
        device: Name of the GPU, or what CPU.
        threads: Of torch.
        versions: Of Python and the packages that numbers depend on.
        git_commit: Of the source tree, with ``+changes`` where it was not clean; None outside a checkout.
        peak_memory_bytes: Most memory in use.
    """

    device: str
    threads: int
    versions: dict[str, str]
    git_commit: str | None
    peak_memory_bytes: int


class Header(TypedDict):
    """What a record of a training or a test says first: who, on what, prompted how; None if it does not apply."""

    method: str
    dataset: str
    backbone: str | None
    points: int | None
    experts: int | None
    selection: str | None
    seed: int


class RunRecord(Header, Provenance):
    """The record of a training, an evaluation, or a count of parameters.

    Attributes:
        metrics: Figures of the test split by name, in [0, 1]; None where a figure was no number.
        prompt_quality: Figures of the point prompts by name.
        images: Figures of each test image, see metrics.scores.Scores.image_scores.
        parameters: Numbers of trainable, frozen and all parameters.
        history: A row per epoch with ``epoch`` (from 0), seconds and logged figures; absent if nothing trained.
        seconds_per_epoch: Mean, without validation.
        epochs: Their number.
        checkpoint: Path of the tested checkpoint, from the record's folder if it lies there.
        instances: How nuclei were told apart, and by which thresholds; absent of a training whose test took
            connected components.
        factors: Of an evaluation: how many pixels of each image that was enlarged or reduced were one of the
            training, by its name, see View.at_scale.
        parameters_as_trained: Of a count: the numbers in our way of counting, as ``parameters`` are Table 6's.
        test_images: Their number.
        collapsed: ``background`` or ``nucleus`` if nearly every pixel was predicted to be that.
        precision: Of the trainer.
        split_hash: Of the data set's split.
        base_weights: ``name`` and ``sha256`` of the weights that the model began with.
        imagenet_weights: Which ImageNet weights a compared network began with.
        init: What the run took over from the checkpoint that it started from, see model.warm_start.
        resumed: Of each checkpoint of another run that it went on from: ``from``, its path, ``sha256``, the
            ``epochs`` that were done, and ``changes``, a pair of values by key of the configuration.
    """

    metrics: dict[str, float | None]
    prompt_quality: dict[str, float | None]
    images: list[dict[str, Any]]
    parameters: dict[str, int]
    history: NotRequired[list[dict[str, Any]]]
    seconds_per_epoch: NotRequired[float | None]
    epochs: NotRequired[int]
    checkpoint: NotRequired[str]
    instances: NotRequired[dict[str, Any]]
    factors: NotRequired[dict[str, float]]
    parameters_as_trained: NotRequired[dict[str, int]]
    test_images: NotRequired[int]
    collapsed: NotRequired[str | None]
    precision: NotRequired[str | None]
    split_hash: NotRequired[str]
    base_weights: NotRequired[dict[str, str] | None]
    imagenet_weights: NotRequired[str | None]
    init: NotRequired[dict[str, Any]]
    resumed: NotRequired[list[dict[str, Any]]]
    # Of Environment, which a count has none of.
    device: NotRequired[str]
    threads: NotRequired[int]
    versions: NotRequired[dict[str, str]]
    git_commit: NotRequired[str | None]
    peak_memory_bytes: NotRequired[int]


class PretrainingRecord(Provenance, Environment):
    """The record of a pre-training, whose product is a file of weights.

    Attributes:
        weights: ``name``, ``bytes`` and ``sha256`` of the file.
        parameters: Numbers, by part or by what trains.
        epochs: Their number.
        history: As of RunRecord.
        metrics: Figures by test and name.
        base_weights: As of RunRecord.
        dataset: Name of the data set, with its ``split_hash`` and the number of its training ``images``.
        steps: Of the optimiser.
        resumed: As of RunRecord.
    """

    weights: dict[str, Any]
    parameters: dict[str, int]
    epochs: int
    history: list[dict[str, Any]]
    metrics: NotRequired[dict[str, dict[str, float]]]
    base_weights: NotRequired[dict[str, str] | None]
    dataset: NotRequired[str]
    split_hash: NotRequired[str]
    images: NotRequired[int]
    steps: NotRequired[int]
    resumed: NotRequired[list[dict[str, Any]]]


REQUIRED_KEYS: dict[type, frozenset[str]] = {
    RunRecord: RunRecord.__required_keys__,
    PretrainingRecord: PretrainingRecord.__required_keys__,
}


def record_header(config: Mapping[str, Any]) -> Header:
    """Return what a record says first, from its configuration."""
    model = config["model"]
    prompts = model.get("prompts", {})
    return {
        "method": model["name"],
        "dataset": config["data"]["name"],
        "backbone": model.get("backbone", {}).get("name"),
        "points": prompts.get("points"),
        "experts": prompts.get("experts"),
        "selection": prompts.get("selection"),
        "seed": config["seed"],
    }


def record_provenance(config: Mapping[str, Any], identity: Identity | None = None) -> Provenance:
    """Return what a record says of the run itself, now that it ends.

    Args:
        config: Of the run, resolved.
        identity: Of the run, from when it began: code and files may have changed since. None: as of now.
    """
    identity = identity or identity_of(config)
    return {
        "row": config.get("row"),
        "experiment": config.get("experiment", {}).get("name"),
        "config": dict(config),
        "config_hash": config_hash(config),
        "code_version": identity["code_version"],
        "contents": identity["contents"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_record(path: Path, record: Mapping[str, Any], schema: type = RunRecord) -> None:
    """Write a record as JSON, whole or not at all; a number that is none (NaN, infinite) becomes null.

    Raises:
        ValueError: The record has not the keys of its schema: a defect of the command that writes it.
    """
    wrong = (REQUIRED_KEYS[schema] - record.keys()) | (record.keys() - schema.__annotations__.keys())
    if wrong:
        raise ValueError(f"a {schema.__name__} has other keys: {', '.join(sorted(wrong))}")
    with whole_file(path) as partial:
        text = json.dumps(replace_non_finite(record), indent=2, allow_nan=False)
        partial.write_text(f"{text}\n", encoding="utf-8")


def read_record(path: Path) -> RunRecord:
    """Read the record of a training, an evaluation or a count.

    Raises:
        UserError: The file cannot be read, or holds no such record.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(NO_RECORD.format(path)) from error
    if (
        not isinstance(content, dict)
        or REQUIRED_KEYS[RunRecord] - content.keys()
        or not isinstance(content["config"], dict)
        or not are_contents(content.get("contents", {"data": {}, "files": {}}))
    ):
        raise UserError(NO_RECORD.format(path))
    return cast(RunRecord, content)


def find_record(folder: Path) -> RunRecord | None:
    """Return the record in a run's folder; None if there is none yet, or half of one."""
    try:
        return read_record(folder / RECORD_FILE)
    except UserError:
        return None


def replace_non_finite(value: Any) -> Any:
    """Return the same with null for the numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
