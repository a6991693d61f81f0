"""SAM's published weights and our own: where they are, how they are downloaded, and how they are read.

`locate` turns a registered name or a path into a file. `read_weights` turns a file of our own format into tensors
(foreign.sam reads those of other projects, too). `write_weights` writes such a file.
"""

import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.model.register import REGISTER, Model
from sac_lightning.model.registered import check_shipped, sha256_of
from sac_lightning.model.tensor_file import REMEDY, read_content

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30

log = logging.getLogger(__name__)


def cached_path(model: Model) -> Path:
    """Return where a file that others publish lies: in $SAC_WEIGHTS, else in torch hub's folder of checkpoints."""
    folder = os.environ.get("SAC_WEIGHTS") or os.path.join(torch.hub.get_dir(), "checkpoints")
    return Path(folder).expanduser().absolute() / model.file


def locate(weights: str) -> Path:
    """Return the path of a file of SAM's weights; download one that is not on this machine, if it can be verified.

    Args:
        weights: The name of SAM's weights in the register (vit_t, vit_b ...) or the path of an existing file.

    Returns:
        The path of a file. A registered one has been checked against its size and SHA-256, where these are known.

    Raises:
        UserError: There is no such name or file, it is a trained model's, the download failed or could not be
            verified, or the file is not the registered one.
    """
    model = REGISTER.get(weights)
    if model is None:
        path = Path(weights).expanduser()
        if not path.is_file():
            names = ", ".join(name for name, model in REGISTER.items() if model.kind == "sam")
            raise UserError(f"There are no weights {weights!r}: give one of {names}, or the path of a file.")
        return path
    if model.kind != "sam":
        raise UserError(f"{weights} is a trained model and no SAM: give it as {model.use}, or to train as init=.")
    if model.is_shipped:
        return check_shipped(model)
    path = cached_path(model)
    if not model.is_downloadable:
        _refuse_missing(model, path)
        return path
    if not path.exists():
        _download_once(model)
    _check_cached(model)
    return path


def _refuse_missing(model: Model, path: Path) -> None:
    """Raise UserError if a file is not there that could not be verified after a download."""
    if not path.is_file():
        raise UserError(
            f"{model.name} is not downloaded, as its SHA-256 is not known: get {model.url} yourself and put it at "
            f"{path}, or give another file as backbone.weights=FILE."
        )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict without running any code that the file holds.

    The tensors are on the CPU and, if the file has torch's zip format, memory-mapped rather than copied.

    Args:
        path: A file that holds only a state dict, as `torch.save(model.state_dict(), path)` writes it, or a
            .safetensors file.

    Returns:
        The tensors by name, as they are in the file.

    Raises:
        UserError: The file cannot be read, needs to run code, or does not hold a state dict of tensors.
    """
    state = read_content(path)
    if not isinstance(state, dict) or not state:
        raise UserError(f"{path} holds a {type(state).__name__} instead of named tensors: {REMEDY}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(
                f"{path} is not a state dict, as its entry {name!r} is {type(value).__name__}: {REMEDY}"
            )
    return dict(state)


def write_weights(path: Path, state: Mapping[str, Tensor], dtype: torch.dtype = torch.float16) -> None:
    """Write a state dict as safetensors, by default in half precision, whole or not at all."""
    rounded = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}
    with whole_file(path) as partial:
        partial.write_bytes(save(rounded))  # save_file would make the file readable for its owner only.


def _download_once(model: Model) -> None:
    """Download a file to its place in the cache, unless another process has just done so."""
    path = cached_path(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                _download(model)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # The error is also the host's answer, with an open socket.
        reason = str(error).strip("<>")
        raise UserError(
            f"{model.url} could not be downloaded ({reason}): get it elsewhere and put it at {path}."
        ) from error


def _download(model: Model) -> None:
    path = cached_path(model)
    partial = path.with_name(f"{path.name}.part")
    log.info("Downloading %s (%.0f MB) to %s", model.url, model.size / 1e6, path)
    try:
        size, sha256 = _fetch(model, partial)
        if (size, sha256) != (model.size, model.sha256):
            raise UserError(
                f"{model.url} arrived damaged and was thrown away ({size} of {model.size} bytes, "
                f"SHA-256 {sha256}): try again, or put the published file at {path}."
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _remember_verified(model)


def _fetch(model: Model, partial: Path) -> tuple[int, str]:
    """Download to a file; return its size in bytes and its SHA-256."""
    size, digest = 0, hashlib.sha256()
    with (
        urllib.request.urlopen(model.url, timeout=TIMEOUT_SECONDS) as answer,
        partial.open("wb") as file,
        # disable=None: no bar if the output is not a terminal, as in a cluster's log.
        tqdm(desc=model.name, total=model.size, unit="B", unit_scale=True, disable=None) as bar,
    ):
        # A host that sends too much is cut off rather than left to fill the disk.
        while size <= model.size and (chunk := answer.read(CHUNK_BYTES)):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    return size, digest.hexdigest()


def _check_cached(model: Model) -> None:
    """Raise UserError if a cached file is not the registered one. Its hash is remembered for later starts."""
    path = cached_path(model)
    remedy = f"delete it to download it again, or put {model.url} in its place."
    size = path.stat().st_size
    if size != model.size:
        raise UserError(f"{path} has {size} bytes instead of {model.size}: {remedy}")
    if _is_remembered(model):
        return
    if sha256_of(path) != model.sha256:
        raise UserError(f"{path} is not the published file, as its SHA-256 differs: {remedy}")
    _remember_verified(model)


def _is_remembered(model: Model) -> bool:
    sidecar, line = _sidecar(model)
    try:
        return sidecar.read_text() == line
    except (OSError, UnicodeDecodeError):
        return False


def _remember_verified(model: Model) -> None:
    sidecar, line = _sidecar(model)
    temporary = sidecar.with_name(f"{sidecar.name}.{os.getpid()}.tmp")
    # A shared cache may be read-only; then every start verifies the file.
    with suppress(OSError):
        temporary.write_text(line)
        os.replace(temporary, sidecar)


def _sidecar(model: Model) -> tuple[Path, str]:
    """Return the file that remembers a verification, and its content: hash, size and mtime of the cached file."""
    path = cached_path(model)
    status = path.stat()
    line = f"{model.sha256} {status.st_size} {status.st_mtime_ns}\n"
    return path.with_name(f"{path.name}.sha256"), line
