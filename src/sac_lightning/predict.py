"""``python -m sac_lightning.predict``: images of any size in; masks, label maps, QuPath's GeoJSON, tables out."""

from omegaconf import DictConfig

from sac_lightning.command import command, existing
from sac_lightning.slides.find_images import find_images


def check(cfg: DictConfig) -> None:
    """Refuses paths that name nothing."""
    existing("checkpoint", "points")(cfg)
    find_images(str(cfg.images))


main = command("predict", "sac_lightning.folder_prediction:predict", check)

if __name__ == "__main__":
    main()
