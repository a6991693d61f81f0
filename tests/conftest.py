"""What the tests share: real images where there are some, one thread, no network."""

import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from tests.processes import Processes, serve
from torch import nn

os.environ["WANDB_MODE"] = "offline"
os.environ["SAC_CACHE"] = ""  # Nothing is left in the home of whoever runs the tests.
torch.set_num_threads(1)  # Tiny tensors: threads cost more than they give, and workers run side by side.
settings.register_profile("patient", deadline=None)  # A busy machine is no defect.
settings.load_profile("patient")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests on real images where ``SAC_DATA`` names none, and those for whose tools are not installed.

    Those that take long come first: one that a worker began last would leave the other idle.
    """
    lacking = [
        marker
        for marker, is_there in (("real_data", os.environ.get("SAC_DATA")), ("browser", chromium_path()))
        if not is_there
    ]
    deselected = {
        item
        for item in items
        if any(item.get_closest_marker(marker) for marker in lacking)
        or any(find_spec(package) is None for marker in item.iter_markers("needs") for package in marker.args)
    }
    config.hook.pytest_deselected(items=list(deselected))
    selected = [item for item in items if item not in deselected]
    items[:] = sorted(selected, key=lambda item: item.get_closest_marker("slow") is None)


def chromium_path() -> str | None:
    """Where the system has Chromium, if it has."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    path = chromium_path()
    assert path is not None
    return path


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that ``SAC_DATA`` names."""
    return Path(os.environ["SAC_DATA"]).resolve()


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Commands in processes of their own that find everything imported."""
    modules = ("sac_lightning.training.evaluation", "sac_lightning.training.run", "sac_lightning.slides.run")
    with serve(tmp_path_factory.mktemp("said"), *modules) as started:
        yield started


@pytest.fixture(scope="session")
def light_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Commands in processes of their own that find imported what a command needs to read its arguments."""
    with serve(tmp_path_factory.mktemp("said"), "sac_lightning.core.command") as started:
        yield started


TINY_BACKBONE = [
    "backbone.dim=32",
    "backbone.depth=2",
    "backbone.heads=2",
    "backbone.global_blocks=[1]",
    "backbone.window=3",
    "backbone.native_size=64",
]
# A SAM of a few thousand parameters on scenes of 64 pixels.
TINY = [
    *TINY_BACKBONE,
    "backbone.weights=null",
    "view.image_size=64",
    "prompts.map_size=32",
    "prompts.generator.init_features=4",
    "prompts.generator.depth=2",
    "data.side=64",
    "data.train=4",
    "data.val=2",
    "data.test=2",
    "data.batch_size=2",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",
    "+trainer.enable_progress_bar=false",
]


@pytest.fixture(scope="session")
def tiny_backbone() -> list[str]:
    """Overrides for an image encoder of a few thousand parameters at 64 pixels."""
    return list(TINY_BACKBONE)


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        """What pickle is told to call."""
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="session")
def harm() -> Callable[[Path], object]:
    """What makes a folder when it is unpickled."""
    return Harm


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Overrides that make a training take seconds."""
    return list(TINY)


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    """Base weights for the tiny SAM, in segment-anything's format."""
    from sac_lightning.core.configuration import compose_config, resolve_config
    from sac_lightning.model.build import build_model

    torch.manual_seed(0)
    model = build_model(
        resolve_config(compose_config("train", [*TINY, "model=sam", "prompts=none", "output_dir=x"]))["model"]
    )
    path = tmp_path / "tiny_sam.pth"
    torch.save(model.state_dict(), path)
    return path


def _official_sam(
    dim: int = 32,
    depth: int = 2,
    heads: int = 2,
    global_blocks: tuple[int, ...] = (1,),
    patch: int = 16,
    size: int = 64,
    window: int = 3,
    seed: int = 0,
) -> Sam:
    """segment_anything's own Sam, tiny, with random numbers everywhere (its positions start at zero)."""
    torch.manual_seed(seed)
    sam = Sam(
        ImageEncoderViT(
            depth=depth,
            embed_dim=dim,
            img_size=size,
            mlp_ratio=4,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=heads,
            patch_size=patch,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=global_blocks,
            window_size=window,
            out_chans=256,
        ),
        PromptEncoder(256, (size // patch, size // patch), (size, size), mask_in_chans=16),
        MaskDecoder(
            transformer_dim=256,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        ),
    )
    for parameter in sam.parameters():
        nn.init.normal_(parameter, std=0.1)
    return sam.eval()


@pytest.fixture(scope="session")
def official_sam() -> Callable[..., Sam]:
    """Makes segment_anything's own Sam; by default of the sizes of TINY's backbone."""
    return _official_sam


def _fill(model: nn.Module, gain: float = 1.0) -> nn.Module:
    """Fills a model, parameters and buffers, each by a generator that its name seeds; gives it back in eval mode.

    Vectors are scales (0.5..1.5), where their name ends in ``weight`` or ``running_var``, or else small shifts;
    everything else is normal with the standard deviation gain * sqrt(2 / fan-in). Integers stay as they are.
    """
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            if tensor.ndim <= 1 and name.endswith(("weight", "running_var")):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.ndim <= 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
            else:
                fan_in = tensor[0].numel()
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * gain * (2 / fan_in) ** 0.5)
    return model.eval()


@pytest.fixture(scope="session")
def fill() -> Callable[..., nn.Module]:
    """See _fill."""
    return _fill
