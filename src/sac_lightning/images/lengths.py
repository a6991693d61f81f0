"""Units of length, as files spell them, in micrometres."""

# By their singular. A name that is not here is no unit of length.
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
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25_400.0,
    "in": 25_400.0,
}
# What is coarser or finer than any microscope is not believed, as in core/scale.py.
COARSEST, FINEST = 10.0, 1e-3

Size = tuple[float, float]


def micrometres_per(unit: str) -> float | None:
    """Return how many micrometres a unit has; None if it is no unit of length.

    Args:
        unit: Its name, in upper or lower case, singular or plural, spelt as in English or American.
    """
    name = unit.strip().lower().replace("metre", "meter")
    # Of "inches", too; "m" and "mm" have no plural.
    singular = name.removesuffix("es" if name.endswith("ches") else "s")
    return MICROMETRES.get(name, MICROMETRES.get(singular) if len(singular) > 2 else None)


def plausible(size: Size | None) -> Size | None:
    """Return the width and height of a pixel if a microscope may have made it, else None.

    Programs fill in 72 or 300 dots per inch for no reason, or 1 of a unit for "unknown".
    """
    return size if size is not None and all(FINEST <= length <= COARSEST for length in size) else None
