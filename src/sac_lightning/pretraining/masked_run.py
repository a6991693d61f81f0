"""A pre-training on masked images from end to end: the weights of a U-Net, and their record."""

from pathlib import Path

from hydra.utils import instantiate
from lightning import seed_everything
from omegaconf import DictConfig
from rich.console import Console

from sac_lightning.baselines.diffusion_unet import LOWEST_STRIDE, DiffusionUNet
from sac_lightning.core.configuration import resolve_config
from sac_lightning.core.errors import UserError
from sac_lightning.data.build import make_data
from sac_lightning.model.build import build_model
from sac_lightning.model.counting import parameter_counts
from sac_lightning.model.registered import sha256_of
from sac_lightning.model.weights import write_weights
from sac_lightning.pretraining.fitting import fit
from sac_lightning.pretraining.masked import MaskedPretraining
from sac_lightning.pretraining.pictures import write_training_curve
from sac_lightning.runs.environment import environment
from sac_lightning.runs.identity import identity_of
from sac_lightning.runs.record import RECORD_FILE, PretrainingRecord, record_provenance, write_record
from sac_lightning.training.history import History


def pretrain_masked(cfg: DictConfig) -> None:
    """Train on the training images of a data set, write the weights, and record what they are.

    The official code pre-trains on the test images too. Ours sees neither those nor the validation images.

    Raises:
        UserError: The windows do not suit the network, or NucleiDataModule cannot read the data.
    """
    config, output_dir = resolve_config(cfg), Path(cfg.output_dir)
    identity = identity_of(config, __name__)
    side = cfg.view.image_size or cfg.view.crop
    if side is None or side % LOWEST_STRIDE:
        found = "have no fixed size" if side is None else f"are {side} pixels wide"
        raise UserError(f"the windows {found}: set view.image_size to a multiple of {LOWEST_STRIDE}")
    data = make_data({**config, "model": {}})  # Without expert points.
    data.read("train")
    seed_everything(cfg.seed, workers=True, verbose=False)
    unet = build_model(config["model"])
    assert isinstance(unet, DiffusionUNet)
    history = History()
    task = MaskedPretraining(unet, instantiate(cfg.optimizer))
    trainer, resumed = fit(cfg, config, task, data.train_dataloader(), history)
    if not trainer.is_global_zero:
        return

    name = config["model"]["name"]
    written = {"weights": output_dir / f"{name}.safetensors", "record": output_dir / RECORD_FILE}
    write_weights(written["weights"], unet.state_dict())
    record = {
        "weights": {
            "name": name,
            "bytes": written["weights"].stat().st_size,
            "sha256": sha256_of(written["weights"]),
        },
        "dataset": config["data"]["name"],
        "split_hash": data.split_hash,
        "images": len(data.samples.train),
        "parameters": parameter_counts(unet),
        "epochs": len(history.rows),
        "steps": trainer.global_step,
        "history": history.rows,
        **resumed,
        **environment(trainer.strategy.root_device),
        **record_provenance(config, identity),
    }
    write_record(written["record"], record, PretrainingRecord)
    if history.rows:
        written["curve"] = output_dir / "curve.png"
        write_training_curve(written["curve"], history.rows)
    console = Console()
    for what, path in written.items():
        console.print(f"{what:10} {path}", soft_wrap=True)
