"""The files and folders that values of a configuration name, wherever they stand in it."""

import os
from collections.abc import Iterator, Mapping
from glob import glob, has_magic
from pathlib import Path
from typing import Any

OURS = ("sac_lightning", "hydra", "lightning", "torch")
"""Packages whose classes take no folder by its bare name."""


def named_paths(node: Any, key: str = "", bare: bool = False) -> Iterator[tuple[str, Path]]:
    """Yield the values that name a file, a folder or, by a pattern such as ``A/*.png``, several, with their keys.

    A bare word such as ``sac`` is no folder of that name, which may lie there by chance. Handed to a class of
    one's own, it may be one.

    Args:
        node: Of the configuration, resolved.
        key: Where it stands, its keys joined by dots.
        bare: Whether a bare word may name a folder.
    """
    if isinstance(node, Mapping):
        target = node.get("_target_")
        bare = bare if target is None else str(target).partition(".")[0] not in OURS
        for name, value in node.items():
            # The name of a choice, and of code.
            if name not in ("name", "_target_"):
                yield from named_paths(value, f"{key}.{name}" if key else str(name), bare)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from named_paths(value, f"{key}.{place}", bare)
    elif isinstance(node, str):
        path = os.path.expanduser(node)
        if os.path.isfile(path) or ((bare or os.sep in path) and os.path.isdir(path)) or matches(path):
            yield key, Path(path)


def matches(path: str | Path) -> list[Path]:
    """Return what a pattern stands for, in the order of the names; nothing for what is there, or is no pattern."""
    text = str(path)
    # A star alone says no more than a word does.
    if not has_magic(text) or os.path.exists(text) or (os.sep not in text and "." not in text):
        return []
    return [Path(found) for found in sorted(glob(text, recursive=True))]
