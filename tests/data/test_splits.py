"""The split files are the documented draws, and a split's hash depends only on its content."""

import hashlib

import pytest
from sklearn.model_selection import train_test_split

from sac_lightning.core.errors import UserError
from sac_lightning.data.split import load_split, split_hash

MONUSEG_VALIDATION = ("18-5592", "AY-A8YK", "E2-A14V", "E2-A1B5", "G9-6363", "HE-7129")
GLAS_VALIDATION = (7, 45, 54, 60, 62, 63, 66, 71, 76, 82)


def _names(dataset: str, split: str) -> list[str]:
    return [name for name, its_split in load_split(dataset).items() if its_split == split]


def test_dsb2018_is_the_draw_of_sklearn_with_state_42_test_first() -> None:
    names = sorted(load_split("dsb2018"))
    rest, test = train_test_split(names, test_size=67, random_state=42)
    train, validation = train_test_split(rest, test_size=67, random_state=42)
    assert (len(train), len(validation), len(test)) == (536, 67, 67)
    assert _names("dsb2018", "train") == sorted(train)
    assert _names("dsb2018", "val") == sorted(validation)
    assert _names("dsb2018", "test") == sorted(test)


def test_monuseg_validates_on_the_six_named_training_images() -> None:
    assert len(_names("monuseg", "train")) == 24
    assert len(_names("monuseg", "test")) == 14
    validation = _names("monuseg", "val")
    assert [name.removeprefix("TCGA-")[:7] for name in validation] == list(MONUSEG_VALIDATION)


def test_glas_has_ten_validation_images_and_two_test_parts() -> None:
    expected = {f"train_{number}": "train" for number in range(1, 86)}
    expected |= {f"train_{number}": "val" for number in GLAS_VALIDATION}
    expected |= {f"testA_{number}": "test_a" for number in range(1, 61)}
    expected |= {f"testB_{number}": "test_b" for number in range(1, 21)}
    assert load_split("glas") == expected


@pytest.mark.parametrize("dataset", ["dsb2018", "monuseg", "glas"])
def test_files_are_sorted_by_name(dataset: str) -> None:
    names = list(load_split(dataset))
    assert names == sorted(names)


@pytest.mark.parametrize("dataset", ["cifar", "../splits/glas", ""])
def test_unknown_dataset_names_the_known_ones(dataset: str) -> None:
    with pytest.raises(UserError, match=r"choose one of dsb2018, glas, monuseg\.$"):
        load_split(dataset)


def test_hash_is_of_the_sorted_lines() -> None:
    expected = hashlib.sha256(b"a,train\nb,test\n").hexdigest()
    assert split_hash({"a": "train", "b": "test"}) == expected
    assert split_hash({"b": "test", "a": "train"}) == expected, "the order must not count"
    assert split_hash({"a": "train", "b": "val"}) != expected


@pytest.mark.parametrize(
    ("dataset", "start"),
    [("dsb2018", "876fefe3a375"), ("monuseg", "fe7071689eb2"), ("glas", "aa0fcbc30a42")],
)
def test_the_splits_are_frozen(dataset: str, start: str) -> None:
    assert split_hash(load_split(dataset)).startswith(start), "a changed split makes old records incomparable"
