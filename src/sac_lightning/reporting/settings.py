"""In which settings configurations differ, as far as their rows do."""

from collections.abc import Mapping, Sequence
from typing import Any

from sac_lightning.core.flat import flatten_settings, with_those_above
from sac_lightning.runs.identity import OUTSIDE_ROWS

NOT_SHOWN = ("_target_", "dirpath")
# What stands elsewhere, too: what a model is built from, a scale's choices for each data set.
COPIES = ("model.prompts.", "model.backbone.", "scale.")


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration by their keys as one types them, without what makes no other row."""
    return {key: value for key, value in flatten_settings(config) if value != {} and not _is_outside(key)}


def _is_outside(key: str) -> bool:
    is_of_no_row = any(one in OUTSIDE_ROWS for one in with_those_above(key))
    return is_of_no_row or key.startswith(COPIES) or key.rpartition(".")[2] in NOT_SHOWN


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that all have, and of which not all have the same value."""
    common = [key for key in settings[0] if all(key in one for one in settings)]
    return [key for key in common if any(one[key] != settings[0][key] for one in settings)]
