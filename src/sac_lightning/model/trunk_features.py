"""The tokens that a fixed trunk gives for images, kept on disk (``features=DIR``): computed once, read ever after.

A file per image, ``<folder>/<trunk>/<image>.safetensors``, with the tokens that enter the encoder's neck, channels
first as the neck takes them. The first name is a hash of all that makes the trunk's answer besides the image: its
tensors, its settings (LoRA's scale is no tensor), its code, precision, device. The second is a hash of the pixels
that the encoder gets, and with them of the image's bytes and of the transform. Nothing is found under a name that
does not fit, and nothing has to be deleted for the results to be right.
"""

import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import refuse_unwritable, whole_file
from sac_lightning.core.source import strip_docstrings
from sac_lightning.model import attention
from sac_lightning.model.build import build_model
from sac_lightning.model.image_encoder import ImageEncoder, image_encoder_of

VERSION = 1  # Of the files and of what their names hash.
TOKENS = "tokens"
PLAIN = (bool, int, float, str, tuple)


class TrunkFeatures:
    """The tokens of images on disk, for an image encoder whose trunk (all but the neck) is fixed.

    An image is computed by itself, whatever batch it comes in, and comes back bit for bit as it was computed: a
    run gives the same with an empty folder and with a full one. Against a trunk that computes a batch at once, it
    is the same but for what the size of a batch does to the last bits of a matrix product: nothing on the CPU that
    it was tried on, something perhaps on a GPU.

    Processes may share a folder: files appear whole or not at all.

    Attributes:
        folder: Of the files.
        sizes: Bytes of tokens of each image that was asked for, by its file.
        computed: The files among them that were not there, or could not be read.
    """

    def __init__(self, folder: Path) -> None:
        """Args: folder: where the files are and go; it is made where it does not exist."""
        self.folder = folder
        self.sizes: dict[Path, int] = {}
        self.computed: set[Path] = set()
        self._hashed: tuple[object, str] | None = None

    def tokens(self, encoder: ImageEncoder, images: Tensor) -> Tensor:
        """Return what ``encoder.trunk(images)`` gives.

        Args:
            encoder: Its trunk is asked for the images that are not there.
            images: (B, 3, H, W), normalised with SAM's pixel mean and standard deviation.

        Returns:
            (B, H / patch, W / patch, dim) in the dtype that the trunk gives.

        Raises:
            UserError: A gradient or a dropout is wanted of the trunk; or a file cannot be written.
        """
        refuse_training(encoder, images)
        folder = self.folder / self._trunk_hash(encoder, images)
        # Hashing and reading let go of Python's lock, and a batch on a GPU waits for nothing else.
        with ThreadPoolExecutor(len(images)) as pool:
            found = list(pool.map(partial(_find, folder), images.detach().cpu()))
        tokens = []
        for image, (path, stored) in zip(images, found, strict=True):
            if stored is None:
                stored = encoder.trunk(image[None])[0].permute(2, 0, 1)
                _write(path, stored)
                self.computed.add(path)
            self.sizes[path] = stored.nbytes
            tokens.append(stored.to(images.device))
        return torch.stack(tokens).permute(0, 2, 3, 1)

    def summary(self) -> str:
        """Return the folder, and how many images this process found there or computed, with their size."""
        computed, megabytes = len(self.computed), sum(self.sizes.values()) / 1e6
        found = len(self.sizes) - computed
        return f"{self.folder} ({found} images found, {computed} computed, {megabytes:,.1f} MB)"

    def _trunk_hash(self, encoder: ImageEncoder, images: Tensor) -> str:
        """trunk_hash, made anew only where a tensor was written to or the precision is another."""
        conditions = _conditions(images)
        tensors = tuple((tensor.data_ptr(), tensor._version) for _, tensor in _trunk_tensors(encoder))
        state = (id(encoder), conditions, tensors)
        if self._hashed is None or self._hashed[0] != state:
            self._hashed = state, trunk_hash(encoder, conditions)
        return self._hashed[1]


def refuse_features_of_training(config: Mapping[str, Any]) -> None:
    """Raise UserError if a training cannot take its trunk's tokens from disk; nothing has been done yet.

    Args:
        config: The resolved configuration of train, with a folder as ``features``.
    """
    name = config["model"]["name"]
    with torch.device("meta"):  # It holds no numbers: ViT-H in no time.
        model = build_model(config["model"])
    if trunk_trains(_require_encoder(model, name)):
        raise UserError(
            f"features= needs an image encoder whose trunk is frozen, and that of this {name} trains: choose "
            "model=sam, or model=sam_ft with pre-trained weights (backbone.weights), or leave features out"
        )
    if config["data"].get("augment", True):
        raise UserError(
            "features= needs training windows that are the same in every epoch: set data.augment=false, or leave "
            "features out"
        )
    refuse_unwritable(Path(config["features"]), f"features={config['features']}")


def keep_features(model: nn.Module, name: str, folder: str | None) -> None:
    """Let a model take its trunk's tokens from a folder; None does nothing.

    Args:
        model: With all its weights.
        name: Of the model, for the error.
        folder: Is made where it does not exist.

    Raises:
        UserError: The model has no such tokens, or the folder cannot be written.
    """
    if folder is None:
        return
    encoder = _require_encoder(model, name)
    refuse_unwritable(Path(folder), f"features={folder}")
    encoder.features = TrunkFeatures(Path(folder))


def _require_encoder(model: nn.Module, name: str) -> ImageEncoder:
    encoder = image_encoder_of(model)
    if encoder is None:
        raise UserError(f"features= keeps what SAM's image encoder gives, and {name} has none: leave features out")
    return encoder


def trunk_trains(encoder: ImageEncoder) -> bool:
    """Return whether any parameter before the neck trains: LoRA's, an adapter's, or all of them from scratch."""
    return any(tensor.requires_grad for _, tensor in _trunk_tensors(encoder))


def refuse_training(encoder: ImageEncoder, images: Tensor) -> None:
    """Raise UserError if tokens from disk would cut off a gradient, or freeze a dropout."""
    if torch.is_grad_enabled() and (images.requires_grad or trunk_trains(encoder)):
        raise UserError(
            "features on disk have no gradient, and the image encoder's trunk trains: freeze it, or set features "
            "to None"
        )
    if any(isinstance(m, nn.Dropout) and m.training and m.p > 0 for _, m in _trunk_modules(encoder)):
        raise UserError(
            "features on disk are the same every time, and a dropout in the image encoder's trunk is active: call "
            "eval(), or set features to None"
        )


def trunk_hash(encoder: ImageEncoder, conditions: tuple[str, ...]) -> str:
    """Return the SHA-256 of a trunk: its modules with their settings, their code, its tensors.

    Args:
        encoder: With the trunk.
        conditions: What else makes the result, such as the precision.
    """
    digest = hashlib.sha256(repr((VERSION, conditions)).encode())
    sources = {attention.__name__}  # A function of the trunk's, beside the modules.
    for name, module in _trunk_modules(encoder):
        settings = {
            key: value
            for key, value in sorted(vars(module).items())
            if isinstance(value, PLAIN) and key != "training" and not key.startswith("_")
        }
        digest.update(repr((name, type(module).__qualname__, settings)).encode())
        sources.add(type(module).__module__)
    for source in sorted(source for source in sources if source.startswith(f"{__package__}.")):
        digest.update(strip_docstrings(inspect.getsource(sys.modules[source])).encode())
    for name, tensor in _trunk_tensors(encoder):
        digest.update(name.encode())
        _update(digest, tensor)
    return digest.hexdigest()


def _conditions(images: Tensor) -> tuple[str, ...]:
    """What makes the result besides trunk and image: torch, the kind of device, the precision of products."""
    device = images.device.type
    autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return torch.__version__, device, str(autocast), torch.get_float32_matmul_precision()


def _trunk_modules(encoder: ImageEncoder) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in encoder.named_modules() if name.partition(".")[0] != "neck")


def _trunk_tensors(encoder: ImageEncoder) -> Iterator[tuple[str, Tensor]]:
    state = encoder.state_dict(keep_vars=True)
    return ((name, tensor) for name, tensor in state.items() if name.partition(".")[0] != "neck")


def _update(digest: "hashlib._Hash", tensor: Tensor) -> None:
    """Add a tensor to a hash: its kind, its shape, its bytes."""
    digest.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
    digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _find(folder: Path, image: Tensor) -> tuple[Path, Tensor | None]:
    """The file of an image (3, H, W), and its tokens (dim, h, w); None where they cannot be read."""
    digest = hashlib.sha256()
    _update(digest, image)
    path = folder / f"{digest.hexdigest()}.safetensors"
    try:
        return path, load(path.read_bytes())[TOKENS]
    except (OSError, SafetensorError, KeyError):
        return path, None


def _write(path: Path, tokens: Tensor) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial_path:
            save_file({TOKENS: tokens.contiguous()}, partial_path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be written ({error}): make room or give another folder as features="
        ) from error
