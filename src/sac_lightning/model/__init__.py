"""Figure 2 of the paper, left to right, in pure torch: SAC's networks and their weights.

Its public names stand in ``__init__.pyi`` and are imported when they are asked for: torch takes seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
