"""The contents of what a run reads, as digests: images and truths, and the files that its configuration names.

A configuration names files, and other bytes may lie under the same name tomorrow. Two runs are the same only if
what they read is. See docs/public-names.md.
"""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from hydra.utils import instantiate

from sac_lightning.core.names import translate_names
from sac_lightning.data.listing import list_files
from sac_lightning.data.split import PARTS
from sac_lightning.runs.file_digests import digest_file, digest_files
from sac_lightning.runs.named_paths import matches, named_paths
from sac_lightning.runs.reach import PACKAGE

UNREADABLE, CHANGED = "unreadable", "changed during the run"
"""In place of a digest. What is not known is the same as nothing, not even as itself."""

NOT_OF_NUMBERS = (
    "activation_checkpointing",
    "experiment",
    "features",
    "folder",
    "logger",
    "output_dir",
    "recipe",
    "redo",
    "row",
    "runs",
)
"""What changes where or how fast a run goes, or what it is called or shows, but not what it computes."""
NOT_READ = (*NOT_OF_NUMBERS, "scale")  # A scale's choices stand where they are used.
WRITTEN = {
    "default_root_dir",
    "dirpath",
    "dump",
    "export",
    "filename",
    "log",
    "logs",
    "out",
    "output",
    "save",
    "write",
}
"""Settings of the trainer or a callback, or words in their names, that say where it writes."""
LOADING = ("_target_", "name", "batch_size", "workers", "crops_per_image", "in_memory", "augment")
"""Settings of every data module, which say how samples are loaded and not which."""

log = logging.getLogger(__name__)


class Contents(TypedDict):
    """Digests of what a run reads.

    Attributes:
        data: Of the images and truths of each part, with their names; of no part for data without files.
        files: Of the files and folders that values of the configuration name, by the values' dotted keys.
    """

    data: dict[str, str]
    files: dict[str, str]


def read_contents(config: Mapping[str, Any], parts: Sequence[str] = PARTS) -> Contents:
    """Return the digests of what a run of a configuration reads.

    Args:
        config: Of the run, resolved.
        parts: Of the data, that the run reads.
    """
    if config.get("count_only"):
        return {"data": {}, "files": {}}
    named = {key: value for key, value in config.items() if key not in NOT_READ}
    files = {
        key: digest_path(path)
        for key, path in named_paths(named)
        # Of a folder of data, what is read counts.
        if (path.is_file() or not key.startswith("data.")) and not _is_written(key, path, config)
    }
    return {"data": _digest_data(config, parts) if config.get("data") else {}, "files": files}


def are_contents(value: object) -> bool:
    """Return whether what a file holds has the form of Contents."""
    if not isinstance(value, dict) or value.keys() != Contents.__annotations__.keys():
        return False
    mappings = all(isinstance(digests, dict) for digests in value.values())
    return mappings and all(isinstance(text, str) for digests in value.values() for text in digests.values())


def are_known(contents: Contents) -> bool:
    """Return whether all that a run reads could be read, and stayed as it was."""
    return {UNREADABLE, CHANGED}.isdisjoint((*contents["data"].values(), *contents["files"].values()))


def mark_changed_data(contents: Contents, config: Mapping[str, Any]) -> Contents:
    """Return the contents at the end of a run that began with others: images are read in every epoch.

    Args:
        contents: When it began.
        config: Of the run, resolved.
    """
    now = read_contents(config)["data"]
    data = {part: digest if now.get(part) == digest else CHANGED for part, digest in contents["data"].items()}
    if data != contents["data"]:
        log.warning("the images have changed during the run: its record stands for no run and will not be reused")
    return {**contents, "data": data}


def replace_paths(config: Mapping[str, Any], contents: Contents) -> dict[str, Any]:
    """Return a configuration with the digest of a file in place of its path, wherever it lies."""
    replaced = dict(config)
    for key, digest in contents["files"].items():
        replaced = _replace(replaced, key.split("."), digest)
    return replaced


def digest_path(path: Path) -> str:
    """Return the digest of a file's bytes, or of all files below a folder, or below what a pattern stands for."""
    try:
        return digest_file(path) if path.is_file() else _digest_all(path)
    except OSError:
        return UNREADABLE


def _is_written(key: str, path: Path, config: Mapping[str, Any]) -> bool:
    """Return whether a setting of the trainer or a callback says where it writes."""
    group, *names = key.split(".")
    if group not in ("callbacks", "trainer"):
        return False
    # A callback's own name says nothing.
    words = {word for name in names[group == "callbacks" :] for word in (name, *name.split("_"))}
    if not WRITTEN.isdisjoint(words):
        return True
    output = Path(config.get("output_dir", ".")).absolute()
    return path.absolute().is_relative_to(output) and not Path.cwd().is_relative_to(output)


def _replace(node: Any, keys: Sequence[str], value: str) -> Any:
    if not keys:
        return value
    if isinstance(node, Mapping) and keys[0] in node:
        return {**node, keys[0]: _replace(node[keys[0]], keys[1:], value)}
    if isinstance(node, list) and keys[0].isdigit() and int(keys[0]) < len(node):
        place = int(keys[0])
        return [*node[:place], _replace(node[place], keys[1:], value), *node[place + 1 :]]
    return node


def _digest_data(config: Mapping[str, Any], parts: Sequence[str]) -> dict[str, str]:
    settings = translate_names(config["data"])
    try:
        listed = list_files(settings)
        if listed is None:
            return _digest_own_data(config, settings, parts)
        return {
            part: _digest_named([path for sample in samples for path in (sample.image, sample.truth)])
            for part, samples in listed.items()
            if part in parts
        }
    except Exception:  # A class of one's own may raise anything, and says it again when the training makes it.
        return dict.fromkeys(parts, UNREADABLE)


def _digest_own_data(
    config: Mapping[str, Any], settings: Mapping[str, Any], parts: Sequence[str]
) -> dict[str, str]:
    """Return the digests for a data module of one's own, which has to be made for that: torch takes seconds."""
    data = instantiate({key: value for key, value in settings.items() if key != "name"}, _convert_="all")
    files = data.files()
    named = dict(named_paths(dict(settings), bare=True))
    digests = {part: _digest_named(files[part], named.get("root")) for part in parts if files.get(part)}
    if type(data).files.__module__.partition(".")[0] != PACKAGE:  # The class says itself what it reads.
        return digests
    written = [_top_folder(str(config[key])) for key in ("folder", "runs") if config.get(key)]
    digests |= {f"all of {key}": _digest_all(path, written) for key, path in named.items() if not path.is_file()}
    if not digests and not named and any(settings[key] is not None for key in settings.keys() - set(LOADING)):
        # What they mean is the class's own: a place that only it knows, or nothing to read.
        return dict.fromkeys(parts, UNREADABLE)
    return digests


def _top_folder(path: str) -> Path:
    """Return where the tree of runs begins, such as ``outputs``; it may lie in a folder of data."""
    return Path(path) if os.path.isabs(path) else Path(Path(path).parts[0]).absolute()


def _digest_all(path: Path, left_out: Sequence[Path] = ()) -> str:
    """Return the digest of all files below a folder, or of all that a pattern stands for."""
    if path.is_dir():
        return _digest_named(_files_below(path, left_out), path)
    found = [[match] if match.is_file() else _files_below(match, left_out) for match in matches(path)]
    return _digest_named([file for files in found for file in files])


def _files_below(folder: Path, left_out: Sequence[Path]) -> list[Path]:
    """Return all files below a folder, but for hidden ones; links are followed, none in a circle."""
    paths, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        below = [Path(place, name) for name in sorted(folders) if name[0] != "."]
        folders[:] = [p.name for p in below if p.absolute() not in left_out and os.path.realpath(p) not in seen]
        paths += [Path(place, name) for name in sorted(names) if name[0] != "."]
    return [path for path in paths if path.is_file()]


def _digest_named(paths: Sequence[Path], root: Path | None = None) -> str:
    """Return the digest of files in their order: of their bytes, and of their names wherever they lie.

    Args:
        paths: The files.
        root: Below which a name is told; of a file elsewhere, its folder's name and its own are.
    """
    digest = hashlib.sha256()
    for path, content in zip(paths, digest_files(paths), strict=True):
        below = root is not None and path.is_relative_to(root)
        name = path.relative_to(root) if below and root else Path(path.parent.name, path.name)
        digest.update(f"{content} {name.as_posix()}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
