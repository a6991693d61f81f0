"""``python -m sac_lightning.predict``: a folder of images in, masks and overlays out."""

from sac_lightning.command import command, existing

main = command("predict", "sac_lightning.folder_prediction:predict", existing("checkpoint", "images", "points"))

if __name__ == "__main__":
    main()
