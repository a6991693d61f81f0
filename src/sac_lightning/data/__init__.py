"""Images and instance maps: data sets, official layouts, splits, windows, transforms, synthetic scenes.

Its public names stand in ``__init__.pyi`` and are imported when they are asked for: torch takes seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
