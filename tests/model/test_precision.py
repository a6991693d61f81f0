"""What ``trainer.precision=auto`` comes to on which device."""

import pytest
import torch

from sac_lightning.model.precision import resolve_precision


def has(monkeypatch: pytest.MonkeyPatch, *flags: str, name: str = "Intel(R) Xeon(R)") -> None:
    said = {**dict.fromkeys(flags, True), "cpu_name": name}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: said, raising=False)


@pytest.mark.parametrize("flag", ["amx_bf16", "bf16"])
def test_a_processor_that_is_faster_in_bfloat16_uses_it(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "avx2", flag)
    assert resolve_precision("auto", "cpu") == "bf16-mixed"


@pytest.mark.parametrize("flag", ["avx512_f", "avx512_bf16"])
def test_a_processor_that_would_be_slower_does_not(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "avx2", flag)
    assert resolve_precision("auto", "cpu") == "32-true"


@pytest.mark.parametrize(("flags", "expected"), [(("avx512_bf16",), "bf16-mixed"), (("avx512_f",), "32-true")])
def test_avx512_multiplies_bfloat16_faster_on_amd(
    flags: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, *flags, name="AMD EPYC")
    assert resolve_precision("auto", "cpu") == expected


def test_an_older_torch_that_does_not_say_stays_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", "cpu") == "32-true"


@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_gpu_is_asked_itself(
    accelerator: str, supported: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, "avx512_bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert resolve_precision("auto", accelerator) == expected


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_what_is_asked_for_stays(precision: str) -> None:
    assert resolve_precision(precision, "cpu") == precision
