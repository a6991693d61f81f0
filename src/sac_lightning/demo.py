"""``python -m sac_lightning.demo``: a web page on which one clicks on nuclei."""

from importlib.util import find_spec

from omegaconf import DictConfig

from sac_lightning.core.address import bind_socket, refuse_port
from sac_lightning.core.command import command
from sac_lightning.core.errors import UserError
from sac_lightning.core.scale import check_mpp
from sac_lightning.model.registered import require_checkpoint

MISSING = "the page needs packages that are not installed: pip install 'sac-lightning[demo]'"


def check(cfg: DictConfig) -> None:
    """Raise UserError if the checkpoint or Gradio is missing, or the port is no number or taken."""
    require_checkpoint(cfg.checkpoint)
    refuse_port(cfg.port)
    check_mpp(cfg.mpp)
    if find_spec("gradio") is None:
        raise UserError(MISSING)
    bind_socket(str(cfg.host), cfg.port).close()


@command("demo", check)
def main(cfg: DictConfig) -> None:
    """Serve the page until it is interrupted."""
    from sac_lightning.page.server import serve

    serve(cfg)


if __name__ == "__main__":
    main()
