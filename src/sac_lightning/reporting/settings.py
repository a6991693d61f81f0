"""In which settings configurations differ, as far as their rows do."""

from collections.abc import Mapping, Sequence
from typing import Any

from sac_lightning.runs.identity import NOT_HASHED, NOT_HASHED_DATA, NOT_IN_ROW, NOT_IN_ROW_TRAINER

# What stands elsewhere, too: what a model is built from, a scale's choices for each data set.
COPIES = ("model.prompts.", "model.backbone.", "scale.")
OUTSIDE = (
    *NOT_HASHED,
    *NOT_IN_ROW,
    *(f"data.{key}" for key in NOT_HASHED_DATA),
    *(f"trainer.{key}" for key in NOT_IN_ROW_TRAINER),
)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings of a configuration by their keys as one types them, without what makes no other row."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if path in OUTSIDE:
            continue
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}.")
        elif not path.startswith(COPIES) and key not in ("_target_", "dirpath"):
            flat[path] = value
    return flat


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that all have, and of which not all have the same value."""
    common = [key for key in settings[0] if all(key in one for one in settings)]
    return [key for key in common if any(one[key] != settings[0][key] for one in settings)]
