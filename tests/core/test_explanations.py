"""Which errors are a sentence for a user, and which keep their traceback."""

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Trainer

from sac_lightning.core.explanations import explain_error


def error_of(config: dict[str, object]) -> BaseException:
    """The error of making something."""
    with pytest.raises(InstantiationException) as caught:
        instantiate({"trainer": config})
    return caught.value


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"_target_": "lightning.Trainer", "nonsense": 1},
            "trainer cannot be made: Trainer.__init__() got an unex",
        ),
        (
            {"_target_": "lightning.Trainer", "accelerator": "x"},
            "trainer cannot be made: You selected an invalid acc",
        ),
        ({"_target_": "no_such_package.Net"}, "trainer cannot be made: Error loading 'no_such_package.Net'"),
        ({"_target_": "sac_lightning.core.view.View", "image_size": -1}, "view.image_size is -1: choose"),
    ],
)
def test_arguments_that_a_constructor_refuses_are_a_sentence(config: dict[str, object], sentence: str) -> None:
    explained = explain_error(error_of(config))
    assert explained is not None
    assert explained.startswith(sentence)
    assert "\n" not in explained


class Broken:
    """A class with a defect."""

    def __init__(self) -> None:
        raise AttributeError("a defect")


def test_a_defect_in_ones_own_constructor_keeps_its_traceback() -> None:
    assert explain_error(error_of({"_target_": f"{__name__}.Broken"})) is None


def test_what_lightning_refuses_is_a_sentence_and_our_own_value_errors_are_not() -> None:
    with pytest.raises(Exception, match="limit_train_batches") as caught:
        Trainer(limit_train_batches=1.5, logger=False)
    assert str(explain_error(caught.value)).startswith("the trainer refused its settings: ")
    assert explain_error(ValueError("of ours")) is None
