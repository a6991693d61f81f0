"""Names of images under which predictions are written."""

import pytest

from sac_lightning.core.errors import UserError
from sac_lightning.data.sample_names import LONGEST, refuse_names


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "b", "a"], "2 images have the name a: give each a name of its own"),
        (["x" * (LONGEST + 1)], "has a name of 251 bytes: shorten it to 250"),
        (["ü" * 126], "has a name of 252 bytes"),
        (["a/b"], "the name 'a/b' of an image cannot be that of a file"),
        ([".."], "cannot be that of a file"),
        ([""], "cannot be that of a file"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(names: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        refuse_names(names)


def test_other_names_are_taken() -> None:
    refuse_names(["a", "ü b", "x" * LONGEST, "1.2"])
