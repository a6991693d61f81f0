from .core.errors import UserError as UserError
from .core.view import View as View
from .inference.predictor import Nuclei as Nuclei
from .inference.predictor import Predictor as Predictor
from .inference.predictor import load as load

__version__: str
