"""The rows of tables: options of one group, out of one file."""

import subprocess
import sys

import cloudpickle
from hydra.core.singleton import Singleton
from omegaconf import OmegaConf

from sac_lightning.core.command_line import sweep_jobs
from sac_lightning.core.configuration import compose_config, config_dir, resolve_config
from sac_lightning.core.rows import ROWS, row_config
from sac_lightning.reporting.experiment import EXPERIMENTS

NAMES = tuple(map(str, OmegaConf.load(config_dir() / ROWS)))


def test_a_row_is_what_one_would_type_for_it() -> None:
    row = resolve_config(compose_config("train", ["row=lora_0p1e", "output_dir=x"]))
    typed = ["model=lora", "prompts.points=0", "prompts.experts=1", "output_dir=x"]
    assert row == resolve_config(compose_config("train", typed)) | {"row": "LoRA 0-point 1-expert"}
    loss = resolve_config(compose_config("train", ["row=dice_ce", "output_dir=x"]))
    assert loss["loss"] == resolve_config(compose_config("train", ["loss=dice_ce", "output_dir=x"]))["loss"]


def test_the_command_line_wins_over_a_row() -> None:
    cfg = compose_config("train", ["row=sam_ft_1p3e", "prompts.points=3", "data=glas"])
    assert (cfg.model.name, cfg.prompts.points, cfg.prompts.experts, cfg.data.name) == ("sam_ft", 3, 3, "glas")
    assert compose_config("train", ["row=sam_ft_1p3e", "model=msa"]).model.name == "msa"


def test_some_rows_of_an_experiment_are_jobs_in_the_order_in_which_they_are_typed() -> None:
    jobs = sweep_jobs("train", ["+experiment=table3_prompts", "row=msa_1p0e,lora_1p0e", "seed=0,1"])
    assert [job[0] for job in jobs] == ["row=msa_1p0e", "row=msa_1p0e", "row=lora_1p0e", "row=lora_1p0e"]


def test_every_row_stands_in_a_table() -> None:
    # Where tests/reporting/test_experiments.py composes it.
    files = [OmegaConf.load(config_dir() / "experiment" / f"{name}.yaml") for name in EXPERIMENTS]
    swept = [OmegaConf.select(file, "hydra.sweeper.params.row") or "" for file in files]
    assert {name.strip() for names in swept for name in names.split(",")} - {""} == set(NAMES)


def test_doctor_takes_a_row() -> None:
    assert compose_config("doctor", ["+experiment=table3_prompts", "row=sac"]).row == "SAC"


def test_a_row_chooses_options_by_words_and_sets_values_by_mappings() -> None:
    assert row_config({"label": "A", "model": "sam", "loss": "dice_ce", "prompts": {"points": 1}}) == {
        "defaults": [{"override /model": "sam"}, {"override /loss": "dice_ce"}],
        "row": "A",
        "prompts": {"points": 1},
    }


def test_a_row_sets_an_option_of_what_it_has_chosen_by_a_dotted_name() -> None:
    settings = {"label": "A", "model": "u_net", "model.heads": "separating", "instances": "watershed"}
    assert row_config(settings) == {
        "defaults": [{"override /model": "u_net"}],
        "row": "A",
        "instances": "watershed",
        "model": {"heads": "separating"},
    }
    config = compose_config("train", ["row=u_net_heads", "output_dir=x"])
    assert (config.model.name, config.model.heads, config.instances) == ("u_net", "separating", "watershed")


def test_a_worker_of_a_launcher_knows_the_rows() -> None:
    """Launchers hand Hydra's state to their workers, where none of our code has run before."""
    compose_config("train", ["row=sac"])
    code = (
        "import sys, cloudpickle; from hydra.core.singleton import Singleton;"
        "Singleton.set_state(cloudpickle.load(sys.stdin.buffer));"
        "from hydra.core.config_store import ConfigStore; print(*ConfigStore.instance().list('row'))"
    )
    state = cloudpickle.dumps(Singleton.get_state())
    worker = subprocess.run([sys.executable, "-c", code], input=state, capture_output=True, check=False)
    assert worker.returncode == 0, worker.stderr.decode()
    assert {f"{name}.yaml" for name in NAMES} == set(worker.stdout.decode().split())
