"""``python -m sac_lightning.serve``: clicks and boxes in QuPath, answered by a model."""

import re
from importlib.util import find_spec

from omegaconf import DictConfig

from sac_lightning.core.address import LOCAL, bind_socket, refuse_port
from sac_lightning.core.command import command
from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import check_mpp
from sac_lightning.model.registered import require_checkpoint

MISSING = "the server needs packages that are not installed: pip install 'sac-lightning[demo]'"
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


def check(cfg: DictConfig) -> None:
    """Raise UserError if the checkpoint or a package is missing, or the address or the token is of no use."""
    require_checkpoint(cfg.checkpoint)
    refuse_port(cfg.port)
    check_mpp(cfg.mpp)
    if cfg.token is not None and not (isinstance(cfg.token, str) and TOKEN.fullmatch(cfg.token)):
        raise UserError(
            "token has to have 16 letters, digits, - or _ at least: python -c 'import secrets; "
            "print(secrets.token_urlsafe())' makes one"
        )
    if cfg.token is None and cfg.host not in LOCAL:
        raise UserError(
            f"host={cfg.host} lets others use this server: set token= to a secret, or leave host at 127.0.0.1"
        )
    if not all(map(find_spec, ("fastapi", "uvicorn"))):
        raise UserError(MISSING)
    bind_socket(str(cfg.host), cfg.port).close()


@command("serve", check)
def main(cfg: DictConfig) -> None:
    """Serve until interrupted."""
    from sac_lightning.qupath.server import serve

    serve(cfg)


if __name__ == "__main__":
    main()
