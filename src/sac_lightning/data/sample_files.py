"""The files of a sample, which a data set knows before it reads one.

A sweep asks for them before each job, so this module and those that find them do without torch.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SampleFiles:
    """An image file and the file of its label map or mask."""

    name: str
    image: Path
    truth: Path
