"""Segment Any Cell: SAM prompted by its own point generator, as a Lightning experiment framework."""

__version__ = "0.1.0"
