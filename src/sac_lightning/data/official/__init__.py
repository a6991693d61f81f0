"""Readers of the layouts in which the owners publish their data sets, one file each, into one common form.

A reader takes the folder, a parent of it, or a .zip of it. Archives are not unpacked to disk.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from PIL import Image

from sac_lightning.core.errors import UserError
from sac_lightning.images.formats import refuse_name
from sac_lightning.images.open_image import open_image


@dataclass(frozen=True)
class OfficialImage:
    """An image with its instance map, as the owner published them.

    Attributes:
        name: The image's name, without folder and extension.
        split: The owner's split: ``train``, ``test``, ``test_a``, ``test_b`` or ``unsplit``.
        modality: ``fluorescence``, ``histology``, ``histology_colour`` or ``brightfield_grey``.
        image: (H, W, 3) uint8 RGB.
        instances: (H, W) int32: 0 = background, 1 to n = the instances, without gaps.
        note: What else the owner says about the image, or where its instance map comes from.
    """

    name: str
    split: str
    modality: str
    image: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]
    note: str


@dataclass(frozen=True)
class Reading(Iterator[OfficialImage]):
    """An iterator over images with a known length, for a progress bar.

    Attributes:
        number: Total number of images.
        images: The images.
    """

    number: int
    images: Iterator[OfficialImage]

    def __len__(self) -> int:
        """Return the total number of images."""
        return self.number

    def __next__(self) -> OfficialImage:
        """Return the next image."""
        return next(self.images)


class Source:
    """The files below a folder or inside a .zip, by their path relative to it.

    Hidden files, and those that macOS adds to archives, are left out.

    Args:
        path: The folder or the .zip.

    Attributes:
        files: Relative paths, sorted.

    Raises:
        UserError: There is no such folder or .zip, it cannot be read, or an entry of the .zip is unsafe.
    """

    def __init__(self, path: Path) -> None:
        """List the files; see the class."""
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        if path.is_dir():
            found = [file for file in path.rglob("*") if file.is_file()]
            for file in found:
                refuse_name(file)
            names = [file.relative_to(path).as_posix() for file in found]
        elif path.exists():
            self._archive = _open_archive(path)
            names = [entry.filename for entry in self._archive.infolist() if not entry.is_dir()]
        else:
            raise UserError(f"source {path} does not exist: name the folder or the .zip of the data set.")
        self._names = {PurePosixPath(name): name for name in names}
        self.files = sorted(file for file in self._names if not _is_hidden(file))

    def images(self, *suffixes: str) -> list[PurePosixPath]:
        """Return the files with one of these extensions, such as ``.tif``, in upper or lower case."""
        return [file for file in self.files if file.suffix.lower() in suffixes]

    def read(self, file: PurePosixPath) -> bytes:
        """Return the bytes of a file.

        Raises:
            UserError: The file cannot be read.
        """
        try:
            if self._archive is not None:
                return self._archive.read(self._names[file])
            return (self.path / file).read_bytes()
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise self.read_error(file) from error

    def picture(self, file: PurePosixPath) -> Image.Image:
        """Return a decoded picture, in its own mode.

        Raises:
            UserError: The file cannot be read or is not a picture.
        """
        data = self.read(file)
        try:
            picture = Image.open(io.BytesIO(data))
            picture.load()
        except Exception as error:  # A decoder may raise nearly anything over a damaged picture.
            raise self.read_error(file) from error
        return picture

    def rgb(self, file: PurePosixPath) -> npt.NDArray[np.uint8]:
        """Return a picture as (H, W, 3) uint8 RGB, by the one reader of images.

        Raises:
            UserError: The file cannot be read, is not a picture, or has more than 8 bits per channel.
        """
        # The reader takes a file, which in an archive there is none.
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"image{file.suffix}"
            path.write_bytes(self.read(file))
            try:
                with open_image(path) as slide:
                    pixels = slide.read(0, slide.height)
            except UserError as error:
                raise self.read_error(file) from error
        if pixels.dtype != np.uint8:
            raise UserError(
                f"{self.path / file} is not an 8-bit image ({pixels.dtype}): get the file as published."
            )
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)

    def read_error(self, file: PurePosixPath) -> UserError:
        """Return the error for a file that is damaged or does not match its extension."""
        return UserError(f"{self.path / file} cannot be read: get the file again from the owner.")


def unique_names(source: Source, files: list[PurePosixPath]) -> dict[str, PurePosixPath]:
    """Return the image files of a layout by image name, sorted by name.

    Raises:
        UserError: There is no image file, or two have the same name.
    """
    if not files:
        raise UserError(f"source {source.path} holds no image in the owner's layout: name the unpacked folder.")
    by_name: dict[str, PurePosixPath] = {}
    for file in files:
        if file.stem in by_name:
            both = f"{by_name[file.stem]} and {file}"
            raise UserError(f"image {file.stem} is in {source.path} twice ({both}): name one of the folders.")
        by_name[file.stem] = file
    return dict(sorted(by_name.items()))


def check_same_size(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.generic], image_file: Path, mask_file: Path
) -> None:
    """Raise UserError if a mask and its image differ in height or width."""
    if image.shape[:2] != mask.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (mask.shape, image.shape)]
        raise UserError(
            f"{mask_file} is {sizes[0]} pixels but its image {image_file} is {sizes[1]}: get both again."
        )


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"source {path} is neither a folder nor a whole .zip: download it again.") from error
    for entry in archive.infolist():
        if _is_unsafe(entry):
            archive.close()
            raise UserError(
                f"source {path} holds {entry.orig_filename!r}, a link or a path that leads out of it: "
                "get the archive from the owner."
            )
    return archive


def _is_unsafe(entry: zipfile.ZipInfo) -> bool:
    name = entry.orig_filename.replace("\\", "/")
    absolute = name.startswith("/") or name[1:2] == ":"
    return absolute or ".." in name.split("/") or stat.S_ISLNK(entry.external_attr >> 16)


def _is_hidden(file: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in file.parts)
