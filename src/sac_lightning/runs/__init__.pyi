from .multirun import Sweep as Sweep
from .record import RunRecord as RunRecord
from .record import read_record as read_record
