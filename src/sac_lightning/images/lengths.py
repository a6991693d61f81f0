"""Units of length, as files spell them, in micrometres."""

from math import inf

# A name that is not here is no unit of length.
MICROMETRES = {
    "a": 1e-4,
    "angstrom": 1e-4,
    "å": 1e-4,
    "pm": 1e-6,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "\\u00b5m": 1.0,  # as ImageJ escapes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25_400.0,
    "in": 25_400.0,
}
# Programs fill in 72 or 300 dots per inch for no reason: what is coarser than any microscope is not believed.
COARSEST, FINEST = 10.0, 1e-3

Size = tuple[float, float]


def plausible(size: Size | None) -> Size | None:
    """Return the width and height of a pixel if a microscope may have made it, else None."""
    return size if size is not None and all(FINEST <= length <= COARSEST for length in size) else None


def positive(size: Size | None) -> Size | None:
    """Return the width and height of a pixel if they are lengths at all, else None."""
    return size if size is not None and all(0 < length < inf for length in size) else None
