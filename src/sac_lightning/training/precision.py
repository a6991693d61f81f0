"""Which precision ``trainer.precision=auto`` stands for: bfloat16 where the device multiplies it by itself."""

import torch

AUTO = "auto"
MIXED, FULL = "bf16-mixed", "32-true"
# What processors call it: x86's AVX-512 and AMX, ARM's extension.
PROCESSOR_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def resolve_precision(precision: str, accelerator: str) -> str:
    """Return a precision that Lightning knows.

    Args:
        precision: ``auto``, or one of Lightning's, which stays.
        accelerator: As in the trainer's configuration.
    """
    if precision != AUTO:
        return precision
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
    return MIXED if (_gpu_multiplies() if on_gpu else _processor_multiplies()) else FULL


def _gpu_multiplies() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _processor_multiplies() -> bool:
    """Whether products in bfloat16 are instructions; elsewhere they are emulated, slower than float32."""
    # Older versions of torch do not say.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(flag) for flag in PROCESSOR_FLAGS)
