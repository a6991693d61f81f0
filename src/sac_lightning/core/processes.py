"""Which process of a distributed run this is."""

import os

# Set by torchrun, Lightning and Slurm for each process of a distributed run; the first that is set counts.
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Return whether this process is alone, or the first of a distributed run."""
    ranks = [os.environ[name] for name in RANKS if name in os.environ]
    return not ranks or ranks[0] == "0"
