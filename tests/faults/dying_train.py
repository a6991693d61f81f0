"""``python dying_train.py EVENT COUNT overrides...``: train, killed when an event comes for the COUNTth time.

SIGKILL from within, so that a moment can be hit that a clock would hit once in a thousand times.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pkgutil import resolve_name
from typing import Any

EVENTS = {
    # What is about to happen when the process dies.
    "training batch": "sac_lightning.task:SegmentationTask.training_step",
    "validation image": "sac_lightning.task:SegmentationTask.validation_step",
    "test image": "sac_lightning.task:SegmentationTask.test_step",
    "end of epoch": "sac_lightning.history:History.on_train_epoch_end",
    "half a checkpoint": "sac_lightning.whole_checkpoints:torch.save",
    "a checkpoint's renaming": "sac_lightning.whole_file:os.replace",
    "record": "sac_lightning.testing:write_record",
}


def install(event: str, count: int) -> None:
    """Lets the process die when the event comes for the ``count``th time, of a checkpoint half way."""
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


if __name__ == "__main__":
    event, count, *overrides = sys.argv[1:]
    install(event, int(count))
    sys.argv = ["train", *overrides]
    from sac_lightning.train import main

    main()
