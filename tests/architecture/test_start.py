"""What a user waits for before the first pixel: predict imports no library that takes seconds and does nothing."""

import subprocess
import sys

SLOW = (
    "albumentations",
    "gradio",
    "lightning",
    "matplotlib",
    "onnxruntime",
    "pandas",
    "scipy.stats",
    "sympy",
    "torch._dynamo",
    "torchmetrics",
    "torchvision",
    "wandb",
)


def test_predict_does_not_import_what_is_slow_and_not_needed() -> None:
    code = f"import sys, sac_lightning.slides.run; print(*(name for name in {SLOW} if name in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
