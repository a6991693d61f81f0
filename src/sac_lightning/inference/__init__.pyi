from .predictor import Nuclei as Nuclei
from .predictor import Predictor as Predictor
from .predictor import load as load
