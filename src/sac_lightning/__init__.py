"""Segment Any Cell: SAM prompted by its own point generator, as a Lightning experiment framework."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sac_lightning.inference.predictor import load as load

__version__ = "0.1.0"
__all__ = ["load"]


def __getattr__(name: str) -> object:
    """Imports ``load`` when it is asked for: torch takes seconds that ``--help`` should not."""
    if name == "load":
        from sac_lightning.inference.predictor import load

        return load
    raise AttributeError(f"module {__name__} has no attribute {name}")
