"""``python -m sac_lightning.prepare``: an official data set into the layout that this package trains on."""

from sac_lightning.core.command import command

main = command("prepare", "sac_lightning.data.preparation:convert")

if __name__ == "__main__":
    main()
