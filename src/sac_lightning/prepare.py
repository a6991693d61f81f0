"""``python -m sac_lightning.prepare``: an official data set into the layout that this package trains on."""

from omegaconf import DictConfig

from sac_lightning.core.command import command


@command("prepare")
def main(cfg: DictConfig) -> None:
    """Convert a data set."""
    from sac_lightning.data.preparation import convert

    convert(cfg)


if __name__ == "__main__":
    main()
