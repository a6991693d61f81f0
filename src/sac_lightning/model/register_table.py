"""Print the register of models: all of them as a table, or one; and compare files with it."""

import hashlib
import sys
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from sac_lightning.model.register import FOLDER, REGISTER, Model
from sac_lightning.model.registered import digest_of
from sac_lightning.model.weights import cached_path

KINDS = {"checkpoint": "trained model", "sam": "plain SAM"}
UNKNOWN = "not known"


def models(cfg: DictConfig) -> None:
    """Print what the configuration asks for; end with status 1 if a file is not the registered one."""
    chosen = list(REGISTER.values()) if cfg.name is None else [REGISTER[cfg.name]]
    if cfg.verify:
        _verify_all(chosen, cfg.file and Path(cfg.file))
    elif cfg.name is None:
        Console(width=120).print(_tabulate(chosen))
    else:
        for line in describe_model(chosen[0]):
            print(line)


def path_of(model: Model) -> Path:
    """Return where a model's file is, or would be."""
    return FOLDER / model.file if model.is_shipped else cached_path(model)


def describe_model(model: Model) -> list[str]:
    """Return all that the register says of a model, as lines."""
    path = path_of(model)
    lines = {
        "name": model.name,
        "kind": KINDS[model.kind],
        "what for": model.purpose,
        "use": model.use,
        "recipe": " ".join(model.recipe),
        "licence": model.licence,
        "data": model.data,
        "figures": model.figures,
        "size": f"{model.size:,} bytes" if model.size else UNKNOWN,
        "SHA-256": model.sha256 or UNKNOWN,
        "other hash": model.checksum,
        "address": model.url,
        "file": f"{path}{'' if path.is_file() else ', which is not there yet'}",
        "card": str(path.with_suffix(".md")) if model.is_shipped else "",
    }
    return [f"{key:<12}{value}" for key, value in lines.items() if value]


def find_fault(model: Model, path: Path) -> str | None:
    """Return how a file differs from the registered one, as a clause; None if nothing that is known differs."""
    size = path.stat().st_size
    if model.size and size != model.size:
        return f"{size:,} bytes instead of {model.size:,}"
    known = known_hash(model)
    if known is None or (found := digest_of(path, known[0])) == known[1]:
        return None
    return f"its {known[0]} is {found}, not {known[1]}"


def known_hash(model: Model) -> tuple[str, str] | None:
    """Return the algorithm and the hexadecimal digest by which a model's file can be verified, if there is one."""
    if model.sha256:
        return "sha256", model.sha256
    algorithm, _, digest = model.checksum.partition(":")
    return (algorithm, digest) if algorithm in hashlib.algorithms_guaranteed else None


def _verify_all(chosen: list[Model], given: Path | None) -> None:
    """Print a line for each model; end with status 1 if one's file is not the registered one."""
    faults = 0
    for model in chosen:
        path = given or path_of(model)
        if not path.is_file():
            level, what = ("fault" if model.is_shipped else "note"), f"{path} is not there{_remedy(model)}"
        elif fault := find_fault(model, path):
            level, what = "fault", f"{path} is not the registered file: {fault}"
        elif known := known_hash(model):
            level, what = "good", f"{path}, by its {known[0]}"
        else:
            level = "note"
            what = f"{path} cannot be verified, as no SHA-256 is published; its own is {digest_of(path, 'sha256')}"
        print(f"{model.name:<16}{level:<7}{what}")
        faults += level == "fault"
    if faults:
        sys.exit(1)


def _remedy(model: Model) -> str:
    if model.is_shipped:
        return ": install the package again"
    if model.is_downloadable:
        return f": {model.use} downloads it"
    return f": get {model.url}"


def _tabulate(chosen: list[Model]) -> Table:
    table = Table(title="Models: checkpoint=NAME takes a trained one, backbone.weights=NAME a SAM")
    for column in ("name", "kind", "what for", "licence"):
        table.add_column(column)
    table.add_column("MB", justify="right")
    table.add_column("where")
    for model in chosen:
        size = f"{model.size / 1e6:,.0f}" if model.size else "?"
        table.add_row(model.name, KINDS[model.kind], model.purpose, model.licence, size, _where(model))
    return table


def _where(model: Model) -> str:
    """Return in a word or two where a model's file is."""
    if model.is_shipped:
        return "package"
    if cached_path(model).is_file():
        return "cache"
    return "to download" if model.is_downloadable else "not here"
