"""The SHA-256 of files' bytes, kept beside what shows that a file has changed, so that none is read twice.

The cache is a JSON file per folder. It is trusted for a file whose size, times and inode are those of when it was
read. A file that was written less than a moment before it was read is not kept: by a coarse clock it might change
once more and look the same. Without a cache (``SAC_CACHE=``, empty) every file is read.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from sac_lightning.core.files import cache_folder, whole_file

# Two seconds, the coarsest clock of a file system (FAT), in nanoseconds.
MOMENT = 2 * 10**9
Entry = list[int | str]
"""Size in bytes, times of the last change of content and of status in nanoseconds, inode, SHA-256."""


def digest_files(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of each file's bytes, in lower-case hexadecimal; links are followed.

    Raises:
        OSError: A file cannot be read.
    """
    known: dict[Path, dict[str, Entry]] = {}
    learnt: dict[Path, dict[str, Entry]] = {}
    digests = []
    for path in tqdm(list(paths), desc="hashing files", unit="file", leave=False, delay=2, disable=None):
        folder = path.absolute().parent
        if folder not in known:
            known[folder] = _read_cache(folder)
        digest = _find_digest(path, known[folder])
        if digest is None:
            entry, settled = _digest_now(path)
            digest = str(entry[-1])
            if settled:
                learnt.setdefault(folder, {})[path.name] = entry
        digests.append(digest)
    for folder, entries in learnt.items():
        _add_to_cache(folder, entries)
    return digests


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; see digest_files."""
    return digest_files([path])[0]


def _find_digest(path: Path, known: Mapping[str, Entry]) -> str | None:
    """Return the digest in the cache, if the file is still the one that was read."""
    entry = known.get(path.name)
    return str(entry[-1]) if entry is not None and entry[:-1] == _state(path.stat()) else None


def _digest_now(path: Path) -> tuple[Entry, bool]:
    """Read a file; return its entry, and whether a later change of it would show in the entry."""
    now = time.time_ns()
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settled = max(before.st_mtime_ns, before.st_ctime_ns) < now - MOMENT
    return [*_state(before), digest], settled


def _state(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _cache_file(folder: Path) -> Path | None:
    cache = cache_folder()
    if cache is None:
        return None
    return cache / "digests" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"


def _read_cache(folder: Path) -> dict[str, Entry]:
    """Return the entries of a folder's files; none where there is no cache, or half of one."""
    file = _cache_file(folder)
    try:
        content = {} if file is None else json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, list) and len(entry) == 5}


def _add_to_cache(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Keep entries, beside those that another process has kept meanwhile, but for files that are gone."""
    file = _cache_file(folder)
    if file is None:
        return
    # Without a place to keep them, files are read again; of two processes at once, the later one's are kept.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        there = set(os.listdir(folder))
        kept = {name: entry for name, entry in {**_read_cache(folder), **entries}.items() if name in there}
        with whole_file(file) as partial:
            partial.write_text(json.dumps(kept), encoding="utf-8")
