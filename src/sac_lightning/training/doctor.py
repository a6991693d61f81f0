"""The doctor: checks of what a training needs; a fault in one does not stop the others."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import psutil
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from packaging.requirements import Requirement
from rich.console import Console
from torch import nn

from sac_lightning.core.arguments import refuse_arguments
from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.files import existing_part
from sac_lightning.model.build import base_weights, build_model, match_official
from sac_lightning.model.counting import parameter_counts
from sac_lightning.model.foreign.misfit import explain_needed, list_parts
from sac_lightning.model.foreign.sam import read_sam
from sac_lightning.model.precision import resolve_precision
from sac_lightning.model.register import REGISTER
from sac_lightning.model.segment_any_cell import SAC
from sac_lightning.model.weights import cached_path, locate
from sac_lightning.training.devices import refuse_missing_gpu
from sac_lightning.training.diagnosis import Diagnosis, Level
from sac_lightning.training.doctor_data import examine_data
from sac_lightning.training.wandb_login import refuse_missing_login

PACKAGE = "sac-lightning"
BYTES = 4  # of a parameter
# A checkpoint of the best epoch and one to go on from, and Adam's two moments in each.
COPIES_ON_DISK = 6
# What is left for records, pictures, predictions and logs.
SMALL_FILES = 2**29
GIB = 2**30

COLOURS: Mapping[Level, str] = {"good": "green", "note": "yellow", "fault": "red"}


class Training:
    """The configuration of a training and what follows from it, computed once."""

    def __init__(self, cfg: DictConfig) -> None:
        """Take the configuration that train would get."""
        self.cfg = cfg

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration, resolved, as plain dicts and lists."""
        return resolve_config(self.cfg)

    @cached_property
    def model(self) -> nn.Module:
        """The model, built on the meta device, where any size takes seconds.

        Raises:
            UserError: The model cannot be built.
        """
        try:
            with torch.device("meta"):
                return build_model(self.config["model"])
        except InstantiationException as error:
            raise UserError(str(error.__cause__)) from error

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Numbers of parameters of the model. See model."""
        return parameter_counts(self.model)


def examine(cfg: DictConfig) -> None:
    """Print all findings; end the program with status 1 if something will fail."""
    training = Training(cfg)
    console = Console(highlight=False, soft_wrap=True)
    examinations: dict[str, Callable[[Training], list[Diagnosis]]] = {
        "installation": check_installation,
        "device": check_device,
        "configuration": check_configuration,
        "data": check_data,
        "weights": check_weights,
        "memory": check_memory,
        "output": check_output,
        "logging": check_loggers,
    }
    faults = 0
    for name, examination in examinations.items():
        try:
            findings = examination(training)
        except UserError as error:
            findings = [Diagnosis("fault", str(error))]
        for finding in findings:
            colour = COLOURS[finding.level]
            console.print(f"{name:14} [{colour}]{finding.level:5}[/]  ", end="")
            console.print(finding.what, markup=False)
            faults += finding.level == "fault"
    console.print({0: "Nothing found that would fail.", 1: "1 fault."}.get(faults, f"{faults} faults."))
    if faults:
        sys.exit(1)


def check_installation(training: Training) -> list[Diagnosis]:
    """Check that the dependencies are installed in versions that the package works with."""
    try:
        needed = [Requirement(line) for line in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        return [
            Diagnosis("note", "the package is not installed but on the path: its dependencies are not checked")
        ]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [sentence for one in needed if (sentence := _explain_unmet(one)) is not None]
    if wrong:
        return [Diagnosis("fault", f"{sentence}: pip install '{PACKAGE}'") for sentence in wrong]
    python = ".".join(map(str, sys.version_info[:3]))
    return [Diagnosis("good", f"{len(needed)} packages, torch {version('torch')}, Python {python}")]


def _explain_unmet(requirement: Requirement) -> str | None:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement.name} is {found}, and {requirement.specifier} is needed"


def check_device(training: Training) -> list[Diagnosis]:
    """Check that the requested accelerator exists, and describe it."""
    cfg = training.cfg
    accelerator, precision = (
        cfg.trainer.accelerator,
        resolve_precision(cfg.trainer.precision, cfg.trainer.accelerator),
    )
    refuse_missing_gpu(cfg.trainer)
    if accelerator in ("gpu", "cuda") and torch.cuda.is_available():
        there = torch.cuda.device_count()
        name, total = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory
        return [Diagnosis("good", f"{there} x {name}, {total / GIB:.0f} GiB, precision {precision}")]
    cores = os.cpu_count() or 1
    findings = [
        Diagnosis("good", f"CPU, {torch.get_num_threads()} threads of {cores} cores, precision {precision}")
    ]
    if cfg.scale.name == "paper":
        findings.append(Diagnosis("note", "scale=paper takes days on a CPU: scale=cpu takes minutes"))
    return findings


def check_configuration(training: Training) -> list[Diagnosis]:
    """Check that the configured model can be built."""
    refuse_arguments(training.cfg)
    counts, name = training.parameters, training.cfg.model.name
    return [Diagnosis("good", f"{name}, {counts['trainable']:,} of {counts['total']:,} parameters train")]


def check_data(training: Training) -> list[Diagnosis]:
    """Check that the data set exists and that some images of each part can be read; show what is odd in it."""
    return examine_data(training.config)


def check_weights(training: Training) -> list[Diagnosis]:
    """Check that SAM's weights are present and fit the model, or report what will be downloaded."""
    model = training.config["model"]
    name = base_weights(model)
    if name is None:
        return [Diagnosis("note", f"{model['name']} starts from random weights, or from what it downloads itself")]
    registered = REGISTER.get(name)
    if registered is not None and registered.is_downloadable and not (cached := cached_path(registered)).exists():
        free = shutil.disk_usage(existing_part(cached.parent)).free
        what = f"{name} is not here: {registered.size / 1e9:.1f} GB will be downloaded to {cached}"
        if free < registered.size:
            raise UserError(f"{what}, where {free / 1e9:.1f} GB are free: make room, or set SAC_WEIGHTS")
        return [Diagnosis("note", f"{what}; without a network, put {registered.url} there")]
    path = locate(name)
    given = read_sam(path)
    if given.needed:
        raise UserError(explain_needed(given.needed, path))
    if (network := _model_of(training)) is not None:
        match_official(network, given.state, path, model["backbone"]["name"])
    findings = [Diagnosis("good", f"{name}: {len(given.state)} tensors in {path.name}")]
    if given.left_out:
        findings.append(
            Diagnosis("note", f"{path.name} holds more than SAM: {list_parts(given.left_out)}, left out")
        )
    return findings


def _model_of(training: Training) -> SAC | None:
    """Return the model, or None if the configuration is at fault, which has been said."""
    try:
        model = training.model
    except UserError:
        return None
    assert isinstance(model, SAC), "only settings of SAC and its relatives name a backbone"
    return model


def check_memory(training: Training) -> list[Diagnosis]:
    """Check that model, gradients and optimiser fit into memory; the images come on top."""
    try:
        counts = training.parameters
    except UserError:
        return []  # The configuration is at fault, which has been said.
    needed = BYTES * (counts["total"] + 3 * counts["trainable"])
    on_gpu = training.cfg.trainer.accelerator in ("gpu", "cuda") and torch.cuda.is_available()
    there = torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available
    what = (
        f"{needed / GIB:.1f} GiB for model, gradients and Adam, before any image, and {there / GIB:.1f} GiB free"
    )
    if needed > there:
        raise UserError(f"{what}: choose a smaller backbone")
    return [Diagnosis("good", f"{what}; python -m sac_lightning.benchmark plan=true says what images take")]


def check_output(training: Training) -> list[Diagnosis]:
    """Check that results can be written and that the disk has room for them."""
    features = training.cfg.features
    folders = [Path("outputs")] + ([Path(str(features))] if features is not None else [])
    findings = []
    for folder in folders:
        place = existing_part(folder.expanduser())
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise UserError(f"{place.resolve()} cannot be written to ({error.strerror}): go elsewhere") from error
        findings.append(_check_room(training, place))
    return findings


def _check_room(training: Training, place: Path) -> Diagnosis:
    try:
        trainable = training.parameters["trainable"]
    except UserError:
        trainable = 0
    needed, free = SMALL_FILES + COPIES_ON_DISK * BYTES * trainable, shutil.disk_usage(place).free
    what = f"{place.resolve()}: a run writes some {needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free"
    if needed > free:
        raise UserError(f"{what}: make room, or choose another output_dir")
    return Diagnosis("good", what)


def check_loggers(training: Training) -> list[Diagnosis]:
    """Check that Weights & Biases, if requested, has a login."""
    chosen_loggers: Any = training.cfg.logger or {}
    logger = chosen_loggers.get("wandb")
    if logger is None:
        return [Diagnosis("good", ", ".join(map(str, chosen_loggers)) or "none")]
    if logger.offline:
        return [Diagnosis("good", "wandb, offline: wandb sync sends it later")]
    refuse_missing_login(chosen_loggers)
    return [Diagnosis("good", "wandb, with a login")]
