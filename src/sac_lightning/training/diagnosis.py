"""What the doctor found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["good", "note", "fault"]


@dataclass(frozen=True)
class Diagnosis:
    """The result of a check.

    Attributes:
        level: ``fault`` will fail; ``note`` may surprise; ``good`` is fine.
        what: A sentence, with the remedy if there is something to do.
    """

    level: Level
    what: str
