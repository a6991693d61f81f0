"""Nested settings by their keys as one types them, joined by dots."""

from collections.abc import Iterator, Mapping
from typing import Any


def flatten_settings(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested settings by their keys, such as ``trainer.max_epochs``.

    Args:
        settings: Dicts, lists and plain values. Lists and empty dicts are values.
        above: Keys above them, with a dot behind each.
    """
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten_settings(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def with_those_above(key: str) -> list[str]:
    """Return a key with the keys of all that it is a part of, such as ``trainer`` and ``trainer.max_epochs``."""
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
