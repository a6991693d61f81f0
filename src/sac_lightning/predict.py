"""``python -m sac_lightning.predict``: images of any size in; masks, label maps, QuPath's GeoJSON, tables out."""

from pathlib import Path

from omegaconf import DictConfig

from sac_lightning.core.command import command, require_paths
from sac_lightning.core.errors import UserError
from sac_lightning.core.precision import check_precision
from sac_lightning.core.scale import check_mpp
from sac_lightning.inference.thresholds import refuse_method
from sac_lightning.model.registered import require_checkpoint
from sac_lightning.slides.find_images import find_images
from sac_lightning.slides.formats import read_formats, refuse_geojson


def check(cfg: DictConfig) -> None:
    """Raise UserError if a path names nothing, a page, series or size is no number, a method or format is none."""
    require_checkpoint(cfg.checkpoint)
    require_paths("points", "regions")(cfg)
    if cfg.tissue is False:  # YAML's off
        cfg.tissue = "off"
    if cfg.tissue not in ("auto", "off") and not Path(str(cfg.tissue)).exists():
        raise UserError(f"tissue is {cfg.tissue}, which does not exist: choose off, auto or a GeoJSON file")
    for key in ("series", "page"):
        if cfg[key] is not None and (not isinstance(cfg[key], int) or cfg[key] < 1):
            raise UserError(f"{key} is {cfg[key]}: choose a number from 1 on")
    if cfg.channel is not None and not isinstance(cfg.channel, int | str):
        raise UserError(f"channel is {cfg.channel}: choose a number from 1 on, or a name")
    if cfg.instances is not None:
        refuse_method(cfg.instances)
    refuse_geojson(cfg.geojson)
    read_formats(cfg.formats)
    check_mpp(cfg.mpp)
    check_precision(cfg.precision)
    find_images(str(cfg.images))


@command("predict", check)
def main(cfg: DictConfig) -> None:
    """Segment images."""
    from sac_lightning.slides.run import predict

    predict(cfg)


if __name__ == "__main__":
    main()
