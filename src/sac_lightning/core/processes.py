"""A process among others: which one of a distributed run it is, and how it shares the cores."""

import os

# Set by torchrun, Lightning and Slurm for each process of a distributed run; the first that is set counts.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Return whether this process is alone, or the first of a distributed run."""
    ranks = [os.environ[name] for name in RANKS if name in os.environ]
    return not ranks or ranks[0] == "0"


def let_waiting_threads_sleep() -> None:
    """Keep OpenMP's threads from spinning while they wait, as that takes the cores from other processes.

    To be called before torch is imported, which reads this once. What the user has set stays. GNU's OpenMP, which
    torch brings along on Linux, spins a little before it sleeps: by the default of 300,000 rounds two trainings on
    two cores took many times their share, without any a training alone took 1.3 times as long. With 5,000 rounds
    two take 1.1 times their share, and one takes 1.03 times as long (2 cores, vit_t at 512 px).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
