"""The precision that ``auto`` stands for, bfloat16 where the hardware is faster at it; and to compute in it."""

import torch

from sac_lightning.core.precision import AUTO, FULL, MIXED

# What processors call it: x86's AMX, ARM's extension.
PROCESSOR_FLAGS = ("amx_bf16", "bf16")
# AVX-512's own instruction is AMD's as well as Intel's, but faster than float32 on AMD alone: steps of the UNet
# and of the tiny ViT take 0.7 of the time there, on Intel's without AMX 1.4 to 1.7 times as long (torch 2.14, one
# core).
AVX512_FLAG, AVX512_MAKER = "avx512_bf16", "AMD"


def resolve_precision(precision: str, accelerator: str) -> str:
    """Return the precision to give to Lightning.

    Args:
        precision: ``auto``, or one of Lightning's, which is returned as it is.
        accelerator: ``cpu``, ``gpu``, ``cuda`` or ``auto``, as Lightning's trainer takes it.
    """
    if precision != AUTO:
        return precision
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    return MIXED if (_gpu_multiplies() if on_gpu else _processor_multiplies()) else FULL


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which networks compute in a precision, as Lightning has them do it.

    Args:
        precision: MIXED or FULL.
        device: Of the network.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == MIXED)


def _gpu_multiplies() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _processor_multiplies() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32."""
    # Older versions of torch do not say.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities.get(AVX512_FLAG) and str(capabilities.get("cpu_name", "")).startswith(AVX512_MAKER):
        return True
    return any(capabilities.get(flag) for flag in PROCESSOR_FLAGS)
