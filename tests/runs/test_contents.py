"""What a run reads is part of what it is: other bytes under the same name are another run."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.data.build import make_data
from sac_lightning.data.image_file import write_image
from sac_lightning.data.split import PARTS
from sac_lightning.runs.contents import CHANGED, UNREADABLE, mark_changed_data, read_contents
from sac_lightning.runs.identity import config_hash, identity_of, is_same_run

OWN_DATA = """
from pathlib import Path
import numpy as np
from sac_lightning.data.base import NucleiDataModule, Splits
from sac_lightning.images.open_image import read_image

class Tile:
    def __init__(self, path):
        self.name, self.path = path.stem, path

    def load(self):
        image = read_image(self.path)
        return image, (image[..., 0] > 0).astype(np.int32)

class Tiles(NucleiDataModule):
    def __init__(self, root, **given):
        super().__init__(batch_size=given["batch_size"])
        self.root = Path(root)

    def splits(self):
        tiles = [Tile(path) for path in sorted(self.root.rglob("images/*.png"))]
        return Splits(train=tiles[2:], val=tiles[1:2], test=tiles[:1])

class Told(Tiles):
    def files(self):
        return {"test": [self.samples.test[0].path]}

class Several(NucleiDataModule):
    def __init__(self, root, roots=(), sources=None, files="", cohort=None, **given):
        super().__init__(batch_size=given["batch_size"])

    def splits(self):
        return Splits(train=[], val=[], test=[])

class ToldNothing(Several):
    def files(self):
        return {}
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images and masks in ``A``, and a module of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("SAC_DATA", raising=False)
    (tmp_path / "own_data.py").write_text(OWN_DATA)
    for folder in ("images", "masks"):
        (tmp_path / "A" / folder).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((8, 8), np.uint8)
        mask[1:3, 1 : number + 2] = 255
        write_image(tmp_path / "A" / "masks" / f"{number}.png", mask)
        write_image(tmp_path / "A" / "images" / f"{number}.png", np.full((8, 8, 3), number * 10, np.uint8))
    parts = {"0": "train", "1": "train", "2": "train", "3": "val", "4": "test"}
    lines = [f"{name},{part}\n" for name, part in parts.items()]
    (tmp_path / "s.csv").write_text("".join(["name,split\n", *lines]))
    return tmp_path


def config_of(*overrides: str) -> dict[str, Any]:
    return resolve_config(compose_config("train", [*overrides, "output_dir=x"]))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return is_same_run(identity_of(one), identity_of(other))


FOLDER = ("data=folder", "data.root=A", "model=u_net")


def test_scenes_and_shipped_weights_are_told_by_configuration_and_code() -> None:
    assert read_contents(config_of()) == {"data": {}, "files": {}}
    assert read_contents(config_of(*FOLDER, "count_only=true")) == {"data": {}, "files": {}}


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_other_images_or_masks_are_another_run(folder: str, place: Path) -> None:
    before = identity_of(config_of(*FOLDER))
    assert is_same_run(before, identity_of(config_of(*FOLDER)))
    write_image(place / "A" / folder / "3.png", np.full((8, 8), 200, np.uint8))
    after = identity_of(config_of(*FOLDER))
    assert before["config_hash"] == after["config_hash"]
    assert not is_same_run(before, after)


def test_a_copy_of_the_same_bytes_is_the_same_run(place: Path) -> None:
    shutil.copytree(place / "A", place / "elsewhere" / "B")
    assert same(config_of(*FOLDER), config_of(*FOLDER, "data.root=elsewhere/B"))
    (place / "link").symlink_to("elsewhere/B")
    assert same(config_of(*FOLDER), config_of(*FOLDER, "data.root=link"))


def test_another_name_or_truth_is_another_run(place: Path) -> None:
    before = identity_of(config_of(*FOLDER))
    (place / "A" / "masks").rename(place / "A" / "instances")
    assert not is_same_run(before, identity_of(config_of(*FOLDER)))
    (place / "A" / "instances").rename(place / "A" / "masks")
    assert is_same_run(before, identity_of(config_of(*FOLDER)))
    for folder in ("images", "masks"):
        (place / "A" / folder / "5.png").rename(place / "A" / folder / "6.png")
    assert not is_same_run(before, identity_of(config_of(*FOLDER)))


def test_what_the_split_leaves_out_does_not_count(place: Path) -> None:
    split = (*FOLDER, "data.split=s.csv")
    before = identity_of(config_of(*split))
    write_image(place / "A" / "images" / "5.png", np.full((8, 8), 200, np.uint8))
    (place / "A" / "notes.txt").write_text("mine")
    assert is_same_run(before, identity_of(config_of(*split)))
    (place / "s.csv").write_text((place / "s.csv").read_text().replace("4,test", "5,test"))
    assert not is_same_run(before, identity_of(config_of(*split)))


@pytest.mark.parametrize("key", ["backbone.weights", "model.weights", "resume"])
def test_a_file_counts_by_its_bytes_and_not_by_its_path(key: str, place: Path) -> None:
    model = "model=mdm" if key == "model.weights" else "model=sam_ft"
    (place / "w.pth").write_bytes(b"weights")
    before = identity_of(config_of(model, f"{key}=w.pth"))
    shutil.copyfile(place / "w.pth", place / "copy.pth")
    assert is_same_run(before, identity_of(config_of(model, f"{key}={place / 'copy.pth'}")))
    assert not is_same_run(before, identity_of(config_of(model)))
    (place / "w.pth").write_bytes(b"others")
    assert not is_same_run(before, identity_of(config_of(model, f"{key}=w.pth")))


def test_any_file_and_folder_that_the_configuration_names_counts(place: Path) -> None:
    (place / "prior").mkdir()
    (place / "prior" / "a.bin").write_bytes(b"a")
    (place / "sac").mkdir()
    own = ("+loss.table=t.csv", "+model.priors=[./prior]")
    (place / "t.csv").write_text("1")
    before = read_contents(config_of(*own))["files"]
    assert set(before) == {"loss.table", "model.priors.0"}, "the folder sac has only the name of the model"
    (place / "prior" / "a.bin").write_bytes(b"b")
    after = read_contents(config_of(*own))["files"]
    assert {key for key in before if before[key] != after[key]} == {"model.priors.0"}


@pytest.mark.parametrize("named", [
    "+callbacks.own={_target_:own_code.Weighting,table:w/a.bin}",
    "+trainer.profiler={_target_:own_code.Profiler,folder:w}",
    "+model.files=w/*.bin",
    "+model.part={_target_:own_code.Part,prior:w}",
])  # fmt: skip
def test_what_callbacks_patterns_and_own_code_name_counts(named: str, place: Path) -> None:
    (place / "w").mkdir()
    (place / "w" / "a.bin").write_bytes(b"a")
    before = identity_of(config_of(named))
    assert is_same_run(before, identity_of(config_of(named)))
    (place / "w" / "a.bin").write_bytes(b"b")
    assert not is_same_run(before, identity_of(config_of(named)))


def test_what_a_run_writes_does_not_count(place: Path) -> None:
    (place / "x" / "checkpoints").mkdir(parents=True)
    (place / "w").mkdir()
    own = "+callbacks.own={_target_:own_code.Saved,save_dir:./w,csv:x/checkpoints,filename:own_data.py}"
    config = config_of(own, "+trainer.default_root_dir=./w") | {"output_dir": str(place / "x")}
    assert read_contents(config)["files"] == {}


def test_the_hash_of_the_configuration_stays_as_it_was(place: Path) -> None:
    named = config_of("backbone.weights=w.pth")
    before = config_hash(named)
    (place / "w.pth").write_bytes(b"weights")
    assert config_hash(named) == before


@pytest.mark.parametrize("root", ["A", "nowhere"])
def test_what_cannot_be_read_is_never_the_same(root: str, place: Path) -> None:
    (place / "A" / "masks" / "1.png").unlink()
    broken = config_of(*FOLDER, f"data.root={root}")
    assert set(read_contents(broken)["data"].values()) == {UNREADABLE}
    assert not same(broken, broken)


def test_images_that_change_while_a_run_reads_them_are_noted(place: Path) -> None:
    config = config_of(*FOLDER)
    before = read_contents(config)
    assert mark_changed_data(before, config) == before
    (test,) = make_data(config).samples.test
    write_image(place / "A" / "images" / f"{test.name}.png", np.full((8, 8), 200, np.uint8))
    assert mark_changed_data(before, config) == {"data": before["data"] | {"test": CHANGED}, "files": {}}


def test_only_the_parts_that_are_read_count() -> None:
    assert set(read_contents(config_of(*FOLDER), ["test"])["data"]) == {"test"}


# Data modules of one's own


def own(name: str) -> tuple[str, ...]:
    return (*FOLDER, f"data._target_=own_data.{name}")


def test_all_below_the_root_counts_for_a_data_module_that_does_not_tell(place: Path) -> None:
    before = identity_of(config_of(*own("Tiles")))
    assert is_same_run(before, identity_of(config_of(*own("Tiles"))))
    (place / "A" / "more").mkdir()
    assert is_same_run(before, identity_of(config_of(*own("Tiles"))))
    (place / "A" / "more" / "truth.bin").write_bytes(b"a")
    (place / "A" / "circle").symlink_to(".")
    changed = identity_of(config_of(*own("Tiles")))
    assert not is_same_run(before, changed)
    shutil.copytree(place / "A", place / "B", symlinks=True)
    assert same(config_of(*own("Tiles")), config_of(*own("Tiles"), "data.root=B"))


def test_runs_below_the_root_do_not_count(place: Path) -> None:
    everything = (*own("Tiles"), "data.root=.")
    before = identity_of(config_of(*everything))
    (place / "outputs" / "runs").mkdir(parents=True)
    (place / "outputs" / "runs" / "results.json").write_text("{}")
    assert is_same_run(before, identity_of(config_of(*everything)))


def test_a_data_module_may_tell_what_it_reads(place: Path) -> None:
    before = identity_of(config_of(*own("Told")))
    write_image(place / "A" / "images" / "5.png", np.full((8, 8), 200, np.uint8))
    assert is_same_run(before, identity_of(config_of(*own("Told"))))
    write_image(place / "A" / "images" / "0.png", np.full((8, 8), 200, np.uint8))
    assert not is_same_run(before, identity_of(config_of(*own("Told"))))


@pytest.mark.parametrize("named", [
    "+data.roots=[A]",
    "+data.sources={a:{b:A}}",
    "+data.files=A/*/*.png",
    "+data.files=A/**",
])  # fmt: skip
def test_folders_and_patterns_at_any_depth_count(named: str, place: Path) -> None:
    several = (*own("Several"), "data.root=null", named)
    before = identity_of(config_of(*several))
    assert is_same_run(before, identity_of(config_of(*several)))
    write_image(place / "A" / "images" / "3.png", np.full((8, 8), 200, np.uint8))
    assert not is_same_run(before, identity_of(config_of(*several)))


def test_a_data_module_that_names_nothing_there_is_never_the_same() -> None:
    nothing = ("data.root=null", "+data.cohort=paris")
    assert set(read_contents(config_of(*own("Several"), *nothing))["data"].values()) == {UNREADABLE}
    assert same(config_of(*own("ToldNothing"), *nothing), config_of(*own("ToldNothing"), *nothing))


def test_code_that_imports_what_is_nowhere_is_never_the_same(place: Path) -> None:
    (place / "own_net.py").write_text("import found_later_by_changing_the_path\n")
    net = config_of("+model.part={_target_:own_net.Net}")
    assert not same(net, net)


# The list of files and the data modules read the same


@pytest.mark.parametrize("overrides", [FOLDER, (*FOLDER, "data.split=s.csv")], ids=["ratio", "csv"])
def test_the_list_of_files_is_what_the_data_module_reads(
    overrides: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sac_lightning.data.listing import list_files

    config = config_of(*overrides)
    listed = list_files(config["data"])
    assert listed is not None
    files = make_data(config).files()
    assert {part: [path for s in listed[part] for path in (s.image, s.truth)] for part in PARTS} == files
