"""``python -m sac_lightning.benchmark``: speed and memory beside segment-anything, or what a run would cost."""

from omegaconf import DictConfig

from sac_lightning.core.command import command
from sac_lightning.core.configuration import config_dir
from sac_lightning.core.errors import UserError

WORKS = (
    "forward",
    "step",
    "largest_step",
    "selection",
    "features",
    "prompt_settings",
    "loading",
    "start_up",
)


def check(cfg: DictConfig) -> None:
    """Raise UserError if something cannot be measured."""
    for name in cfg.works:
        if name not in WORKS:
            raise UserError(f"works names {name}: choose among {', '.join(WORKS)}")
    for name in cfg.backbones:
        if not (config_dir() / "backbone" / f"{name}.yaml").is_file():
            raise UserError(f"there is no backbone {name}: choose among vit_t, vit_b, vit_l and vit_h")
    if cfg.repetitions < 1:
        raise UserError(f"repetitions is {cfg.repetitions}: choose at least 1")


@command("benchmark", check)
def main(cfg: DictConfig) -> None:
    """Measure speed and memory, or predict the cost of a training."""
    from sac_lightning.benchmarking.run import benchmark

    benchmark(cfg)


if __name__ == "__main__":
    main()
