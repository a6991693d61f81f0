"""What was chosen of the images in each file and done to them, for the console: files of one kind on one line."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

# How many files a line names.
NAMED_FILES = 3


class Notes:
    """What was chosen and done."""

    def __init__(self) -> None:
        """Begin without any."""
        self.files: dict[str, list[str]] = defaultdict(list)
        self.shares: dict[str, float] = {}

    def add(self, path: Path, notes: Iterable[str], share: float = 1) -> None:
        """Add what was chosen of a file and done to it, in words that its name follows, and the segmented part."""
        for note in notes:
            self.files[note].append(path.name)
        if share < 1:
            self.shares[path.name] = share

    def lines(self) -> list[str]:
        """Return a line per note, with the files that it is of."""
        lines = []
        for note, names in self.files.items():
            more = len(names) - NAMED_FILES
            listed = ", ".join(names[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")
            lines.append(f"{note} {listed}")
        return [*lines, *self._share_lines()]

    def _share_lines(self) -> list[str]:
        """Return lines on the images of which parts were passed over: one each for few, else one in all."""
        if len(self.shares) <= NAMED_FILES:
            return [f"tissue: {_percent(share)} of {name} was segmented" for name, share in self.shares.items()]
        least, most = _percent(min(self.shares.values())), _percent(max(self.shares.values()))
        return [f"tissue: {least} to {most} of each of {len(self.shares)} images was segmented"]


def _percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")
