"""A row of the benchmark's table: a piece of work, what it is measured against, and whether the target is met."""

from dataclasses import dataclass


@dataclass
class BenchmarkRow:
    """What was measured of one piece of work.

    Attributes:
        work: What is done.
        against: What it is compared with.
        target: In words, with the number.
        figure: The number that the target is about.
        met: Whether it meets the target; None where there is no target.
        seconds: Ours, the median; None where there is no time.
        reference_seconds: Of what it is compared with.
        memory: Peak resident bytes of our process.
        reference_memory: Of the other.
        difference: Between the results, as the note says.
        least_seconds: The operations needed over the machine's rate of matrix products: no program is faster.
        note: What else there is to say.
    """

    work: str
    against: str
    target: str
    figure: float
    met: bool | None
    seconds: float | None = None
    reference_seconds: float | None = None
    memory: int | None = None
    reference_memory: int | None = None
    difference: float | None = None
    least_seconds: float | None = None
    note: str = ""
