"""Pre-trained weights that cannot be downloaded raise one kind of error, whatever the library raises."""

from pathlib import Path
from typing import NoReturn

import pytest

from sac_lightning.baselines.pretrained_state import download_state


def test_without_a_network_there_is_an_os_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match=r"timm/pvt_v2_b0.in1k cannot be downloaded"):
        download_state("timm/pvt_v2_b0.in1k")


def test_an_error_of_the_library_becomes_an_os_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("no route")

    monkeypatch.setattr("timm.models._hub.hf_hub_download", unreachable)
    with pytest.raises(OSError, match="no route"):
        download_state("somebody/something@0123")
