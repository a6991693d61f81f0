"""From a name of the register to a file that has been verified, without torch: a wrong name is refused at once."""

import hashlib
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.model.register import FOLDER, REGISTER, Model


def find_checkpoint(given: str | Path, key: str = "checkpoint") -> Path:
    """Return the file of a trained model of the register; of what is no name in it, the path itself.

    A name stands before a file of the same name in the current folder, which ``./NAME`` is.

    Args:
        given: The name of a trained model, or a path.
        key: The option that it was given as, for the error.

    Raises:
        UserError: It is the name of a plain SAM, or the package's file is not the registered one.
    """
    model = REGISTER.get(given) if isinstance(given, str) else None
    if model is None:
        return Path(given)
    if model.kind == "sam":
        raise UserError(
            f"{key}={given} names a plain SAM, which has no prompt generator: train with it, by {model.use}"
        )
    return check_shipped(model)


def check_shipped(model: Model) -> Path:
    """Return the path of a file that the package ships. Raise UserError if it is not the registered one."""
    path = FOLDER / model.file
    if not path.is_file() or sha256_of(path) != model.sha256:
        raise UserError(f"{path} is not the file that belongs to this version: install the package again.")
    return path


def require_checkpoint(given: object, key: str = "checkpoint") -> None:
    """Raise UserError if an option names neither a trained model nor a path that exists."""
    names = ", ".join(name for name, model in REGISTER.items() if model.kind == "checkpoint")
    if given is None:
        raise UserError(f"{key}=null names no model: leave it out, or give a path or a name ({names})")
    if not find_checkpoint(str(given), key).exists():
        raise UserError(
            f"{key}={given} does not exist: give a path that does, or the name of a trained model ({names})"
        )


def find_recipe(overrides: Sequence[str]) -> list[str]:
    """Return the choices by which the model that ``init=`` names was trained, but for those that are made."""
    started = [override.removeprefix("init=") for override in overrides if override.startswith("init=")]
    model = REGISTER.get(started[-1]) if started else None
    made = {override.lstrip("+").partition("=")[0] for override in overrides}
    return [] if model is None else [choice for choice in model.recipe if choice.partition("=")[0] not in made]


def nearest_name(given: str) -> str:
    """Return the name in the register that is most like another."""
    return get_close_matches(given, REGISTER, n=1, cutoff=0)[0]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in lower-case hexadecimal."""
    return digest_of(path, "sha256")


def digest_of(path: Path, algorithm: str) -> str:
    """Return the digest of a file's bytes by an algorithm of hashlib, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()
