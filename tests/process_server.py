"""``python -m tests.process_server MODULE ...``: processes forked from one that has imported the modules.

Imports take a command seconds; a fork takes milliseconds. The server reads one order per line (JSON). ``start``
forks and answers with the number of the process; ``wait`` waits for a process and answers with its exit status.
"""

import importlib
import json
import os
import runpy
import sys
from pkgutil import resolve_name
from typing import Any


def serve() -> dict[str, Any] | None:
    """Serve orders until there are no more; return an order in the process that is to carry it out."""
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        process = os.fork()
        if process == 0:
            return order
        print(process, flush=True)
    return None


def carry_out(order: dict[str, Any]) -> None:
    """Call a function, or run a module as ``python -m`` does, with the order's folder, environment and files."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(order[name], flags), descriptor)
    if ":" in order["start"]:
        resolve_name(order["start"])(*order["arguments"])
    else:
        sys.argv = [order["start"], *order["arguments"]]
        runpy.run_module(order["start"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    order = serve()
    if order is not None:
        carry_out(order)
