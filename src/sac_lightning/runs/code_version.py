"""Which version of the code a run's numbers come from: a hash of the modules that its configuration reaches.

A configuration names classes and functions (``_target_``). They and the work itself import modules of this
package, and those import others. The hash covers these modules and no others, without comments, docstrings and
layout: an edit of one compared network concerns that network's runs alone. A record made by another version is no
reason to skip a run.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from sac_lightning.core.names import find_targets, translate_names
from sac_lightning.core.source import strip_docstrings
from sac_lightning.runs.reach import reachable_modules, source_file

TRAINING = "sac_lightning.training.fitting"
"""What computes the numbers of a training and its test. What shows and stores them is not among its imports."""


def code_version(config: Mapping[str, Any], work: str = TRAINING) -> str:
    """Return the SHA-256 of the modules that a run reaches, as this minor version of Python reads them.

    Args:
        config: Of the run, resolved.
        work: Name of the module that does the work.
    """
    digest = hashlib.sha256()
    for module in sorted(reachable_modules([work, *find_targets(translate_names(config))])):
        digest.update(f"{module}\n{_code_of(module)}\n".encode())
    return digest.hexdigest()


@cache
def _code_of(module: str) -> str:
    path = source_file(module)
    assert path is not None
    return strip_docstrings(path.read_text(encoding="utf-8"))
