"""A compared network that is not implemented yet: its rows are there, and say so."""

from typing import NoReturn

from sac_lightning.errors import UserError

TARGET = "sac_lightning.baselines.planned.planned"


def planned(system: str) -> NoReturn:
    """Stands in for a network.

    Raises:
        UserError: Always.
    """
    raise UserError(f"{system} is not implemented yet: choose another model")
