"""Runs of one row that have read the same: those on other images are no further seeds of it."""

from collections.abc import Sequence

from sac_lightning.reporting.record import Record
from sac_lightning.runs.identity import row_hash

STARTS = ("init", "resume")
"""Checkpoints that a run may begin with, which every seed may have of its own."""


def keep_same_contents(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Divide records into those that have read what the newest of their row has, and the others.

    A record of former times does not say what its run has read, and is kept.
    """
    newest: dict[str, object] = {}
    rows = [row_hash(record.content["config"]) for record in records]
    for row, record in sorted(zip(rows, records, strict=True), key=lambda found: found[1].content["date"]):
        if "contents" in record.content:
            newest[row] = _contents_of(record)
    kept: list[Record] = []
    others: list[Record] = []
    for row, record in zip(rows, records, strict=True):
        same = "contents" not in record.content or _contents_of(record) == newest[row]
        (kept if same else others).append(record)
    return kept, others


def _contents_of(record: Record) -> object:
    """Return the digests of what a run has read; of a checkpoint to begin with, whether there was one."""
    contents = record.content["contents"]
    files = {key: True if key in STARTS else digest for key, digest in contents["files"].items()}
    return contents["data"], files
