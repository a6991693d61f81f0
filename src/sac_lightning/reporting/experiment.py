"""The experiments of ``conf/experiment`` as tables: their rows, and the records of each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import compose_config, config_dir, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.reporting.paper.tables import paper_parameters, paper_rows
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.row import MeasuredRow, TableRow
from sac_lightning.runs.identity import row_hash
from sac_lightning.runs.record import RECORD_FILE

# In the order of the paper; the last five are ours.
EXPERIMENTS = (
    "table1_monuseg",
    "table2_dsb2018",
    "table3_prompts",
    "table4_experts",
    "table5_selection",
    "table6_parameters",
    "table7_backbone",
    "table8_glas",
    "figure1_prompting",
    "figure3_experts",
    "figure4_convergence",
    "figure5_pairs",
    "ablation_lora",
    "ablation_threshold",
    "ablation_loss",
    "ablation_dense",
    "ablation_generator",
)


@dataclass(frozen=True)
class Experiment:
    """An experiment at one scale.

    Attributes:
        name: Name of its file, such as table5_selection.
        title: Title of its page.
        scale: Name of the scale.
        reference: Label of the row that the others are compared with.
        columns: Names of the figures in its table.
        rows: Its rows in the order of the sweep.
        hashes: ``row_hash`` of each row at this scale.
    """

    name: str
    title: str
    scale: str
    reference: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    hashes: tuple[str, ...]

    def match_records(self, records: Mapping[str, Sequence[Record]]) -> list[MeasuredRow]:
        """Match its rows with their records.

        Args:
            records: Records by ``row_hash``.
        """
        return [
            MeasuredRow(row, tuple(records.get(digest, ())))
            for row, digest in zip(self.rows, self.hashes, strict=True)
        ]


def find_experiments(table: str | int | None) -> tuple[str, ...]:
    """Find the experiments that ``table`` names: a number, a name or another name, or the beginning of a name.

    Raises:
        UserError: ``table`` does not name one experiment.
    """
    if table is None:
        return EXPERIMENTS
    if (config_dir() / "experiment" / f"{table}.yaml").is_file():
        # A file that only gives another name to an experiment takes over its settings, the name among them.
        return (str(compose_config("train", [f"+experiment={table}"]).experiment.name),)
    asked = f"table{table}_" if str(table).isdigit() else str(table)
    names = tuple(name for name in EXPERIMENTS if name.startswith(asked))
    if len(names) != 1:
        raise UserError(f"table={table} is no experiment: choose 1 to 8, or one of {', '.join(EXPERIMENTS)}")
    return names


def read_experiment(name: str, scale: str, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment: compose every job as its sweep would.

    Args:
        name: One of EXPERIMENTS.
        scale: paper, cpu or smoke.
        overrides: Overrides as typed after ``+experiment=NAME scale=SCALE``, without seeds.
    """
    return _compose_experiment(name, scale, tuple(overrides))


@cache  # A job takes a sixth of a second, and an experiment has up to twenty.
def _compose_experiment(name: str, scale: str, overrides: tuple[str, ...]) -> Experiment:
    jobs = sweep_jobs("train", [f"+experiment={name}", f"scale={scale}", "seed=0", *overrides])
    configs = [resolve_config(compose_config("train", job)) for job in jobs]
    swept = _find_swept(jobs)
    about = configs[0]["experiment"]
    papers = _paper_figures(name)
    rows = []
    for config, own in zip(configs, swept, strict=True):
        label, dataset = config["row"], config["data"]["name"]
        paper, source = papers.get((dataset, label)) or papers.get(("", label)) or ({}, "")
        rows.append(TableRow(name, label, dataset, own, paper, source))
    hashes = tuple(row_hash(config) for config in configs)
    columns = tuple(about["columns"])
    return Experiment(name, about["title"], scale, about["reference"], columns, tuple(rows), hashes)


def group_by_row(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group records by row, one per seed, in the order of the seeds.

    Of two records with the same seed the later one counts; of a record and its copy, the record beside its run's
    predictions.
    """
    latest: dict[tuple[str, int], Record] = {}
    for record in sorted(records, key=lambda found: (found.content["date"], found.path.name == RECORD_FILE)):
        latest[row_hash(record.content["config"]), record.seed] = record
    rows: dict[str, list[Record]] = {}
    for (digest, _), record in sorted(latest.items(), key=lambda item: item[0]):
        rows.setdefault(digest, []).append(record)
    return rows


def table_of(name: str) -> int | None:
    """Return the number of the paper's table that an experiment reproduces; None if it reproduces none."""
    return int(name.removeprefix("table").split("_")[0]) if name.startswith("table") else None


def _find_swept(jobs: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Find the overrides of each job that not all of them share."""
    shared = set(jobs[0]).intersection(*jobs[1:]) if len(jobs) > 1 else set()
    return [tuple(override for override in job if override not in shared) for job in jobs]


def _paper_figures(name: str) -> dict[tuple[str, str], tuple[Mapping[str, float], str]]:
    """Return the paper's figures and their source by data set and label; empty if the experiment is no table."""
    table = table_of(name)
    if table is None:
        return {}
    found: dict[tuple[str, str], tuple[Mapping[str, float], str]] = {
        (row.key.dataset, row.key.row): (row.figures, row.source) for row in paper_rows(table)
    }
    if table == 6:
        for row in paper_parameters():
            counts = {"trainable": row.trainable, "frozen": row.frozen, "total": row.total}
            found["", row.key.row] = (counts, "counted by the paper")
    return found
