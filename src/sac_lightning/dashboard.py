"""``python -m sac_lightning.dashboard``: the Weights & Biases workspace of an experiment, as code."""

from sac_lightning.core.command import command

main = command("dashboard", "sac_lightning.runs.dashboard:dashboard")

if __name__ == "__main__":
    main()
