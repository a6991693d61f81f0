"""What became of the jobs of a sweep: a file per job in the sweep's folder, and the table at its end."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from sac_lightning.core.files import whole_file

DONE, RECORDED, FAILED, BUSY = "done", "recorded before", "failed", "run elsewhere"
OUTCOMES = "outcomes"
LOG = "console.log"


@dataclass
class Outcome:
    """What became of a job.

    Attributes:
        job: Its number in the sweep.
        name: The label of its row, or what was swept.
        status: One of the words above.
        folder: Of its run.
        seconds: It took.
        dice: Test Dice in [0, 1], if there is one.
        exit_status: With which its process ended; 0 if none was started.
    """

    job: int
    name: str
    status: str
    folder: str
    seconds: float
    dice: float | None
    exit_status: int = 0

    @property
    def log(self) -> Path:
        """The file with what the job's process said."""
        return Path(self.folder, LOG)


def write_outcome(sweep: Path, outcome: Outcome) -> None:
    """Write what became of a job into the sweep's folder."""
    (sweep / OUTCOMES).mkdir(parents=True, exist_ok=True)
    with whole_file(sweep / OUTCOMES / f"{outcome.job}.json") as partial:
        partial.write_text(json.dumps(asdict(outcome)), encoding="utf-8")


def read_outcomes(sweep: Path) -> list[Outcome]:
    """Read what became of a sweep's jobs, by their numbers."""
    files = (sweep / OUTCOMES).glob("*.json")
    outcomes = [Outcome(**json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return sorted(outcomes, key=lambda outcome: outcome.job)


def forget_outcomes(sweep: Path) -> None:
    """Remove what a former sweep left in this folder."""
    shutil.rmtree(sweep / OUTCOMES, ignore_errors=True)


def summary(outcomes: list[Outcome]) -> Table:
    """Return a table with a row per job."""
    counts = {status: sum(o.status == status for o in outcomes) for status in (DONE, RECORDED, FAILED, BUSY)}
    title = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    table = Table(title=f"{len(outcomes)} jobs: {title}")
    for column in ("#", "job", "outcome", "minutes", "Dice"):
        table.add_column(column, justify="left" if column in ("job", "outcome") else "right")
    for outcome in outcomes:
        minutes = f"{outcome.seconds / 60:.1f}" if outcome.status in (DONE, FAILED) else ""
        dice = "" if outcome.dice is None else f"{outcome.dice:.4f}"
        table.add_row(str(outcome.job), outcome.name, outcome.status, minutes, dice)
    return table


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    if not log.is_file():
        return "it said nothing"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")
