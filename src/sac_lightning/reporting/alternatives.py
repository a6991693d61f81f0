"""What there is instead of an experiment's runs: of other scales, with other settings, of other experiments."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sac_lightning.core.configuration import ConfigFolders
from sac_lightning.core.errors import UserError
from sac_lightning.reporting.experiment import EXPERIMENTS, SCALE, Experiment, compose_rows, has_file
from sac_lightning.reporting.record import Record
from sac_lightning.reporting.settings import differing, flatten
from sac_lightning.runs.identity import row_hash

# A report finds these by itself.
FOUND = (f"{SCALE}paper", f"{SCALE}cpu")
# Groups whose choice a configuration names.
GROUPS = ("data", "backbone")
# More differences than these are another experiment.
MOST_SETTINGS = 6

Choices = tuple[str, ...]


def find_alternatives(
    experiment: Experiment, records: Mapping[str, Sequence[Record]], folders: ConfigFolders
) -> list[str]:
    """Return a line for each kind of runs of an experiment that its page does not show.

    Args:
        experiment: Of whose rows none has a record.
        records: All records by ``row_hash``.
        folders: Where experiments are.
    """
    if not has_file(experiment.name, folders):
        return []
    labels = {row.label for row in experiment.rows}
    near = [
        found[0].content["config"]
        for found in records.values()
        if found[0].content["experiment"] == experiment.name or found[0].content["row"] in labels
    ]
    usual = compose_rows(experiment.name, experiment.scale, [], folders)[0][1]
    composed: dict[Choices, list[dict[str, Any]]] = {}
    kinds: Counter[Choices] = Counter()
    for config in near:
        choices = _choices(config, usual)
        if choices not in composed:
            composed[choices] = _compose(experiment.name, choices, folders)
        settings = _differences(config, composed[choices])
        if settings is not None:
            typed = tuple(one for one in choices if one not in FOUND)
            kinds[typed + settings] += 1
    return [_tell(experiment.name, settings, count) for settings, count in kinds.items() if settings]


def own_experiments(records: Mapping[str, Sequence[Record]]) -> list[str]:
    """Return a line for each experiment of one's own that there are records of."""
    names = Counter(record.content["experiment"] for found in records.values() for record in found)
    return [
        f"{name}: {count} {'run' if count == 1 else 'runs'} of an experiment of your own: "
        f"python -m sac_lightning.report table={name}"
        for name, count in sorted((name, count) for name, count in names.items() if name is not None)
        if name not in EXPERIMENTS
    ]


def _choices(config: Mapping[str, Any], usual: Mapping[str, Any]) -> Choices:
    """Return the scale of a configuration, and which groups it chooses otherwise than its experiment does."""
    others = [
        f"{group}={config[group]['name']}"
        for group in GROUPS
        if group in config and config[group]["name"] != usual[group]["name"]
    ]
    return (f"{SCALE}{config['scale']['name']}", *others)


def _compose(name: str, choices: Choices, folders: ConfigFolders) -> list[dict[str, Any]]:
    """Return the configurations of an experiment's rows with other choices; none if they cannot be made."""
    try:
        return [config for _, config in compose_rows(name, "cpu", choices, folders)]
    except UserError:
        return []


def _differences(config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Choices | None:
    """Return the overrides that make the row of an experiment a configuration; None if that takes too many."""
    own = flatten(config)
    found: list[Choices] = []
    for row in rows:
        if row["row"] == config["row"] and row_hash(row) == row_hash(config):
            return ()
        if row["row"] == config["row"]:
            found.append(tuple(f"{key}={_type(own[key])}" for key in differing([flatten(row), own])))
    nearest = min(found, key=len, default=())
    return nearest if 0 < len(nearest) <= MOST_SETTINGS else None


def _tell(name: str, settings: Choices, count: int) -> str:
    overrides = f"overrides={json.dumps(settings, ensure_ascii=False, separators=(',', ':'))}"
    rows = f"{count} {'row has' if count == 1 else 'rows have'} runs with {' '.join(settings)}"
    return f"{name}: {rows}: python -m sac_lightning.report table={name} {shlex.quote(overrides)}"


def _type(value: Any) -> str:
    """Return a value as one types it."""
    return value if isinstance(value, str) else json.dumps(value).replace(" ", "").replace('"', "")
