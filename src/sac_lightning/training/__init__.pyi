from .early_stopping import EarlyStopping as EarlyStopping
from .losses import DiceCE as DiceCE
from .losses import FocalDice as FocalDice
from .schedule import cosine_restarts as cosine_restarts
from .task import SegmentationTask as SegmentationTask
