"""Whether Weights & Biases has the login that a run needs."""

import os
from netrc import NetrcParseError, netrc
from typing import Any
from urllib.parse import urlparse

from sac_lightning.core.errors import UserError

WITHOUT_LOGIN = ("offline", "disabled", "dryrun")


def refuse_missing_login(loggers: Any) -> None:
    """Raise UserError if W&B is asked for online and has no login: it would ask for one, or end the run.

    Args:
        loggers: By name, as in ``conf/logger``; None for none.
    """
    wandb = (loggers or {}).get("wandb")
    if wandb is None or wandb.get("offline") or os.environ.get("WANDB_MODE") in WITHOUT_LOGIN:
        return
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    if not (os.environ.get("WANDB_API_KEY") or _has_login(str(host))):
        raise UserError("logger=wandb has no login: run wandb login, or add logger.wandb.offline=true")


def _has_login(host: str) -> bool:
    try:
        return netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
