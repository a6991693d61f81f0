"""In which precision networks compute: the words for it, as Lightning has them."""

from sac_lightning.core.errors import UserError

AUTO = "auto"
"""bf16-mixed where the hardware is faster at it, else 32-true."""
MIXED, FULL = "bf16-mixed", "32-true"


def check_precision(precision: object) -> str:
    """Return a precision in which a trained model may compute.

    Raises:
        UserError: It is none.
    """
    if precision not in (AUTO, MIXED, FULL):
        raise UserError(f"precision is {precision}: choose {AUTO}, {MIXED} or {FULL}")
    return str(precision)
