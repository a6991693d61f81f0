"""What was chosen of the images in each file, for the console: files of one kind on one line."""

from collections import defaultdict
from pathlib import Path

# How many files a line names.
NAMED_FILES = 3


class Notes:
    """The choices that were made."""

    def __init__(self) -> None:
        """Begin without any."""
        self.files: dict[str, list[str]] = defaultdict(list)

    def add(self, path: Path, note: str) -> None:
        """Add what was chosen of a file; empty: there was no choice."""
        if note:
            self.files[note].append(path.name)

    def lines(self) -> list[str]:
        """Return a line per choice, with the files of which it was made."""
        lines = []
        for note, names in self.files.items():
            more = len(names) - NAMED_FILES
            listed = ", ".join(names[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")
            lines.append(f"took {note} of {listed}")
        return lines
