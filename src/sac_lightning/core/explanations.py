"""The sentence of an error that a user can remedy; a defect of ours has none and keeps its traceback."""

import errno
import re
import traceback

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException

from sac_lightning.core.errors import UserError

# Errors of the operating system that a user can remedy.
FULL = "make room there and start the same command again; what was written before is whole"
FORBIDDEN = "change who may write there, or choose another folder"
REMEDIES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: FORBIDDEN,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
}
# What constructors say about arguments. Others of their errors are defects, of one's own code maybe.
ARGUMENT_ERRORS = ("TypeError", "ValueError", "ImportError", "ModuleNotFoundError", "MisconfigurationException")


def explain_error(error: BaseException) -> str | None:
    """Return the sentence for a user, or None for a defect."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        return _in_one_line(error)
    if type(error).__module__.startswith("yaml."):  # Which OmegaConf brings along, and which has no types.
        return f"a configuration file cannot be read: {_in_one_line(error)}"
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return f"{error.filename or 'a file'} cannot be written ({error.strerror}): {REMEDIES[error.errno]}"
    if isinstance(error, InstantiationException):
        return _explain_instantiation(error)
    if _is_raised_by_lightning(error):
        return f"the trainer refused its settings: {_in_one_line(error)}"
    return None


def _explain_instantiation(error: InstantiationException) -> str | None:
    """Explain what Hydra could not make: the setting that asks for it, and what its constructor says."""
    cause = error.__cause__
    if cause is None:
        return None
    if type(cause).__name__ not in ARGUMENT_ERRORS and not _comes_from_lightning(cause):
        return explain_error(cause)
    place = re.search(r"full_key: (\S+)", str(error)) or re.search(r"target '([^']+)'", str(error))
    return f"{place[1] if place else 'a part'} cannot be made: {_in_one_line(cause)}"


def _is_raised_by_lightning(error: BaseException) -> bool:
    """Return whether Lightning itself raised an error, as it does over settings that do not go together."""
    if type(error).__name__ == "MisconfigurationException":
        return True
    return isinstance(error, TypeError | ValueError) and _comes_from_lightning(error)


def _comes_from_lightning(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and re.search(r"[\\/](lightning|pytorch_lightning)[\\/]", frames[-1].filename) is not None


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
