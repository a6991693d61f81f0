"""What was chosen of the images in each file and done to them, for the console: files of one kind on one line."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

# How many files a line names, and to how many shares of tissue there is a line each.
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
        return [*(f"{note} {list_files(names)}" for note, names in self.files.items()), *self._share_lines()]

    def _share_lines(self) -> list[str]:
        """Return lines on the images of which parts were passed over: one each for few shares, else one in all.

        Images of which all was passed over have a line of their own: that may be a fault.
        """
        files: dict[str, list[str]] = defaultdict(list)
        for name, share in self.shares.items():
            files[_percent(share)].append(name)
        nothing = files.pop(_percent(0), [])
        lines = [f"tissue: {_percent(0)} of {list_files(nothing)} was segmented"] if nothing else []
        if len(files) <= NAMED_FILES:
            each = [f"tissue: {share} of {list_files(names)} was segmented" for share, names in files.items()]
            return [*lines, *each]
        some = sorted(filter(None, self.shares.values()))
        least, most = (f"{share} ({list_files(files[share])})" for share in map(_percent, (some[0], some[-1])))
        return [*lines, f"tissue: {least} to {most} of each of {len(some)} images was segmented"]


def list_files(names: Sequence[str]) -> str:
    """Return names for a line, of many the first and how many more there are."""
    more = len(names) - NAMED_FILES
    return ", ".join(names[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")


def _percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")
