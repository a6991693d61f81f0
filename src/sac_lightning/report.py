"""``python -m sac_lightning.report``: the records of the runs put beside the paper."""

from omegaconf import DictConfig

from sac_lightning.core.command import command
from sac_lightning.reporting.experiment import find_experiments


@command("report", lambda cfg: find_experiments(cfg.table))
def main(cfg: DictConfig) -> None:
    """Write the pages of the records."""
    from sac_lightning.reporting.report import report

    report(cfg)


if __name__ == "__main__":
    main()
