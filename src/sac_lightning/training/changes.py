"""What may be changed when a training goes on from a checkpoint: how long, how fast and where, but not what.

Every key of the configuration is of one of three kinds:

- it takes effect from the epoch on where the training goes on, and stands in the record as a change;
- it changes no number, and may be anything;
- all others say what is trained, on what, and towards what: with another value it would be another training, which
  may start from the checkpoint's weights (``init=``), but does not go on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sac_lightning.core.errors import UserError
from sac_lightning.core.flat import flatten_settings, with_those_above
from sac_lightning.core.names import translate_names
from sac_lightning.runs.contents import NOT_OF_NUMBERS, Contents, replace_paths
from sac_lightning.runs.identity import drop_neutral_options

# As for fnmatch, where * also stands for dots.
TAKES_EFFECT = (
    "trainer.*",
    "optimizer.*",
    "scheduler",
    "scheduler.*",
    "callbacks.*",
    "*.batch_size",
    "*prompts.generator.lr_factor",
    "*prompts.generator.alone",
    "seed",  # Of what is drawn from then on.
    "code",  # Of one's own, or of another version of this package.
)
OF_THE_RATE = ("trainer.*", "optimizer.*", "scheduler", "scheduler.*", "*.batch_size", "*.lr_factor")
"""Those that the optimiser's settings, or the schedule and its length, follow from."""
FIXED = ("optimizer._target_",)
"""Of those the exception: what an optimiser keeps of each weight is its own."""
CHANGES_NOTHING = (
    *NOT_OF_NUMBERS,
    "resume",
    "init",
    "imagenet",
    "count_only",
    "*._partial_",
    "callbacks.*.dirpath",
    "*.workers",
    "data.in_memory",
    # Compared by contents.
    "data.root",
    "*backbone.weights",
    # The choices of a scale and a recipe; what the run takes from them stands elsewhere.
    "scale",
    "recipe",
)
DIGITS = 12
"""Of a digest: enough to tell images apart, and few enough to be named in a sentence."""
SHOWN = 3
"""Differences that an error names."""


@dataclass(frozen=True)
class Change:
    """A key of the configuration with its values before and after; ``null`` where it is not there."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """Return such as ``trainer.max_epochs 2 -> 4``."""
        before, after = self.shown
        return f"{self.key} {before} -> {after}"

    @property
    def shown(self) -> tuple[str, str]:
        """The values as one would type them; of a class, its name without the modules."""
        before, after = (json.dumps(value, default=str).strip('"') for value in (self.before, self.after))
        if self.key.endswith("_target_"):
            return before.rpartition(".")[2], after.rpartition(".")[2]
        return before, after

    def concerns(self, patterns: tuple[str, ...]) -> bool:
        """Return whether one of some patterns stands for the key, or for what it is a part of."""
        return any(fnmatchcase(key, pattern) for key in with_those_above(self.key) for pattern in patterns)


def with_contents(config: Mapping[str, Any], contents: Contents, code: str | None = None) -> dict[str, Any]:
    """Return a configuration that says what was read, and not where it lay, and by which version of the code.

    Args:
        config: Of the run, resolved.
        contents: Of what it reads; ``images`` are those of the data.
        code: See runs.code_version. Default: it is not compared.
    """
    images = {part: digest[:DIGITS] for part, digest in contents["data"].items()}
    version = {} if code is None else {"code": code[:DIGITS]}
    return {**replace_paths(config, contents), "images": images, **version}


def find_changes(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: Path) -> list[Change]:
    """Return what a run that goes on changes and what takes effect.

    Args:
        theirs: Configuration of the run that the checkpoint is of, see with_contents.
        ours: Configuration of the run that goes on, likewise.
        path: Path of the checkpoint, for the error.

    Raises:
        UserError: Something else is changed.
    """
    before, after = (
        dict(flatten_settings(drop_neutral_options(translate_names(config)))) for config in (theirs, ours)
    )
    every = [*after, *(key for key in before if key not in after)]
    # What the model takes from the groups of the configuration stands there once more.
    keys = [key for key in every if f"model.{key}" not in before.keys() | after.keys()]
    changes = [Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
    changes = [change for change in changes if not change.concerns(CHANGES_NOTHING)]
    if "code" not in before:  # A checkpoint of a former version does not say.
        changes = [change for change in changes if change.key != "code"]
    refused = [change for change in changes if change.concerns(FIXED) or not change.concerns(TAKES_EFFECT)]
    if refused:
        # The name of a model or a data set says more than what differs because of it.
        refused.sort(key=lambda change: not change.key.endswith(("name", "optimizer._target_")))
        named = ", ".join(f"{c.key} {c.shown[0]}, not {c.shown[1]}" for c in refused[:SHOWN])
        more = f" and {len(refused) - SHOWN} more differences" if len(refused) > SHOWN else ""
        raise UserError(
            f"{path} was trained with {named}{more}: make them the same to go on with it, or give it as init= "
            "instead of resume=, to start a new training from its weights"
        )
    return changes
