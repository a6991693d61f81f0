"""``python -m sac_lightning.doctor``: what of a training would fail later, said now."""

from sac_lightning.core.command import command

main = command("doctor", "sac_lightning.training.doctor:examine")

if __name__ == "__main__":
    main()
