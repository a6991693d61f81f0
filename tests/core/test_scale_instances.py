"""scale=instances: the recipe for nuclei that touch, in one word, for every data set and every method."""

import pytest
from hydra.utils import instantiate

from sac_lightning.core.configuration import compose_config, resolve_config

DATA = ("monuseg", "dsb2018", "glas", "nuclei", "folder", "synthetic")
# Of other people's microscopes nuclei may be of any size, and small.
ZOOM = {"nuclei": [0.5, 2.0]}
FINE = {"dsb2018": 8, "nuclei": 8}


def config(*overrides: str) -> dict[str, object]:
    return resolve_config(compose_config("train", ["scale=instances", "output_dir=x", *overrides]))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("prompts", ["auto", "separating"])
def test_it_composes_for_every_data_set(data: str, prompts: str) -> None:
    composed = config(f"data={data}", f"prompts={prompts}")
    assert composed["data"]["augment"] == "strong"  # type: ignore[index]
    assert composed["data"]["zoom"] == ZOOM.get(data, [0.8, 1.25])  # type: ignore[index]
    assert composed["optimizer"]["_target_"] == "torch.optim.AdamW"  # type: ignore[index]
    made = instantiate(composed["prompts"], _convert_="all")
    assert made.generator.alone == 0.9
    assert made.generator.fine == (FINE.get(data, 0) if prompts == "separating" else 0)
    assert made.refine == (prompts == "separating")


@pytest.mark.parametrize("model", ["sam_ft", "msa", "lora", "u_net", "mdm"])
@pytest.mark.parametrize("recipe", ["own", "shared"])
def test_every_method_has_its_windows_and_its_augmentation(model: str, recipe: str) -> None:
    composed = config(f"model={model}", f"recipe={recipe}", "data=monuseg")
    assert composed["data"]["augment"] == "strong"  # type: ignore[index]
    assert composed["view"]["crop"] == 256  # type: ignore[index]


def test_other_scales_have_no_path_at_full_resolution() -> None:
    composed = resolve_config(compose_config("train", ["data=dsb2018", "prompts=separating", "output_dir=x"]))
    assert composed["prompts"]["generator"]["fine"] == 0
