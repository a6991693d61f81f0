"""Segment Any Cell: SAM prompted by its own point generator, as a Lightning experiment framework.

Its public names stand in ``__init__.pyi``, those of each room in the room's own, and are imported when they are
asked for: torch takes seconds that ``--help`` should not. See docs/public-names.md.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
