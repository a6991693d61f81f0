"""Files that would run code, wherever a person may give one: they are refused, and what they carry does not run.

More: test_checkpoint_harm.py (settings), test_weights.py (weights and downloads), test_official.py (archives).
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import compose_config, resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.pretraining.run import pretrain
from sac_lightning.reporting.report import report
from sac_lightning.runs.identity import config_hash, identity_of
from sac_lightning.runs.record import find_record, record_header
from sac_lightning.slides.run import predict
from sac_lightning.training.evaluation import evaluate
from sac_lightning.training.run import train


def torch_file(path: Path, harm: object) -> None:
    torch.save({"state_dict": {}, "sac_lightning": {}, "callbacks": harm, "epoch": 0}, path)


def pickle_file(path: Path, harm: object) -> None:
    path.write_bytes(pickle.dumps({"model": harm}))


def config_of(name: str, *overrides: str) -> Any:
    return compose_config(name, list(overrides))


WAYS: dict[str, Callable[[list[str], Path, Path], object]] = {
    "train resume=": lambda tiny, file, folder: train(
        config_of("train", *tiny, f"output_dir={folder}", f"resume={file}")
    ),
    "train backbone.weights=": lambda tiny, file, folder: train(
        config_of("train", *tiny, f"output_dir={folder}", f"backbone.weights={file}")
    ),
    "evaluate checkpoint=": lambda tiny, file, folder: evaluate(
        config_of("evaluate", f"checkpoint={file}", f"output_dir={folder}")
    ),
    "predict checkpoint=": lambda tiny, file, folder: predict(
        config_of("predict", f"checkpoint={file}", f"images={folder}", f"output={folder}")
    ),
    "pretrain resume=": lambda tiny, file, folder: pretrain(
        config_of(
            "pretrain", *(o for o in tiny if o.startswith("backbone.") and "weights" not in o),
            "scenes.workers=0", f"output_dir={folder}", f"resume={file}",
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("save", [torch_file, pickle_file])
@pytest.mark.parametrize(
    ("way", "ending"),
    [(way, ".pth" if "weights" in way else ".ckpt") for way in WAYS] + [("train backbone.weights=", ".pt")],
)
def test_a_file_that_would_run_code_is_refused_and_it_does_not_run(
    way: str,
    ending: str,
    save: Callable[[Path, object], None],
    harm: Callable[[Path], object],
    tiny: list[str],
    tmp_path: Path,
) -> None:
    trace, file, folder = tmp_path / "trace", tmp_path / f"hostile{ending}", tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    save(file, harm(trace))
    with pytest.raises(UserError, match=r"would run code|without running code") as refused:
        WAYS[way](tiny, file, folder)
    assert str(file) in str(refused.value)
    assert not trace.exists()
    pickle.loads(pickle.dumps(harm(trace)))
    assert trace.exists(), "the trap of this test is no trap"


def test_a_last_checkpoint_that_somebody_has_put_in_place_of_a_runs_own(
    tiny: list[str], harm: Callable[[Path], object], tmp_path: Path
) -> None:
    cfg = compose_config("train", [*tiny, f"output_dir={tmp_path / 'run'}"])
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch_file(tmp_path / "run" / "checkpoints" / "last.ckpt", harm(tmp_path / "trace"))
    (tmp_path / "run" / "run.json").write_text(json.dumps(identity_of(resolve_config(cfg))))
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read as a checkpoint, or would run code"):
        train(cfg)
    assert not (tmp_path / "trace").exists()


def test_a_call_in_a_records_configuration_is_never_made(tmp_path: Path) -> None:
    config = resolve_config(
        compose_config("train", sweep_jobs("train", ["+experiment=table5_selection", "output_dir=x"])[0])
    )
    call = {"_target_": "os.mkdir", "_args_": [str(tmp_path / "trace")]}
    text = f"${{oc.create:{{_target_: os.mkdir, _args_: ['{tmp_path / 'trace'}']}}}}"
    spoilt = {**config, "logger": {"harm": call}, "output_dir": text, "features": call}
    figures = {"dice": 0.5, "iou": 0.4, "f1": 0.5}
    record = {
        **record_header(config), "row": config["row"], "experiment": None, "config": spoilt,
        "metrics": figures, "prompt_quality": {}, "images": [{"name": "a", **figures}], "history": [],
        "parameters": {"trainable": 1, "frozen": 2, "total": 3}, "config_hash": config_hash(config),
        "code_version": "c" * 64, "date": "2026-11-22T12:00:00+00:00", "device": "CPU", "threads": 1,
        "seconds_per_epoch": 2.0, "peak_memory_bytes": 2**30, "git_commit": None, "base_weights": None,
    }  # fmt: skip
    folder = tmp_path / "runs" / "synthetic" / "sac" / "a"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(record))
    found = find_record(folder)
    assert found is not None
    assert found["config"]["features"] == call
    report(compose_config("report", [f"output={tmp_path / 'pages'}", f"runs={tmp_path / 'runs'}", "table=5"]))
    assert "50.00" in (tmp_path / "pages" / "table5_selection" / "README.md").read_text(), "it has been read"
    assert not (tmp_path / "trace").exists()
