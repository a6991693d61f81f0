"""The folder of predict's results: which files an image gets, and whether they are there."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from sac_lightning.core.errors import UserError
from sac_lightning.slides.formats import FORMATS

KINDS = ("masks", "labels", "overlays", "geojson", "measurements")
OPTIONS = "options"
SUMMARY = "summary.csv"
GEOJSON_ENDINGS = {False: "geojson", True: "geojson.gz"}


@dataclass(frozen=True)
class OutputFolder:
    """The folder of the results: a folder per kind in it, a file per image in each.

    Attributes:
        path: Of the folder.
        probability: Whether the probability is written as well.
        compressed: Whether GeoJSON is.
        formats: Names of further formats, of FORMATS.
        beyond_imagej: Files that were written in tiles, as they are too large for ImageJ without Bio-Formats.
    """

    path: Path
    probability: bool = False
    compressed: bool = False
    formats: tuple[str, ...] = ()
    beyond_imagej: list[Path] = field(default_factory=list)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the folders that are filled."""
        probabilities = ("probabilities",) if self.probability else ()
        return (*KINDS, *probabilities, *(FORMATS[name].folder for name in self.formats))

    def make(self) -> None:
        """Make the folders.

        Raises:
            UserError: One cannot be made.
        """
        for kind in self.kinds:
            folder = self.path / kind
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"{folder} cannot be made ({error.strerror}): choose another output") from error

    def is_done(self, stem: str) -> bool:
        """Return whether all results of an image are there, in whichever form."""
        forms = self._forms(stem)
        return all(any(files[kind].exists() for files in forms) for kind in self.kinds)

    def is_begun(self, stem: str) -> bool:
        """Return whether any result of an image is there, in whichever form."""
        return any(path.exists() for files in self._forms(stem) for path in files.values())

    def options_file(self, stem: str) -> Path:
        """Return the path of what says by which options an image's results were made."""
        return self.path / OPTIONS / f"{stem}.json"

    @property
    def summary_file(self) -> Path:
        """The path of the table of all images."""
        return self.path / SUMMARY

    def files(self, stem: str, is_large: bool) -> dict[str, Path]:
        """Return the path of each kind of result."""
        return self._name(stem, is_large, self.compressed)

    def remove_former(self, stem: str, files: dict[str, Path]) -> None:
        """Remove what an image's results were in another form: a mask as PNG where it is a TIFF file now.

        Args:
            stem: Of the image.
            files: Its results, which stay.
        """
        for form in self._forms(stem):
            for kind, path in form.items():
                if path != files[kind]:
                    path.unlink(missing_ok=True)

    def _forms(self, stem: str) -> list[dict[str, Path]]:
        return [self._name(stem, *form) for form in itertools.product((False, True), repeat=2)]

    def _name(self, stem: str, is_large: bool, compressed: bool) -> dict[str, Path]:
        endings = {
            "masks": "tif" if is_large else "png",
            "labels": "tif",
            "overlays": "jpg" if is_large else "png",
            "geojson": GEOJSON_ENDINGS[compressed],
            "measurements": "csv",
            "probabilities": "tif",
            **{FORMATS[name].folder: FORMATS[name].ending for name in self.formats},
        }
        return {kind: self.path / kind / f"{stem}.{endings[kind]}" for kind in self.kinds}
