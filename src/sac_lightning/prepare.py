"""``python -m sac_lightning.prepare``: an official data set, or another project's weights, into our own format."""

from omegaconf import DictConfig

from sac_lightning.core.command import command


@command("prepare")
def main(cfg: DictConfig) -> None:
    """Convert a data set, or weights."""
    if cfg.weights is not None:
        from sac_lightning.model.preparation import convert_weights

        convert_weights(cfg)
    else:
        from sac_lightning.data.preparation import convert

        convert(cfg)


if __name__ == "__main__":
    main()
