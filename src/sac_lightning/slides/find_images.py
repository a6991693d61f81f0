"""Which image files a path, a folder or a pattern names."""

import glob
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.data.image_names import IMAGE_ENDINGS, refuse_name

# What a folder is searched for: image files, and Aperio's slides, which are TIFF files.
ENDINGS = (*IMAGE_ENDINGS, ".svs")


def find_images(named: str) -> list[Path]:
    """Find the image files that a person names, sorted.

    Args:
        named: A file, whatever its ending; a folder; or a pattern, such as ``scans/*/a?.tif``, ``scans/**/*.tif``.

    Raises:
        UserError: There are none, two would write the same result, or the name of one is not in UTF-8.
    """
    path = Path(named)
    if path.is_file():
        refuse_name(path)
        return [path]
    if path.is_dir():
        files = list(path.iterdir())
    elif glob.has_magic(named):
        files = [Path(match) for match in glob.glob(named, recursive=True)]
    else:
        raise UserError(f"images={named} does not exist: give an image, a folder of images or a pattern")
    images = sorted(file for file in files if file.suffix.lower() in ENDINGS and file.is_file())
    if not images:
        raise UserError(f"{named} holds no image: give files that end in {', '.join(ENDINGS)}")
    _refuse_names(images)
    return images


def _refuse_names(images: list[Path]) -> None:
    stems: dict[str, Path] = {}
    for image in images:
        refuse_name(image)
        if image.stem in stems:
            raise UserError(f"{image} and {stems[image.stem]} would write the same result: rename one of them")
        stems[image.stem] = image
