"""``python -m sac_lightning.doctor``: what of a training would fail later, said now."""

from omegaconf import DictConfig

from sac_lightning.core.command import command


@command("doctor")
def main(cfg: DictConfig) -> None:
    """Examine a training."""
    from sac_lightning.training.doctor import examine

    examine(cfg)


if __name__ == "__main__":
    main()
