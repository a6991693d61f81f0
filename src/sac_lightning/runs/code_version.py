"""Which version of the code a run's numbers come from: a hash of the modules that its configuration reaches.

A configuration names classes and functions. They and the work itself import modules of this package, or of one's
own, and those import others. The hash covers these modules and no others, without comments, docstrings and layout:
an edit of one compared network concerns that network's runs alone. Of an installed package that the configuration
names, the installed files count as a whole, but not of those whose versions every record names, such as torch. A
record made by another version is no reason to skip a run.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import distribution, packages_distributions
from typing import Any

from sac_lightning.core.names import translate_names
from sac_lightning.core.source import strip_docstrings
from sac_lightning.runs.reach import PACKAGE, imports_the_unknown, is_installed, reachable_modules, source_of

TRAINING = "sac_lightning.training.fitting"
"""What computes the numbers of a training and its test. What shows and stores them is not among its imports."""

NOTED = (PACKAGE, "hydra", "lightning", "torch")
"""Packages whose versions a record names beside its code (see runs.environment)."""

DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def code_version(config: Mapping[str, Any], work: str = TRAINING) -> str:
    """Return the SHA-256 of the code that a run reaches, as this minor version of Python reads it.

    Args:
        config: Of the run, resolved.
        work: Name of the module that does the work.
    """
    names = _named_code(config)
    digest = hashlib.sha256()
    for module in sorted(reachable_modules([work, *names])):
        digest.update(f"{module}\n{_reduce(source_of(module))}\n".encode())
    for line in _describe_packages(names):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def is_code_known(config: Mapping[str, Any]) -> bool:
    """Return whether all code that a run reaches could be found, so that its version says what it computes."""
    return not imports_the_unknown(_named_code(config))


def _named_code(config: Mapping[str, Any]) -> set[str]:
    # A logger shows a run.
    return set(_find_names({key: value for key, value in translate_names(config).items() if key != "logger"}))


def _find_names(settings: Any) -> Iterator[str]:
    """Yield the names of code in settings: what is called (``_target_``), and what is handed over as text."""
    if isinstance(settings, Mapping):
        for value in settings.values():
            yield from _find_names(value)
    elif isinstance(settings, list):
        for item in settings:
            yield from _find_names(item)
    elif isinstance(settings, str) and DOTTED_NAME.fullmatch(settings):
        yield settings


@cache
def _reduce(source: bytes) -> str:
    """Return what of a module's source makes its version."""
    try:
        return strip_docstrings(source)
    except (SyntaxError, ValueError):  # One's own may be broken: the run says so.
        return hashlib.sha256(source).hexdigest()


def _describe_packages(names: Iterable[str]) -> Iterator[str]:
    """Yield what tells the installed packages that are named from other versions of them."""
    tops = {name.partition(".")[0] for name in names} - set(NOTED)
    installed = sorted(top for top in tops if is_installed(top))
    distributions = packages_distributions() if installed else {}
    for name in sorted({name for top in installed for name in distributions.get(top, ())}):
        found = distribution(name)
        yield f"{name} {found.version}"
        # Own code may be installed again under the same version. A line holds a file's hash.
        yield from (line for line in (found.read_text("RECORD") or "").splitlines() if ".py,sha256" in line)
