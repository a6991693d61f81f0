"""Count parameters without weights: of a method with a backbone, in Table 6's way and in ours, and of networks."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.model import methods
from sac_lightning.model.build import build_model
from sac_lightning.model.image_encoder import Backbone
from sac_lightning.model.segment_any_cell import SAC

METHODS = {
    "sam": methods.sam,
    "sam_ft": methods.sam_ft,
    "msa": methods.msa,
    "lora": methods.sac,
    "sac": methods.sac,
}
WITH_GENERATOR = ("sam_ft", "sac")


@dataclass
class MethodCounts:
    """The parameters of one method with one backbone, counted in two ways.

    Attributes:
        method: A key of METHODS.
        backbone: Name of the backbone.
        table6: ``trainable``, ``frozen`` and ``total`` as Table 6 counts them.
        ours: The same as we train the model.
    """

    method: str
    backbone: str
    table6: dict[str, int]
    ours: dict[str, int]


def count(method: str, backbone: Backbone) -> MethodCounts:
    """Count a method's parameters on the meta device, which allocates no memory for them.

    Args:
        method: A key of METHODS. By default, SAM-FT and SAC have a prompt generator, the others none.
        backbone: The image encoder's sizes. It is counted as if it had pre-trained weights, that is, frozen.
    """
    prompts = methods.Prompts(points=1 if method in WITH_GENERATOR else 0)
    with torch.device("meta"):
        model = METHODS[method](replace(backbone, weights=backbone.name), prompts, backbone.native_size)
    return MethodCounts(method, backbone.name, table6_counts(method, model), parameter_counts(model))


def table6_counts(method: str, model: SAC) -> dict[str, int]:
    """Count parameters as Table 6 does: the prompt encoder as trained, the prompt generator for SAM-FT only."""
    encoder = parameter_counts(model.image_encoder)
    rest = _number(model.mask_decoder) + _number(model.prompt_encoder)
    if method == "sam":
        return {"trainable": 0, "frozen": encoder["frozen"] + rest, "total": encoder["frozen"] + rest}
    if method == "sam_ft" and model.prompt_generator is not None:
        rest += _number(model.prompt_generator)
    trainable = encoder["trainable"] + rest
    return {"trainable": trainable, "frozen": encoder["frozen"], "total": trainable + encoder["frozen"]}


@dataclass
class NetworkCounts:
    """The parameters of a compared network at its own width.

    Attributes:
        network: Its name.
        image_size: Side of its input in pixels.
        parameters: ``trainable``, ``frozen`` and ``total``.
        statistics: BatchNorm's running means and variances, which Keras counts as parameters.
    """

    network: str
    image_size: int
    parameters: dict[str, int]
    statistics: int


def count_network(name: str) -> NetworkCounts:
    """Count a compared network's parameters at the width of its own paper, on the meta device.

    Args:
        name: Name of a file in ``conf/model``.
    """
    config = resolve_config(compose_config("train", [f"model={name}", "scale=paper", "output_dir=."]))
    with torch.device("meta"):
        network = build_model(config["model"])
    running = (buffer.numel() for buffer_name, buffer in network.named_buffers() if ".running_" in buffer_name)
    return NetworkCounts(name, config["view"]["image_size"], parameter_counts(network), sum(running))


def _number(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Return the numbers of ``trainable``, ``frozen`` and all (``total``) parameters."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    return {"trainable": trainable, "frozen": total - trainable, "total": total}
