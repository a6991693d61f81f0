"""``python -m sac_lightning.evaluate checkpoint=F``: test a checkpoint under any prompt setting."""

from sac_lightning.command import command, existing

main = command("evaluate", "sac_lightning.evaluation:evaluate", existing("checkpoint"))

if __name__ == "__main__":
    main()
