"""The model card that is saved beside pre-trained weights."""

import re
from collections.abc import Mapping
from typing import Any


def format_model_card(record: Mapping[str, Any], base_card: str | None = None) -> str:
    """Return the model card, in Markdown, for the record of a pre-training.

    Args:
        record: Its keys include ``weights`` (name, sha256, bytes), ``base_weights`` (the weights it started from,
            or None), ``config``, ``metrics``, ``parameters`` and ``date``.
        base_card: The card of the weights it started from, which is repeated at the end.
    """
    config, weights, metrics = record["config"], record["weights"], record["metrics"]
    base = record["base_weights"]
    start = "from scratch" if base is None else f"from weights with the SHA-256 `{base['sha256']}`"
    backbone, scenes, trainer = config["backbone"], config["scenes"], config["trainer"]
    steps = record["epochs"] * scenes["steps_per_epoch"]
    parameters = ", ".join(f"{part.replace('_', ' ')} {number:,}" for part, number in record["parameters"].items())
    return f"""# {weights["name"]}

A small promptable segmentation model in the format of segment-anything's `Sam`, pre-trained by sac_lightning for
machines without a GPU. Licence: Apache-2.0, as the package's.

| | |
| --- | --- |
| file | `{weights["name"]}.safetensors`, {weights["bytes"]:,} bytes, half precision |
| SHA-256 | `{weights["sha256"]}` |
| architecture | ViT of {backbone["depth"]} blocks, {backbone["dim"]} channels, {backbone["heads"]} heads, patch \
{backbone["patch"]}, windows of {backbone["window"]} tokens, global attention in blocks \
{", ".join(map(str, backbone["global_blocks"]))}; {backbone["native_size"]} x {backbone["native_size"]} pixels |
| parameters | {parameters} |
| date | {record["date"][:10]} |
| seed | {config["seed"]} |
| training | {start}, {steps:,} steps of {scenes["batch_size"]} scenes of {config["view"]["image_size"]} pixels, \
{trainer["precision"]}, \
{sum(row["train_seconds"] for row in record["history"]) / 3600:.1f} hours on {record["device"]} |
| made by | `python -m sac_lightning.pretrain` of sac_lightning {record["versions"]["sac-lightning"]}, \
torch {record["versions"]["torch"]} |

## Data

Dead-leaves scenes made on the fly from the seed: random shapes at many scales that occlude each other, or lie
scattered on a background, in kinds that share a texture (noise, gratings, grains, flat tones, photographs that
scikit-image brings along: astronaut, brick, camera, chelsea, coffee, grass, gravel, rocket). No nucleus, no
microscopy and no medical picture is among them.

## Recipe

One click or one jittered box for each of {config["objects"]} objects per scene, then one to three clicks on
what was wrong, half of the time with the first answer as mask prompt; for each scene 4 to 32 pairs of points
whose answer is the union of one kind of object, or of all objects. Balanced cross-entropy + Dice, blending into
20 focal + Dice; the lowest of the three masks' losses, the single mask's, the regression of IoU. Beside them three
heads that are dropped afterwards: similarity of pixels of an object, of a kind, and the reconstruction of the
pixels. Learning rate annealed to zero; the weights are the last step's, nothing was selected.

## Figures

Mean IoU of the file as it is, in half precision, and of the same architecture untrained. A click is at the
point of an object that is farthest from its border; each further one at the middle of the larger error of the mask
that the model itself rates best. "Best" is the best of the three masks, "single" the single mask.

{_format_table(metrics)}

The scenes are held out (of another range of numbers than any scene of the training), with up to four objects of at
least {scenes["smallest"]} pixels each, drawn in proportion to the square root of their area. "Union" is the IoU of
the union of kinds that 4 to 32 pairs of points stand for.
{_demote_headings(base_card)}"""


def _demote_headings(base_card: str | None) -> str:
    """Return the earlier card with all headings one level deeper."""
    if base_card is None:
        return ""
    deeper = re.sub("^#", "##", base_card, flags=re.MULTILINE)
    return f"\n## What it went on from\n\n{deeper}"


def _format_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    columns = {
        "objects": "objects",
        "one_click": "1 click, best",
        "three_clicks": "3 clicks, best",
        "one_click_single_mask": "1 click, single",
        "three_clicks_single_mask": "3 clicks, single",
        "union": "union",
    }
    lines = [f"| on | {' | '.join(columns.values())} |", "| --- |" + " --- |" * len(columns)]
    for name, values in metrics.items():
        cells = [
            f"{values[c]:,.0f}" if c == "objects" else f"{values[c]:.3f}" if c in values else "" for c in columns
        ]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)
