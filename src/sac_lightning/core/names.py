"""The names by which configurations, checkpoints and records call parts of this package.

They are a file format: a checkpoint of last year asks for its model by name. Each room's ``__init__.pyi`` lists
its public names, ``conf`` uses only those, and a name that was given up stands in ``FORMER_NAMES`` for good. See
docs/public-names.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any

FORMER_NAMES: dict[str, str] = {
    # Not given up, but ours since version 0.2: Lightning's forgets the epochs after trainer.min_epochs.
    "lightning.pytorch.callbacks.EarlyStopping": "sac_lightning.training.EarlyStopping",
    "sac_lightning.baselines.diffusion_unet.DiffusionUNet": "sac_lightning.baselines.DiffusionUNet",
    "sac_lightning.baselines.doubleu_net.DoubleUNet": "sac_lightning.baselines.DoubleUNet",
    "sac_lightning.baselines.duat.DuAT": "sac_lightning.baselines.DuAT",
    "sac_lightning.baselines.fanet.FANet": "sac_lightning.baselines.FANet",
    "sac_lightning.baselines.histoseg.CrossEntropyPixelDice": "sac_lightning.baselines.CrossEntropyPixelDice",
    "sac_lightning.baselines.histoseg.HistoSeg": "sac_lightning.baselines.HistoSeg",
    "sac_lightning.baselines.losses.CrossEntropy": "sac_lightning.baselines.CrossEntropy",
    "sac_lightning.baselines.losses.Dice": "sac_lightning.baselines.Dice",
    "sac_lightning.baselines.losses.DiceCrossEntropy": "sac_lightning.baselines.DiceCrossEntropy",
    "sac_lightning.baselines.mdm.MDM": "sac_lightning.baselines.MDM",
    "sac_lightning.baselines.medt.MedT": "sac_lightning.baselines.MedT",
    "sac_lightning.baselines.msrf_net.MSRFNet": "sac_lightning.baselines.MSRFNet",
    "sac_lightning.baselines.otsu.Otsu": "sac_lightning.baselines.Otsu",
    "sac_lightning.baselines.smp.SMP": "sac_lightning.baselines.SMP",
    "sac_lightning.baselines.ssformer.SSFormer": "sac_lightning.baselines.SSFormer",
    "sac_lightning.baselines.structure_loss.StructureLoss": "sac_lightning.baselines.StructureLoss",
    "sac_lightning.baselines.u_net.UNetNetwork": "sac_lightning.baselines.UNetNetwork",
    "sac_lightning.baselines.uctransnet.UCTransNet": "sac_lightning.baselines.UCTransNet",
    "sac_lightning.baselines.uctransnet_loss.DiceBalancedBCE": "sac_lightning.baselines.DiceBalancedBCE",
    "sac_lightning.data.dsb2018.DSB2018": "sac_lightning.data.DSB2018",
    "sac_lightning.data.folder.Folder": "sac_lightning.data.Folder",
    "sac_lightning.data.glas.GlaS": "sac_lightning.data.GlaS",
    "sac_lightning.data.monuseg.MoNuSeg": "sac_lightning.data.MoNuSeg",
    "sac_lightning.data.synthetic.Synthetic": "sac_lightning.data.Synthetic",
    "sac_lightning.losses.DiceCE": "sac_lightning.training.DiceCE",
    "sac_lightning.losses.FocalDice": "sac_lightning.training.FocalDice",
    "sac_lightning.model.image_encoder.Backbone": "sac_lightning.model.Backbone",
    "sac_lightning.model.methods.Generator": "sac_lightning.model.Generator",
    "sac_lightning.model.methods.Prompts": "sac_lightning.model.Prompts",
    "sac_lightning.model.methods.msa": "sac_lightning.model.msa",
    "sac_lightning.model.methods.sac": "sac_lightning.model.sac",
    "sac_lightning.model.methods.sam": "sac_lightning.model.sam",
    "sac_lightning.model.methods.sam_ft": "sac_lightning.model.sam_ft",
    "sac_lightning.schedule.cosine_restarts": "sac_lightning.training.cosine_restarts",
    "sac_lightning.sweep.Sweep": "sac_lightning.runs.Sweep",
}
"""Former name to public name."""


def translate_names(settings: Any) -> Any:
    """Return settings in which every ``_target_`` has its public name; the rest is the same.

    Args:
        settings: Dicts, lists and plain values, as a checkpoint or a record holds them. They are left as they are.
    """
    return replace_targets(settings, FORMER_NAMES)


def replace_targets(settings: Any, names: Mapping[str, str]) -> Any:
    """Return settings in which every ``_target_`` that has a name of the first kind has that of the second.

    Args:
        settings: See translate_names.
        names: First to second.
    """
    if isinstance(settings, Mapping):
        return {
            key: names.get(value, value)
            if key == "_target_" and isinstance(value, str)
            else replace_targets(value, names)
            for key, value in settings.items()
        }
    if isinstance(settings, list):
        return [replace_targets(item, names) for item in settings]
    return settings


def find_targets(settings: Any) -> Iterator[str]:
    """Yield every ``_target_`` in settings, at any depth.

    Args:
        settings: Dicts, lists and plain values.
    """
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key == "_target_":
                yield value
            else:
                yield from find_targets(value)
    elif isinstance(settings, list):
        for item in settings:
            yield from find_targets(item)
