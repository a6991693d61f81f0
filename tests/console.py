"""What a command may print: our own lines, each once."""

import re
from collections import Counter

# One pattern per kind of line; what matches none is not ours.
OURS = re.compile(
    r"""
      \s*                                                      # between the parts
    | \s*(What\ trains|Test|\d+\ jobs:\ .+)\s*                 # titles of tables
    | [┏┡├└│┃┗].*                                              # tables
    | epoch\ \d+/\d+\ \ loss\ [\d.]+(\ \ val\ [A-Za-z ]+\ [\d.]+)*\ \ [\d.]+\ s
    | vit_t\ has\ no\ pre-trained\ weights:\ .+
    | The\ data\ set\ has\ \d+\ .+:\ python\ -m\ sac_lightning\.doctor,\ with\ the\ same\ arguments,\ shows\ them\.
    | instances\ \ .+,\ PQ\ [\d.]+\ on\ \d+\ validation\ images,\ kept\ in\ .+
    | (record|picture|checkpoint|features|weights|card|curves?|scenes\w*|page|runs|sweep)\ +\S+
    | (scenes|scenes\ untrained):\ mean\ IoU\ over\ \d+\ objects:\ .+
    | (masks|labels|overlays|geojson|measurements|probabilities|ome_zarr|spatialdata|imagej_rois)\ +\S+
    | summary\ +\S+
    | .+:\ [\d,]+\ nucle(us|i)(,\ [\d,]+\ per\ mm²)?(,\ [\d.]+\ %\ covered)?
    | \d+\ images:\ [\d,]+\ nucle(us|i),\ from\ .+
    | doubt:\ .+:\ .+
    | skipped\ in\ .+:\ \d+\ of\ .+
    | .+\ is\ larger\ than\ ImageJ\ opens\ by\ itself:\ .+
    | took\ (series|channel|page)\ \d+\ of\ \d+.*\ of\ .+
    | passed\ over:\ .+
    | \d+\ segmented,\ \d+\ already\ there,\ \d+\ failed(,\ \d+\ there\ by\ other\ options)?
    | tissue:\ .+\ was\ segmented
    | \w+\ +scale=\w+(\ \S+=\S+)*:\ \d+\ of\ \d+\ rows
    | \S+\ has\ no\ run\ of\ it:\ python\ -m\ sac_lightning\.train\ \+experiment=\w+\ .+\ makes\ them
    | report\ \ python\ -m\ sac_lightning\.report\ table=.+
    | wandb\ \ \ \d+\ runs\ are\ offline:\ to\ send\ them,\ type
    | \ +wandb\ sync\ .+
    | \#\d+\ .+:\ (started,\ its\ output\ is\ in\ .+|done\ in\ [\d.]+\ min)
    | \[[-\d]+\ [\d:,]+\]\[sac_lightning\.[\w.]+\]\[WARNING\]\ -\ .+
    """,
    re.X,
)
BAR = re.compile(r"(epoch \d+/\d+|validating|testing|tuning \w+|reading \w+ images|examining truths): .*")
CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


def foreign_lines(text: str) -> list[str]:
    """The lines of a console that are not ours, and those outside of tables that come twice."""
    lines = [line.rstrip() for line in text.splitlines()]
    foreign = [line for line in lines if not OURS.fullmatch(line)]
    told = Counter(line for line in lines if line and line[0] not in "┏┡├└│┃┗")
    return foreign + [line for line, times in told.items() if times > 1]


def shown(text: str) -> tuple[list[str], list[str]]:
    """The lines that stay on a terminal, and all states of the bars that were drawn over."""
    stay, bars = [], []
    for line in text.replace("\r\n", "\n").split("\n"):
        states = [CONTROL.sub("", state).rstrip() for state in line.split("\r")]
        bars += [state for state in states if BAR.fullmatch(state)]
        stay.append(next((state for state in reversed(states) if state), ""))
    return stay, bars
