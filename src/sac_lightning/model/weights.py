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
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from sac_lightning.core.errors import UserError
from sac_lightning.core.files import whole_file
from sac_lightning.model.tensor_file import REMEDY, read_content

HOST = "https://dl.fbaipublicfiles.com/"
CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A file of weights that its owner publishes.

    Attributes:
        name: Its name in a configuration.
        file: Path below the host.
        size: Size in bytes.
        sha256: SHA-256 in lower-case hexadecimal.
    """

    name: str
    file: str
    size: int
    sha256: str

    @property
    def url(self) -> str:
        """URL of the file."""
        return HOST + self.file

    @property
    def cached(self) -> Path:
        """Path of the file on this machine: in $SAC_WEIGHTS, else in torch hub's folder of checkpoints."""
        folder = os.environ.get("SAC_WEIGHTS") or os.path.join(torch.hub.get_dir(), "checkpoints")
        return Path(folder).expanduser().absolute() / Path(self.file).name


WEIGHTS = {
    weights.name: weights
    for weights in (
        Weights(
            name="vit_b",
            file="segment_anything/sam_vit_b_01ec64.pth",
            size=375_042_383,
            sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        Weights(
            name="vit_l",
            file="segment_anything/sam_vit_l_0b3195.pth",
            size=1_249_524_607,
            sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        Weights(
            name="vit_h",
            file="segment_anything/sam_vit_h_4b8939.pth",
            size=2_564_550_879,
            sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
    )
}


@dataclass(frozen=True)
class Shipped:
    """A file of weights that this package includes, made by `python -m sac_lightning.pretrain`.

    Attributes:
        name: Its name in a configuration.
        sha256: SHA-256 in lower-case hexadecimal. It is part of the code so that new weights mean a new version of
            the code, and earlier runs no longer count as done.
    """

    name: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the file; its model card lies beside it."""
        return Path(__file__).parents[1] / "pretrained" / f"{self.name}.safetensors"


SHIPPED = {
    shipped.name: shipped
    for shipped in (
        Shipped(name="vit_t", sha256="6e581fc5e9ff3e7726888435aaaa6af3144542a0c1f221f0a50e2e9847331fd8"),
    )
}


def locate(weights: str) -> Path:
    """Return the path of a file of weights; download a registered one that is not on this machine.

    Args:
        weights: The name of shipped weights (vit_t), a registered name (vit_b, vit_l, vit_h) or the path of an
            existing file.

    Returns:
        The path of a file. A registered one has been checked against its size and SHA-256.

    Raises:
        UserError: There is no such name or file, the download failed, or the file is not the registered one.
    """
    if weights in SHIPPED:
        return _check_shipped(SHIPPED[weights])
    if weights in WEIGHTS:
        registered = WEIGHTS[weights]
        if not registered.cached.exists():
            _download_once(registered)
        _check_cached(registered)
        return registered.cached
    path = Path(weights).expanduser()
    if not path.is_file():
        names = ", ".join([*SHIPPED, *WEIGHTS])
        raise UserError(f"There are no weights {weights!r}: give one of {names}, or the path of a file.")
    return path


def _check_shipped(shipped: Shipped) -> Path:
    if not shipped.path.is_file() or sha256_of(shipped.path) != shipped.sha256:
        raise UserError(f"{shipped.path} is not the file that belongs to this version: install the package again.")
    return shipped.path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _download_once(registered: Weights) -> None:
    """Download a file to its place in the cache, unless another process has just done so."""
    path = registered.cached
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                _download(registered)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # The error is also the host's answer, with an open socket.
        reason = str(error).strip("<>")
        raise UserError(
            f"{registered.url} could not be downloaded ({reason}): get it elsewhere and put it at {path}."
        ) from error


def _download(registered: Weights) -> None:
    path = registered.cached
    partial = path.with_name(f"{path.name}.part")
    log.info("Downloading %s (%.0f MB) to %s", registered.url, registered.size / 1e6, path)
    try:
        size, sha256 = _fetch(registered, partial)
        if (size, sha256) != (registered.size, registered.sha256):
            raise UserError(
                f"{registered.url} arrived damaged and was thrown away ({size} of {registered.size} bytes, "
                f"SHA-256 {sha256}): try again, or put the published file at {path}."
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _remember_verified(registered)


def _fetch(registered: Weights, partial: Path) -> tuple[int, str]:
    """Download to a file; return its size in bytes and its SHA-256."""
    size, digest = 0, hashlib.sha256()
    with (
        urllib.request.urlopen(registered.url, timeout=TIMEOUT_SECONDS) as answer,
        partial.open("wb") as file,
        # disable=None: no bar if the output is not a terminal, as in a cluster's log.
        tqdm(desc=registered.name, total=registered.size, unit="B", unit_scale=True, disable=None) as bar,
    ):
        # A host that sends too much is cut off rather than left to fill the disk.
        while size <= registered.size and (chunk := answer.read(CHUNK_BYTES)):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    return size, digest.hexdigest()


def _check_cached(registered: Weights) -> None:
    """Raise UserError if a cached file is not the registered one. Its hash is remembered for later starts."""
    path = registered.cached
    remedy = f"delete it to download it again, or put {registered.url} in its place."
    size = path.stat().st_size
    if size != registered.size:
        raise UserError(f"{path} has {size} bytes instead of {registered.size}: {remedy}")
    if _is_remembered(registered):
        return
    if sha256_of(path) != registered.sha256:
        raise UserError(f"{path} is not the published file, as its SHA-256 differs: {remedy}")
    _remember_verified(registered)


def _is_remembered(registered: Weights) -> bool:
    sidecar, line = _sidecar(registered)
    try:
        return sidecar.read_text() == line
    except (OSError, UnicodeDecodeError):
        return False


def _remember_verified(registered: Weights) -> None:
    sidecar, line = _sidecar(registered)
    temporary = sidecar.with_name(f"{sidecar.name}.{os.getpid()}.tmp")
    # A shared cache may be read-only; then every start verifies the file.
    with suppress(OSError):
        temporary.write_text(line)
        os.replace(temporary, sidecar)


def _sidecar(registered: Weights) -> tuple[Path, str]:
    """Return the file that remembers a verification, and its content: hash, size and mtime of the cached file."""
    path = registered.cached
    status = path.stat()
    line = f"{registered.sha256} {status.st_size} {status.st_mtime_ns}\n"
    return path.with_name(f"{path.name}.sha256"), line
