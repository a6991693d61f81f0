"""``python -m sac_lightning.pretrain``: a small SAM from scratch, on scenes that hold no nucleus."""

from sac_lightning.core.command import command, require_paths

main = command("pretrain", "sac_lightning.pretraining.run:pretrain", require_paths("resume"))

if __name__ == "__main__":
    main()
