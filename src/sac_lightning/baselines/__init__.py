"""The systems that SAC is compared with: each is a module that maps images (B, 3, H, W) in 0..255 to logits.

The public names are listed in ``__init__.pyi`` and imported on first use, because importing torch takes seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
