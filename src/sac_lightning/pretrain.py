"""``python -m sac_lightning.pretrain``: a small SAM from scratch, on scenes that hold no nucleus."""

from omegaconf import DictConfig

from sac_lightning.core.command import command, require_paths


@command("pretrain", require_paths("resume"))
def main(cfg: DictConfig) -> None:
    """Train a network without labels."""
    from sac_lightning.pretraining.run import pretrain

    pretrain(cfg)


if __name__ == "__main__":
    main()
