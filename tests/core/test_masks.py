"""The options that say what masks mean, checked before any work."""

from typing import Any

import pytest

from sac_lightning.core.arguments import refuse_arguments
from sac_lightning.core.configuration import compose_config
from sac_lightning.core.errors import UserError
from sac_lightning.core.masks import MaskMeaning, read_mask_options


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ({}, MaskMeaning()),
        ({"mask_values": 255}, MaskMeaning(values=(255,))),
        ({"mask_values": [1, 2.5]}, MaskMeaning(values=(1, 2.5))),
        ({"mask_values": 0, "inverted": False}, MaskMeaning(values=(0,), inverted=False)),
        ({"threshold": 128, "inverted": True}, MaskMeaning(threshold=128, inverted=True)),
    ],
)
def test_options_say_what_masks_mean(options: dict[str, Any], meaning: MaskMeaning) -> None:
    assert read_mask_options(**options) == meaning


@pytest.mark.parametrize(
    "options",
    [
        {"mask_values": []},
        {"mask_values": "white"},
        {"mask_values": [1, "two"]},
        {"mask_values": True},
        {"mask_values": [float("nan")]},
        {"threshold": "half"},
        {"threshold": True},
        {"threshold": float("inf")},
        {"inverted": 1},
        {"inverted": "yes"},
        {"mask_values": 2, "threshold": 1},
        {"mask_values": 2, "inverted": True},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_a_sentence(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"data\.{next(iter(options))} .+: (give|choose|leave)"):
        read_mask_options(**options)


@pytest.mark.parametrize("option", ["mask_values=[]", "threshold=half", "inverted=2"])
def test_a_training_refuses_them_first(option: str) -> None:
    config = compose_config("train", ["data=folder", f"data.{option}", "output_dir=x"])
    with pytest.raises(UserError, match="data." + option.split("=")[0]):
        refuse_arguments(config)
