"""The class of an object in QuPath, in whichever spelling a version of it writes."""

from collections.abc import Iterable
from typing import Any

# Between the names of a class that is derived from another.
SEPARATOR = ":"
# By which QuPath marks what is to be ignored.
IGNORED = "*"


def class_names(classification: Any) -> list[str]:
    """Return the names of a class: of a text, of name or names, or of a class with its parents (before 0.4)."""
    if classification is None:
        return []
    if isinstance(classification, str):
        return [name.strip() for name in classification.split(SEPARATOR) if name.strip()]
    if isinstance(classification, list):
        return [name for part in classification for name in class_names(part)]
    parents = class_names(classification.get("parentClass"))
    return [*parents, *class_names(classification.get("names") or classification.get("name"))]


def is_ignored(names: Iterable[str]) -> bool:
    """Return whether a class is to be ignored: it or one that it is derived from ends in a star."""
    return any(name.strip().endswith(IGNORED) for name in names)
