"""``python -m sac_lightning.report``: the records of the runs put beside the paper."""

from sac_lightning.core.command import command
from sac_lightning.reporting.experiment import find_experiments

main = command("report", "sac_lightning.reporting.report:report", lambda cfg: find_experiments(cfg.table))

if __name__ == "__main__":
    main()
