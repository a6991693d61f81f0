"""A row of the benchmark's table: a piece of work, its reference, and whether the target is met."""

from dataclasses import dataclass


@dataclass
class BenchmarkRow:
    """The measurements of one piece of work.

    Attributes:
        work: The work that is done.
        against: What it is compared with.
        target: The target in words, including the number.
        figure: The number that the target is about.
        met: Whether the target is met; None if there is no target.
        seconds: Our median time; None if no time is measured.
        reference_seconds: Median time of the reference.
        memory: Peak resident bytes of our process.
        reference_memory: Peak resident bytes of the reference's process.
        difference: Difference between the results, of the kind that the target names.
        least_seconds: Time of the necessary operations at the machine's rate of matrix products, a lower bound for
            any program.
        note: Further remarks.
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
