"""An exported model, run by onnxruntime: the views, windows and points are the checkpoint's, by the same code."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.inference.onnx.description import KEY, Description, read_description
from sac_lightning.inference.onnx.graphs import NUCLEI
from sac_lightning.model.nucleus_decoder import NucleusMasks
from sac_lightning.model.point_selection import PADDING, PointSelection
from sac_lightning.model.prompt_generator import SEPARATING
from sac_lightning.model.promptable import Segmentation, segment_images

MISSING = "ONNX needs packages that are not installed: pip install 'sac-lightning[onnx]'"
REMEDY = "give a .ckpt, or the folder that the export command wrote"


class Session:
    """One ONNX file in onnxruntime, on the CPU, with as many threads as torch has.

    Attributes:
        description: The text in the file's metadata, empty where there is none.
        inputs: Shapes by name; what is free is a string.
        outputs: Names.
        channels: Second dimension of each output that has two.
    """

    def __init__(self, path: Path) -> None:
        """Args: path: of the file. Raises UserError where onnxruntime is missing or does not take the file."""
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(MISSING) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # What goes wrong is raised as well.
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # What onnxruntime raises over a damaged or hostile file is open-ended.
            raise UserError(f"{path} cannot be read as ONNX: {REMEDY}") from error
        self.description: str = self._session.get_modelmeta().custom_metadata_map.get(KEY, "")
        self.inputs: dict[str, list[int | str]] = {each.name: each.shape for each in self._session.get_inputs()}
        outputs = self._session.get_outputs()
        self.outputs: tuple[str, ...] = tuple(each.name for each in outputs)
        self.channels: tuple[int | str, ...] = tuple(each.shape[1] for each in outputs if len(each.shape) > 1)

    def __call__(self, **inputs: Tensor) -> list[Tensor]:
        """Run the networks and return the outputs, in their order."""
        arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in inputs.items()}
        return [torch.from_numpy(array) for array in self._session.run(None, arrays)]


class OnnxSAC(nn.Module):
    """SAC whose networks onnxruntime runs (a Promptable); the points between them are chosen by the same code.

    Attributes:
        has_trained_decoder: Is taken for granted: the files do not tell.
        is_silent: Likewise.
    """

    has_trained_decoder = True
    is_silent = False

    def __init__(
        self,
        encoder: Session,
        decoder: Session,
        point_selection: PointSelection,
        refine: bool = False,
        nucleus_field: int | None = None,
    ) -> None:
        """Put together what a folder holds.

        Args:
            encoder: See inference.onnx.graphs.
            decoder: Likewise.
            point_selection: Generator logits to points.
            refine: See Promptable.
            nucleus_field: Likewise.
        """
        super().__init__()
        self.refine = refine
        self.nucleus_field = nucleus_field
        self.decodes_nuclei = nucleus_field is not None
        self.encoder = encoder
        self.decoder = decoder
        self.point_selection = point_selection
        self.dense = "generator_logits" in decoder.inputs and not self.decodes_nuclei

    @property
    def has_generator(self) -> bool:
        """Whether the encoder's file has a prompt generator, too."""
        return "generator_logits" in self.encoder.outputs

    def forward(
        self,
        images: Tensor,
        expert_coords: Tensor | None = None,
        expert_labels: Tensor | None = None,
        seeds: Tensor | None = None,
    ) -> Segmentation:
        """Segment images, see segment_images."""
        return segment_images(self, images, expert_coords, expert_labels, seeds)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the encoder's file, image by image: at 1024 px the attention scores of one take gigabytes."""
        outputs = [torch.cat(parts) for parts in zip(*map(self._encode_one, images), strict=True)]
        return outputs[0], outputs[1] if len(outputs) > 1 else None

    def _encode_one(self, image: Tensor) -> list[Tensor]:
        return self.encoder(images=image[None])

    def generate(self, images: Tensor) -> Tensor | None:
        """Run the encoder's file, which has both networks, for the generator's part."""
        return self.encode(images)[1]

    def decode_nuclei(
        self,
        image_embeddings: Tensor,
        generator_logits: Tensor,
        owners: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
    ) -> NucleusMasks:
        """Run the decoder's file of a model that decodes nuclei, see Promptable."""
        logits, coarse, iou, corners = self.decoder(
            image_embeddings=image_embeddings,
            generator_logits=generator_logits,
            owners=owners,
            point_coords=point_coords,
            point_labels=point_labels,
        )
        return NucleusMasks(logits, coarse, iou, corners)

    def decode(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        generator_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the decoder's file; the point of padding that graphs.DecoderGraph expects is added here."""
        if point_coords.shape[1]:
            point_coords, point_labels = (
                F.pad(point_coords, (0, 0, 0, 1)),
                F.pad(point_labels, (0, 1), value=PADDING),
            )
        prompts = {"point_coords": point_coords, "point_labels": point_labels}
        if self.dense and generator_logits is not None:
            prompts["generator_logits"] = generator_logits
        low_res_logits, iou = self.decoder(image_embeddings=image_embeddings, **prompts)
        return low_res_logits, iou


class OnnxNetwork(nn.Module):
    """A compared network that onnxruntime runs.

    Attributes:
        maps: See inference.windows.run_model.
    """

    def __init__(self, network: Session) -> None:
        """Args: network: images to logits."""
        super().__init__()
        self.network = network
        self.maps = SEPARATING if network.channels == (SEPARATING,) else 1

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) RGB in 0..255 to logits (B, maps, S, S), one after the other: see OnnxSAC.encode."""
        return torch.cat([self.network(images=image[None])[0] for image in images])


def load_exported(folder: Path) -> tuple[nn.Module, Description]:
    """Load the model and its description from a folder that the export command wrote.

    Raises:
        UserError: The export command did not write this folder, its files belong to different exports, or
            onnxruntime is missing.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: {REMEDY}")
    names = ("network",) if (folder / "network.onnx").is_file() else ("encoder", "decoder")
    for name in names:
        if not (folder / f"{name}.onnx").is_file():
            raise UserError(f"{folder} holds no {name}.onnx: {REMEDY}")
    sessions = [Session(folder / f"{name}.onnx") for name in names]
    if len({session.description for session in sessions}) > 1:
        raise UserError(f"the files in {folder} belong to different exports: export the model again")
    try:
        description = read_description(sessions[0].description)
        return _assemble_model(sessions, description), description
    except ValueError as error:
        raise UserError(f"{folder} was not exported by this version of sac_lightning: {REMEDY}") from error


def _assemble_model(sessions: Sequence[Session], description: Description) -> nn.Module:
    """Assemble the model of its files; ValueError if inputs and outputs are not those of inference.onnx.graphs."""
    size = description.image_size
    first = sessions[0]
    if list(first.inputs) != ["images"] or first.inputs["images"][1:] != [3, size, size]:
        raise ValueError("another input")
    selection = description.point_selection()
    if len(sessions) == 1:
        if first.outputs != ("logits",):
            raise ValueError("other outputs")
        return OnnxNetwork(first)
    generated = ("generator_logits",) if selection is not None and selection.points else ()
    needed = {"image_embeddings", "point_coords", "point_labels"}
    possible = needed.union(generated)
    outputs: tuple[str, ...] = ("low_res_logits", "iou")
    if description.nucleus_field is not None:
        needed = possible = {*needed, "generator_logits", "owners"}
        outputs = NUCLEI
    if (
        selection is None
        or first.outputs != ("image_embeddings", *generated)
        or not needed <= sessions[1].inputs.keys() <= possible
        or sessions[1].outputs != outputs
    ):
        raise ValueError("other inputs or outputs")
    return OnnxSAC(first, sessions[1], selection, description.refine, description.nucleus_field)
