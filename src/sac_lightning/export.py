"""``python -m sac_lightning.export``: a trained model as ONNX, verified against torch."""

from pathlib import Path

from omegaconf import DictConfig

from sac_lightning.core.command import command
from sac_lightning.core.errors import UserError
from sac_lightning.model.registered import require_checkpoint


def check(cfg: DictConfig) -> None:
    """Raise UserError if something cannot be read or written."""
    require_checkpoint(cfg.checkpoint)
    if Path(str(cfg.output)).exists():
        raise UserError(f"output={cfg.output} is there already: remove it, or choose another folder")
    if not isinstance(cfg.tolerance, int | float) or not cfg.tolerance > 0:
        raise UserError(f"tolerance is {cfg.tolerance}: choose a number above 0")


@command("export", check)
def main(cfg: DictConfig) -> None:
    """Export a model."""
    from sac_lightning.inference.onnx.export import export

    export(cfg)


if __name__ == "__main__":
    main()
