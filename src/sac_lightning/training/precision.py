"""The precision that ``trainer.precision=auto`` stands for: bfloat16 where the hardware is faster at it."""

import torch

AUTO = "auto"
MIXED, FULL = "bf16-mixed", "32-true"
# What processors call it: x86's AMX, ARM's extension. Not AVX-512's avx512_bf16, which on Intel multiplies no
# faster than float32 does: without AMX, steps of the UNet and of the tiny ViT take 1.4 to 1.7 times as long in
# bfloat16 (torch 2.14, one core).
PROCESSOR_FLAGS = ("amx_bf16", "bf16")


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


def _gpu_multiplies() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _processor_multiplies() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32."""
    # Older versions of torch do not say.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(flag) for flag in PROCESSOR_FLAGS)
