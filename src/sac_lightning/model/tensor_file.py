"""Files of tensors, read without running any code that they hold.

Training files hold more than tensors: the settings of a training, or, as torch_em's, its data sets and functions.
What such objects are made of is read, but they are not made: each becomes a StandIn, which does nothing. So the
tensors beside them can be had without the packages that wrote the file, and without trusting it.
"""

import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from sac_lightning.core.errors import UserError

REMEDY = "save the state dict alone, with torch.save(model.state_dict(), file)."

# Of Python's own library, what training files hold beside tensors. Anything else of it has no business there.
HARMLESS = {
    "argparse.Namespace",
    "collections.deque",
    "copyreg._reconstructor",
    "functools.partial",
    "inspect._empty",
    "operator.attrgetter",
    "operator.itemgetter",
    "re._compile",
    "types.SimpleNamespace",
    "uuid.UUID",
}
# What of the builtins would run code or reach for files.
HARMFUL = {"__import__", "breakpoint", "compile", "delattr", "eval", "exec", "input", "open", "setattr"}
HARMLESS_MODULES = {"datetime", "decimal", "enum", "fractions", "pathlib", "typing"}


class StandIn:
    """What stands for an object that is no tensor and no plain data: it takes anything and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        """Take the object's arguments and forget them."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See __new__."""

    def __setstate__(self, state: Any) -> None:
        """Take the object's state and forget it."""


def read_content(path: Path) -> Any:
    """Read what a file of tensors holds. Its tensors are on the CPU, memory-mapped if it has torch's zip format.

    Args:
        path: A .safetensors file, or any other that ``torch.save`` wrote.

    Raises:
        UserError: The file cannot be read, or only by running code.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} cannot be read as safetensors ({error}): get it again.") from error
    zipped = zipfile.is_zipfile(path)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # torch warns about files that it then refuses
            safe_globals(_make_stand_ins(path) if zipped else []),
        ):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give another file.") from error
    except UserError:
        raise
    # torch may raise anything over a damaged file: RuntimeError, KeyError, EOFError, struct.error.
    except Exception as error:
        code = re.search(r"GLOBAL (\S+)|module (\S+) is blocked", str(error))
        if code:
            fault = f"would run code ({code[1] or code[2]}) and was refused"
        else:
            fault = "is damaged, or cannot be read without running code"
        raise UserError(f"{path} {fault}: get it again, or {REMEDY}") from error


def _make_stand_ins(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what torch is to call in place of the classes and functions that a file names.

    Raises:
        UserError: One of them is of Python's own library and none of those that training files hold.
    """
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(StandIn, f"{__name__}.StandIn")]
    for name in sorted(get_unsafe_globals_in_checkpoint(str(path))):
        if name == "builtins.getattr":  # Of a class inside a class.
            stand_ins.append((_stand_in_for_attribute, name))
        elif name == "collections.defaultdict":
            stand_ins.append((_make_dict, name))
        elif _is_harmless(name):
            stand_ins.append((type(name, (StandIn,), {}), name))
        else:
            raise UserError(f"{path} would run code ({name}) and was refused: get it again, or {REMEDY}")
    return stand_ins


def _is_harmless(name: str) -> bool:
    module, _, inside = name.partition(".")
    if module == "builtins":
        return inside not in HARMFUL
    return module not in sys.stdlib_module_names or name in HARMLESS or module in HARMLESS_MODULES


def _stand_in_for_attribute(*arguments: Any) -> type[StandIn]:
    return StandIn


def _make_dict(*arguments: Any) -> OrderedDict[Any, Any]:
    """Return an empty dict of a class that torch's reader fills."""
    return OrderedDict()
