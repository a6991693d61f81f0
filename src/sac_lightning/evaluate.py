"""``python -m sac_lightning.evaluate checkpoint=F``: test a checkpoint under any prompt setting."""

from omegaconf import DictConfig

from sac_lightning.core.arguments import refuse_mask_options
from sac_lightning.core.command import command
from sac_lightning.core.errors import UserError
from sac_lightning.core.limits import read_picture_count
from sac_lightning.core.scale import check_mpp
from sac_lightning.inference.thresholds import refuse_method
from sac_lightning.model.register import REGISTER
from sac_lightning.model.registered import find_checkpoint, require_checkpoint


def check(cfg: DictConfig) -> None:
    """Raise UserError if an argument cannot be right: checkpoint, method, masks, pictures, tuning."""
    require_checkpoint(cfg.checkpoint)
    refuse_method(cfg.instances)
    refuse_mask_options(cfg.get("data"))
    check_mpp(cfg.mpp)
    read_picture_count(cfg.pictures)
    if cfg.tune and cfg.instances == "components":
        raise UserError("tune=true has nothing to tune with instances=components: choose watershed or prompts")
    if cfg.tune and cfg.checkpoint in REGISTER:
        raise UserError(
            f"tune=true writes thresholds into the checkpoint, and {cfg.checkpoint} is the package's own: copy "
            f"{find_checkpoint(cfg.checkpoint)} and give the copy as checkpoint="
        )


@command("evaluate", check)
def main(cfg: DictConfig) -> None:
    """Test a checkpoint."""
    from sac_lightning.training.evaluation import evaluate

    evaluate(cfg)


if __name__ == "__main__":
    main()
