"""SAM's own modules: segment-anything's ``modeling``, without the rest of that package.

Its ``__init__`` also imports what prepares images for its predictor, and with it torchvision and torch's compiler:
two fifths of the time that this package took to import. ``modeling`` needs none of it, and is imported without it.
Whoever imports segment_anything afterwards gets the same classes.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE, MODELING = "segment_anything", "segment_anything.modeling"


def _import_modeling() -> None:
    """Import ``segment_anything.modeling`` as Python does, but for its parent."""
    parent = find_spec(PACKAGE)
    if MODELING in sys.modules or parent is None or not parent.submodule_search_locations:
        return  # Where it is not installed, the imports below say so.
    folder = Path(parent.submodule_search_locations[0]) / "modeling"
    spec = spec_from_file_location(MODELING, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[MODELING] = module
    spec.loader.exec_module(module)


_import_modeling()

from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer  # noqa: E402
from segment_anything.modeling.common import LayerNorm2d, MLPBlock  # noqa: E402

__all__ = ["LayerNorm2d", "MLPBlock", "MaskDecoder", "PromptEncoder", "TwoWayTransformer"]
