"""The traced graphs: SAC as an encoder and a decoder, as SAM's own export splits it, other networks as they are.

The encoder runs once per image and takes nearly all the time; the decoder answers each click. Between the two the
automatic points are chosen, which is no network: it needs connected regions.
"""

import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.inference.onnx.description import KEY, Description
from sac_lightning.model.attention import plain_attention
from sac_lightning.model.image_encoder import ImageEncoder
from sac_lightning.model.lora import merge_lora
from sac_lightning.model.point_selection import PADDING
from sac_lightning.model.sam_modules import PromptEncoder
from sac_lightning.model.segment_any_cell import SAC

OPSET = 18  # The lowest that torch's exporter writes and that resizes with antialiasing, as the generator's input.

NETWORK = "network"
UNMARKED = 4
"""A label that adds nothing to the position of a point."""
NUCLEI = ("logits", "coarse", "iou", "corners")
"""Outputs of the decoder of single nuclei, see model.nucleus_decoder.NucleusMasks."""
SAME = torch.export.Dim.DYNAMIC
FREE = {
    "images": {0: "batch"},
    "image_embeddings": {0: "batch"},
    "point_coords": {0: SAME, 1: "points"},
    "point_labels": {0: SAME, 1: SAME},
    "generator_logits": {0: SAME},
    "owners": {0: "prompts"},
}
"""The axes of the inputs whose sizes are free; the exporter sees which are the same, and wants a name once."""


@dataclass(frozen=True)
class Graph:
    """One ONNX file to be.

    Attributes:
        name: Of the file, without its ending.
        module: What is traced.
        inputs: Examples by name.
        outputs: Names.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


def graphs(model: nn.Module, image_size: int) -> list[Graph]:
    """Return the graphs of a model: SAC's ``encoder`` and ``decoder``, or another's ``network``.

    Args:
        model: In eval mode, on the CPU. It stays as it is: what is traced is a copy, with LoRA merged.
        image_size: Side of its input in pixels, which stays fixed. Batch and number of points are free.
    """
    images = torch.zeros(2, 3, image_size, image_size)
    if not isinstance(model, SAC):  # Not Promptable: what is traced are SAC's own parts.
        return [Graph(NETWORK, NetworkGraph(model), {"images": images}, ("logits",))]
    model = deepcopy(model)
    merge_lora(model)
    make_traceable(model.image_encoder)
    grid = image_size // model.image_encoder.patch
    prompts = {
        "image_embeddings": torch.zeros(2, model.prompt_encoder.embed_dim, grid, grid),
        "point_coords": torch.zeros(2, 3, 2),
        "point_labels": torch.zeros(2, 3, dtype=torch.long),
    }
    answers: tuple[str, ...] = ("low_res_logits", "iou")
    decoder: nn.Module = DecoderGraph(model)
    generated: tuple[str, ...] = ()
    if model.prompt_generator is not None:
        generated = ("generator_logits",)
        if model.dense or model.decodes_nuclei:
            prompts["generator_logits"] = model.prompt_generator(torch.zeros(2, 3, model.map_size, model.map_size))
    if model.decodes_nuclei:
        # Three prompt sets for two images: their numbers are free of each other.
        prompts |= {
            "owners": torch.tensor([0, 1, 1]),
            "point_coords": torch.zeros(3, 4, 2),
            "point_labels": torch.zeros(3, 4, dtype=torch.long),
        }
        decoder, answers = NucleiGraph(model), NUCLEI
    return [
        Graph("encoder", EncoderGraph(model), {"images": images}, ("image_embeddings", *generated)),
        Graph("decoder", decoder, prompts, answers),
    ]


class NetworkGraph(nn.Module):
    """A network whose input is called ``images``, however its own code calls it."""

    def __init__(self, network: nn.Module) -> None:
        """Args: network: from images to logits."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) RGB in 0..255 to logits (B, 1, S, S)."""
        logits: Tensor = self.network(images)
        return logits


class EncoderGraph(nn.Module):
    """SAC up to the selection of points: image encoder and prompt generator."""

    def __init__(self, model: SAC) -> None:
        """Args: model: whose parts these are."""
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, S, S) RGB in 0..255 to their embeddings and, with a generator, its logits."""
        image_embeddings, generator_logits = self.model.encode(images)
        return (image_embeddings,) if generator_logits is None else (image_embeddings, generator_logits)


class DecoderGraph(nn.Module):
    """SAC from the points on: prompt encoder and mask decoder."""

    def __init__(self, model: SAC) -> None:
        """Args: model: whose parts these are."""
        super().__init__()
        self.prompt_encoder = model.prompt_encoder
        self.mask_decoder = model.mask_decoder
        self.decoder_weight = model.decoder_weight

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        generator_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode one mask per image.

        Args:
            image_embeddings: (B, 256, h, w).
            point_coords: (B, N, 2) xy in input pixels. As in SAM's own export, points are followed by one of
                padding, (0, 0) with label -1, unless there are none or the corners of a box.
            point_labels: (B, N), 1 nucleus, 0 background, -1 padding; 2 and 3 a box's first and last corner.
            generator_logits: (B, 1, m, m), the dense prompt of a model that was trained with one.

        Returns:
            low_res_logits (B, 1, 4h, 4w) and iou (B,).
        """
        encoder = self.prompt_encoder
        if generator_logits is None:
            dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(image_embeddings)
        else:
            size = encoder.mask_input_size
            dense = encoder.mask_downscaling(
                F.interpolate(generator_logits, size, mode="bilinear", antialias=True)
            )
        logits, iou = self.mask_decoder(
            image_embeddings,
            encoder.get_dense_pe(),
            embed_points(encoder, point_coords, point_labels),
            dense,
            multimask_output=False,
        )
        if self.decoder_weight is not None:
            logits = self.decoder_weight * logits
        return logits, iou[:, 0]


class NucleiGraph(nn.Module):
    """SAC from the points on, where each is answered by its nucleus."""

    def __init__(self, model: SAC) -> None:
        """Args: model: a copy, which becomes traceable."""
        super().__init__()
        model.prompt_encoder = PointEncoder(model.prompt_encoder)
        self.model = model

    def forward(
        self,
        image_embeddings: Tensor,
        generator_logits: Tensor,
        owners: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
    ) -> tuple[Tensor, ...]:
        """Decode one mask per prompt set, see Promptable.decode_nuclei; the outputs are those of NUCLEI."""
        masks = self.model.decode_nuclei(image_embeddings, generator_logits, owners, point_coords, point_labels)
        return masks.logits, masks.coarse, masks.iou, masks.corners


class PointEncoder(nn.Module):
    """SAM's prompt encoder for points and boxes' corners among them, as an exporter can trace it."""

    def __init__(self, encoder: PromptEncoder) -> None:
        """Args: encoder: whose weights these are."""
        super().__init__()
        self.encoder = encoder
        self.input_image_size = encoder.input_image_size
        self.get_dense_pe = encoder.get_dense_pe
        self.point_embeddings = encoder.point_embeddings

    def forward(self, points: tuple[Tensor, Tensor], boxes: None, masks: None) -> tuple[Tensor, Tensor]:
        """Embed points (P, N, 2) and labels (P, N), padding after them.

        Returns:
            Sparse embeddings (P, N + 1, 256) and dense ones (1, 256, h, w).
        """
        coords, labels = F.pad(points[0], (0, 0, 0, 1)), F.pad(points[1], (0, 1), value=PADDING)
        dense = self.encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        # The corners of a box are marked by SAC.decode_nuclei.
        signs = labels.where(labels <= 1, UNMARKED)
        dense = dense.expand(-1, -1, *self.encoder.image_embedding_size)
        return embed_points(self.encoder, coords, signs), dense


def embed_points(encoder: PromptEncoder, coords: Tensor, labels: Tensor) -> Tensor:
    """Embed points as a prompt encoder does, (B, N, 256), without its assignments to masked places."""
    labels = labels.unsqueeze(-1)
    embeddings = encoder.pe_layer.forward_with_coords(coords + 0.5, encoder.input_image_size)
    embeddings = torch.where(labels == PADDING, encoder.not_a_point_embed.weight, embeddings)
    for label, kind in enumerate(encoder.point_embeddings):
        embeddings = embeddings + kind.weight * (labels == label)
    return embeddings  # type: ignore[no-any-return]


def write_graph(graph: Graph, path: Path, description: Description) -> None:
    """Trace a graph and write it as ONNX; above 2 GB, which a file cannot hold, its numbers go in one beside it.

    Args:
        graph: What to trace.
        path: Of the file.
        description: Goes into its metadata.

    Raises:
        UserError: A compared network's code cannot be traced, such as where it hands the image to another library.
    """
    try:
        program = _trace_graph(graph)
    except Exception as error:  # What torch raises over what it cannot trace is open-ended.
        if not isinstance(graph.module, NetworkGraph):
            raise
        name = type(graph.module.network).__name__
        raise UserError(
            f"{name} cannot be exported, as a part of it has no form in ONNX: use its .ckpt instead"
        ) from error
    program.model.metadata_props[KEY] = description.text()
    program.model.graph.metadata_props.clear()
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # Where in which file it was written, on the machine that exports.
    program.save(path)


def _trace_graph(graph: Graph) -> torch.onnx.ONNXProgram:
    """Trace a graph in terms of ONNX."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of its attempts: the verification tells whether the outcome is right.
        program = torch.onnx.export(
            graph.module.eval(),
            kwargs=graph.inputs,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_shapes={name: FREE[name] for name in graph.inputs},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program


def make_traceable(encoder: ImageEncoder) -> None:
    """Free an image encoder of what it does for a CPU's cache: loops over chunks, which depend on the batch."""
    encoder.set_attention(plain_attention)
    encoder.set_strips(False)
