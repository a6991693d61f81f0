"""Types and ranges of the settings that commands share, checked before any work begins.

A setting that is not named here is free: what takes it checks it. View and prompts check themselves, see core.view
and core.prompts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from sac_lightning.core.errors import UserError

LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one.
TYPES = ("bool", "int", "float", "str")
REMEDIES = {
    "bool_type": "choose true or false",
    "dict_type": "give its settings, or leave it out",
    "float_type": "choose a number",
    "greater_than": "choose a number above {gt}",
    "greater_than_equal": "choose a number of at least {ge}",
    "int_type": "choose a whole number",
    "less_than": "choose a number below {lt}",
    "less_than_equal": "choose a number of at most {le}",
    "literal_error": "choose one of {expected}",
    "model_type": "choose one of its group's settings",
    "string_type": "give a text",
}


def _check_batches(value: Any) -> Any:
    """Lightning takes a number of batches, or a float as a share of them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("choose a number of batches, or a share of them from 0.0 to 1.0")
    if isinstance(value, float) and value > 1:
        raise ValueError("choose a share of the batches from 0.0 to 1.0, or a whole number of them")
    return value


def _check_devices(value: Any) -> Any:
    """Lightning takes a number of devices, -1 or ``auto`` for all, or their indices."""
    number = isinstance(value, int) and not isinstance(value, bool) and (value >= 1 or value == -1)
    indices = isinstance(value, list) and value and all(isinstance(index, int) and index >= 0 for index in value)
    text = isinstance(value, str) and re.fullmatch(r"auto|-1|\d+(,\d+)*,?", value) is not None
    if not (number or indices or text):
        raise ValueError("choose a number of devices of at least 1, or auto for all")
    return value


def _check_interval(value: Any) -> Any:
    """Lightning takes a timedelta."""
    if isinstance(value, str | int | float):
        raise ValueError("choose every_n_epochs or every_n_train_steps instead")
    return value


Count = Annotated[int, Field(ge=1)]
NumberOrNone = Annotated[int, Field(ge=0)] | None
Share = Annotated[float, Field(gt=0, lt=1)]
Batches = Annotated[Any, AfterValidator(_check_batches)]


class _Settings(BaseModel):
    """Settings of which only some are known here, no one of which is taken for another type."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Data(_Settings):
    batch_size: Count | None = None
    workers: NumberOrNone = None
    crops_per_image: Count | None = None
    in_memory: bool | None = None
    augment: bool | Literal["strong"] | None = None
    side: Count | None = None
    train: NumberOrNone = None
    val: NumberOrNone = None
    test: NumberOrNone = None
    scene_seed: NumberOrNone = None
    split_seed: NumberOrNone = None
    val_ratio: Share | None = None
    test_ratio: Share | None = None


class _Backbone(_Settings):
    depth: Count | None = None
    dim: Count | None = None
    heads: Count | None = None
    patch: Count | None = None


class _Optimizer(_Settings):
    lr: Annotated[float, Field(ge=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None


class _Trainer(_Settings):
    accelerator: str | None = None
    devices: Annotated[Any, AfterValidator(_check_devices)] = 1
    num_nodes: Count = 1
    min_epochs: NumberOrNone = None
    max_epochs: Annotated[int, Field(ge=-1)] | None = None
    min_steps: NumberOrNone = None
    max_steps: Annotated[int, Field(ge=-1)] = -1
    gradient_clip_val: Annotated[float, Field(ge=0)] | None = None
    accumulate_grad_batches: Count = 1
    check_val_every_n_epoch: Count | None = None
    limit_train_batches: Batches = 1.0
    limit_val_batches: Batches = 1.0
    limit_test_batches: Batches = 1.0
    overfit_batches: Batches = 0.0
    val_check_interval: Batches = 1.0
    fast_dev_run: bool | NumberOrNone = False
    log_every_n_steps: NumberOrNone = None
    num_sanity_val_steps: Annotated[int, Field(ge=-1)] | None = None
    deterministic: bool | Literal["warn"] | None = None
    enable_progress_bar: bool | None = None


class _Part(_Settings):
    """Something that Hydra makes: it has a ``_target_``."""

    target: str = Field(alias="_target_")


class _Callback(_Part):
    monitor: str | None = None
    mode: Literal["min", "max"] = "max"
    patience: NumberOrNone = None
    train_time_interval: Annotated[Any, AfterValidator(_check_interval)] = None


class _Command(_Settings):
    """What the configurations of commands have in common; none has all of it."""

    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = None
    count_only: bool = False
    redo: bool = False
    imagenet: bool = False
    activation_checkpointing: bool = False
    data: _Data | None = None
    backbone: _Backbone | None = None
    optimizer: _Optimizer | None = None
    trainer: _Trainer | None = None
    loss: _Part | None = None
    callbacks: dict[str, _Callback | None] | None = None
    logger: dict[str, _Part | None] | None = None


def check_settings(config: Mapping[str, Any]) -> None:
    """Raise UserError for the first setting that has the wrong type or is out of its range.

    Args:
        config: Of any command, or a part of it, resolved, as plain dicts and lists.
    """
    try:
        _Command.model_validate(config)
    except ValidationError as error:
        raise UserError(_explain(error.errors())) from error
    data = config.get("data") or {}
    ratios = [data.get("val_ratio") or 0, data.get("test_ratio") or 0]
    if sum(ratios) >= 1:
        raise UserError(
            f"data.val_ratio and data.test_ratio are {ratios[0]} and {ratios[1]}: leave images for the training"
        )


def _explain(errors: Sequence[ErrorDetails]) -> str:
    """Return a sentence on the first setting that is wrong: as one types it, its value and the remedies."""
    key, value = _key(errors[0]), errors[0]["input"]
    if errors[0]["type"] == "missing":
        return f"{key.removesuffix('._target_')} lacks _target_: name what is to be made"
    remedies = dict.fromkeys(_remedy(error) for error in errors if _key(error) == key)
    return f"{key} is {value}: {', or '.join(remedies)}"


def _key(error: ErrorDetails) -> str:
    """Return the keys of a setting, joined by dots; pydantic adds the types that it may have to its place."""
    return ".".join(part for part in map(str, error["loc"]) if re.fullmatch(r"\w+", part) and part not in TYPES)


def _remedy(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if "error" in context:
        return str(context["error"])
    return REMEDIES.get(error["type"], error["msg"]).format(**context)
