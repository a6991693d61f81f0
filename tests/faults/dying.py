"""A training that dies at a chosen moment, in a process of its own."""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pkgutil import resolve_name
from typing import Any

from sac_lightning.train import main

# What is about to happen when the process dies.
EVENTS = {
    "training batch": "sac_lightning.training.task:SegmentationTask.training_step",
    "validation image": "sac_lightning.training.task:SegmentationTask.validation_step",
    "test image": "sac_lightning.training.task:SegmentationTask.test_step",
    "end of epoch": "sac_lightning.training.history:History.on_train_epoch_end",
    "half a checkpoint": "sac_lightning.training.checkpoints:torch.save",
    "a checkpoint's renaming": "sac_lightning.core.files:os.replace",
    "tuning": "sac_lightning.training.tuning:qualities",
    "thresholds": "sac_lightning.training.tuning:store_thresholds",
    "record": "sac_lightning.training.testing:write_record",
}


def install(event: str, count: int) -> None:
    """Lets the process die by SIGKILL when the event comes for the ``count``th time, of a checkpoint half way.

    From within, so that a moment can be hit that a clock would hit once in a thousand times.
    """
    module, _, path = EVENTS[event].partition(":")
    *owners, name = path.split(".")
    owner = resolve_name(":".join([module, ".".join(owners)]) if owners else module)
    original: Callable[..., Any] = getattr(owner, name)
    seen = 0

    @wraps(original)  # Lightning looks at what a step takes.
    def dying(*args: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == count:
            if event == "half a checkpoint":
                original(*args, **options)
                os.truncate(args[1], os.path.getsize(args[1]) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **options)

    setattr(owner, name, dying)


def train_until(event: str, count: int, *overrides: str) -> None:
    """Train as the command does, and die when the event comes for the ``count``th time."""
    sys.argv = ["train", *overrides]
    install(event, count)
    main()
