"""Open an image file with Pillow; whatever is wrong with it is one sentence."""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sac_lightning.core.errors import UserError


def open_with_pillow(path: Path) -> Image.Image:
    """Return a decoded image, in its own mode.

    Raises:
        UserError: The file cannot be read.
    """
    image = None
    try:
        image = Image.open(path)
        image.load()
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if image is not None:
            image.close()
        raise unreadable(path, error) from error
    return image


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for a file that is no image, or a broken one; a sentence that is one already stays."""
    if isinstance(error, UserError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} cannot be read as an image ({reason}): replace or remove it")
