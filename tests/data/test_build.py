"""The data module built from the settings of a run or of an old checkpoint."""

import pytest
from tests.commands import settings_of

from sac_lightning.core.errors import UserError
from sac_lightning.data.build import make_data
from sac_lightning.data.experts import ExpertPoints


def test_the_data_module_draws_the_expert_points_of_the_prompts() -> None:
    asked = ("prompts.experts=3", "prompts.expert_negatives=2", "prompts.expert_placement=random")
    data = make_data(settings_of(*asked, "seed=5"))
    assert data.expert_points == ExpertPoints(3, 2, "random")
    assert data.seed == 5


def test_an_old_checkpoint_knows_positive_points_at_centres_only() -> None:
    old = settings_of("prompts.experts=3")
    del old["model"]["prompts"]["expert_negatives"]
    del old["model"]["prompts"]["expert_placement"]
    assert make_data(old).expert_points == ExpertPoints(3, 0, "centre")


def test_augmentation_is_a_setting_which_old_checkpoints_lack() -> None:
    assert make_data(settings_of()).augment is True
    assert make_data(settings_of("data.augment=false")).augment is False
    for dataset in ("dsb2018", "monuseg", "glas"):
        assert make_data(settings_of(f"data={dataset}", "data.augment=false")).augment is False
    assert make_data(settings_of("data.augment=strong")).augment == "strong"
    old = settings_of()
    del old["data"]["augment"]
    assert make_data(old).augment is True


def test_an_unknown_strength_of_augmentation_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.augment is wild: choose true, false or strong"):
        make_data(settings_of("data.augment=wild"))


def test_a_plain_network_gets_no_expert_points() -> None:
    plain_network = settings_of("model=otsu")
    assert "prompts" not in plain_network["model"]
    assert make_data(plain_network).expert_points == ExpertPoints()


@pytest.mark.parametrize("wrong", ["experts=-1", "expert_negatives=-1", "expert_placement=center"])
def test_wrong_expert_points_are_refused_before_anything_is_built(wrong: str) -> None:
    with pytest.raises(UserError, match=rf"^prompts\.{wrong.replace('=', ' is ')}: choose"):
        make_data(settings_of(f"prompts.{wrong}"))
