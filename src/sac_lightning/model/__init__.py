"""The networks of Figure 2, left to right, in pure torch, and their weights.

Its public names are listed in ``__init__.pyi`` and imported on first use, because torch takes seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
