"""``python -m sac_lightning.dashboard``: the Weights & Biases workspace of an experiment, as code."""

from omegaconf import DictConfig

from sac_lightning.core.command import command


@command("dashboard")
def main(cfg: DictConfig) -> None:
    """Write the workspace."""
    from sac_lightning.runs.dashboard import dashboard

    dashboard(cfg)


if __name__ == "__main__":
    main()
