"""The whole way on real images at real size, and a floor whose figures are known from elsewhere."""

from pathlib import Path

import pytest
import torch
from tests.commands import run

from sac_lightning.baselines.otsu import Otsu
from sac_lightning.core.view import View
from sac_lightning.data.canonical import canonical_files, canonical_names
from sac_lightning.data.experts import ExpertPoints
from sac_lightning.data.sample import FileSample, WholeImages
from sac_lightning.inference.windows import segment
from sac_lightning.training.metrics.scores import Scores

pytestmark = pytest.mark.real_data


def dice_of_otsu(folder: Path, names: list[str]) -> float:
    view = View(image_size=None)
    files = canonical_files(folder, names)
    samples = [FileSample(one.name, one.image, one.truth) for one in files]
    images = WholeImages(samples, view, ExpertPoints(), seed=0)
    scores = Scores(generator=False, instances=False, prompts=False)
    for index in range(len(images)):
        image = images[0, index]
        scores.update(segment(Otsu(), image.image, view), image)
    return float(scores.compute()["dice"])


def test_otsu_gives_the_floor_that_was_measured_independently(data_root: Path) -> None:
    dsb = sorted(canonical_names(data_root / "dsb2018"))
    assert dice_of_otsu(data_root / "dsb2018", dsb[::10]) == pytest.approx(0.871, abs=0.005)
    names = canonical_names(data_root / "monuseg")
    manifest = (data_root / "monuseg" / "manifest.csv").read_text().splitlines()[1:]
    test = [name for name, row in zip(names, manifest, strict=True) if row.split(",")[1] == "test"]
    assert len(test) == 14
    assert dice_of_otsu(data_root / "monuseg", test) == pytest.approx(0.22, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("data", ["monuseg", "glas"])
def test_sac_trains_and_tests_on_real_images(data: str, tiny: list[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    overrides = [override for override in tiny if not override.startswith("data.") or "batch_size" in override]
    overrides += [f"data={data}", "view.crop=512", "data.crops_per_image=1"]
    record = run(overrides, tmp_path, "trainer.max_epochs=1", "+trainer.limit_train_batches=2")
    assert record["test_images"] == {"monuseg": 14, "glas": 60}[data]
    assert 0 <= record["metrics"]["dice"] <= 1
    assert (tmp_path / "examples.png").stat().st_size > 100_000
