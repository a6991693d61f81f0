"""Names and paths on a command line that look like numbers: Hydra reads ``output=2026_11_30`` as 20261130.

A folder may be called 2026_11_30, 1e3 or true. What is typed for a key that takes a path or a name is put into
quotes where Hydra would read anything but text, so that it arrives as it was typed.
"""

import re
from collections.abc import Sequence

# The last part of every key that takes a path, or a name that a person chooses.
TEXTS = frozenset(
    (
        "backbone",
        "checkpoint",
        "data",
        "dataset",
        "default_root_dir",
        "dir",
        "dirpath",
        "entity",
        "experiment",
        "features",
        "file",
        "filename",
        "folder",
        "group",
        "images",
        "init",
        "job_type",
        "logger",
        "loss",
        "method",
        "model",
        "name",
        "output",
        "output_dir",
        "points",
        "project",
        "prompts",
        "recipe",
        "resume",
        "root",
        "row",
        "runs",
        "save_dir",
        "scale",
        "scheduler",
        "source",
        "split",
        "stage",
        "subdir",
        "table",
        "tags",
        "title",
        "token",
        "trainer",
        "trust",
        "weights",
    )
)
# Keys that end like one of these and take a number.
NUMBERS = frozenset(("prompts.points", "model.prompts.points"))
# What Hydra's grammar reads as an integer, a float or a boolean.
_NOT_TEXT = re.compile(
    r"""
      [+-]? (?: \d [\d_]* \.? [\d_]* | \. \d [\d_]* ) (?: e [+-]? [\d_]+ )?
    | [+-]? (?: inf | nan )
    | true | false
    """,
    re.X | re.I,
)


def keep_texts(overrides: Sequence[str]) -> list[str]:
    """Return overrides in which the paths and names that Hydra would not read as text are in quotes."""
    return [_keep_text(override) for override in overrides]


def quote(text: str) -> str:
    """Return a text in quotes, as Hydra reads it back whatever it holds."""
    # Backslashes stand for themselves, but for those before a quotation mark.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def _keep_text(override: str) -> str:
    key, equals, value = override.partition("=")
    plain = key.lstrip("+~").partition("@")[0].replace("/", ".")
    if not equals or plain in NUMBERS or plain.rpartition(".")[2] not in TEXTS:
        return override
    return f"{key}={_quote_numbers(value)}"


def _quote_numbers(value: str) -> str:
    """Quote each element of a value that is not read as text: of a list, of a sweep, or the value itself."""
    bare = value.strip()
    if bare.startswith("[") and bare.endswith("]"):
        return f"[{_quote_numbers(bare[1:-1])}]"
    parts = _split(value)
    if len(parts) > 1:
        return ",".join(map(_quote_numbers, parts))
    return f"'{bare}'" if _NOT_TEXT.fullmatch(bare) else value


def _split(value: str) -> list[str]:
    """Split a value at its commas, but for those within quotes or brackets, or behind a backslash."""
    parts, depth, within, escaped = [""], 0, "", False
    for character in value:
        if escaped:
            pass
        elif within:
            within = "" if character == within else within
        elif character in "'\"":
            within = character
        else:
            depth += (character in "[{(") - (character in ")}]")
        if character == "," and depth == 0 and not within and not escaped:
            parts.append("")
        else:
            parts[-1] += character
        escaped = character == "\\" and not escaped
    return parts
