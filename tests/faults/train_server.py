"""``python train_server.py``: trainings forked from a process that has imported everything: a start is cheap.

It reads one order per line (JSON: folder, overrides, log, event, count), says the number of the process that works
on it, and then its exit status. Each training is the train command as a person types it, in a process of its own.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pkgutil import resolve_name
from typing import Any

import sac_lightning.training.run  # noqa: F401  (what takes the seconds)
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


def work_on(order: dict[str, Any]) -> None:
    """The train command, in the order's folder and with its output in the order's log."""
    os.chdir(order["folder"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    sys.argv = ["train", *order["overrides"]]
    if order["event"] is not None:
        install(order["event"], order["count"])
    main()


def serve() -> dict[str, Any] | None:
    """Forks for each order; gives the order in the process that is to work on it, None when there are no more."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            order: dict[str, Any] = json.loads(line)
            return order
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


if __name__ == "__main__":
    order = serve()
    if order is not None:
        work_on(order)
