from .record import RunRecord as RunRecord
from .record import read_record as read_record
from .sweep import Sweep as Sweep
