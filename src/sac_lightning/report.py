"""``python -m sac_lightning.report``: the records of the runs put beside the paper."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from sac_lightning.core.command import command
from sac_lightning.core.command_line import read_flags
from sac_lightning.core.hydra_errors import explain_hydra
from sac_lightning.reporting.experiment import compose_rows, find_experiments, has_file
from sac_lightning.reporting.recorded import find_recorded


def check(cfg: DictConfig) -> None:
    """Raise UserError if ``table`` names no experiment, or an override is wrong."""
    folders = read_flags(sys.argv[1:]).folders
    copies = Path(cfg.output or "experiments", "records")
    names = find_experiments(cfg.table, folders, lambda: find_recorded(Path(cfg.runs), copies))
    if cfg.overrides and has_file(names[0], folders):
        with explain_hydra("train"):
            compose_rows(names[0], "cpu", list(cfg.overrides), folders)


@command("report", check)
def main(cfg: DictConfig) -> None:
    """Write the pages of the records."""
    from sac_lightning.reporting.report import report

    report(cfg, read_flags(sys.argv[1:]).folders)


if __name__ == "__main__":
    main()
