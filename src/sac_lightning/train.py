"""``python -m sac_lightning.train``: fit, test the best checkpoint, write ``results.json``."""

from sac_lightning.command import command, existing

main = command("train", "sac_lightning.training:train", existing("resume"), job="sac_lightning.sweep:run_job")

if __name__ == "__main__":
    main()
