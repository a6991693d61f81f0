"""SAM's modules are segment-anything's own, whichever of the two is imported first."""

import subprocess
import sys

import pytest

OURS = "from sac_lightning.model.sam_modules import LayerNorm2d, MaskDecoder, PromptEncoder"
THEIRS = "from segment_anything import sam_model_registry, build_sam"


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours first", "theirs first"])
def test_the_classes_are_the_same(order: tuple[str, str]) -> None:
    lines = [
        *order,
        "import segment_anything.modeling",
        "sam = sam_model_registry['vit_b']()",
        "assert type(sam.mask_decoder) is MaskDecoder",
        "assert type(sam.prompt_encoder) is PromptEncoder",
        "assert type(sam.image_encoder.neck[1]) is LayerNorm2d",
        "assert PromptEncoder.__module__ == 'segment_anything.modeling.prompt_encoder'",
    ]
    answer = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
