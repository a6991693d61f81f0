from .base import NucleiDataModule as NucleiDataModule
from .dsb2018 import DSB2018 as DSB2018
from .folder import Folder as Folder
from .glas import GlaS as GlaS
from .monuseg import MoNuSeg as MoNuSeg
from .nuclei import Nuclei as Nuclei
from .synthetic import Synthetic as Synthetic
