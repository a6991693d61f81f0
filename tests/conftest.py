"""What the tests share: real images where there are some, one thread, no network."""

import os
from pathlib import Path

import pytest
import torch

os.environ["WANDB_MODE"] = "offline"
torch.set_num_threads(1)  # Tiny tensors: threads cost more than they give, and workers run side by side.


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests on real images where ``SAC_DATA`` names none."""
    if os.environ.get("SAC_DATA"):
        return
    real = [item for item in items if item.get_closest_marker("real_data")]
    config.hook.pytest_deselected(items=real)
    items[:] = [item for item in items if item not in real]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that ``SAC_DATA`` names."""
    return Path(os.environ["SAC_DATA"]).resolve()
