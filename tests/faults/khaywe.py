"""A real worker that kills or stops itself at a step of a transaction.

FAULT=app:step:count:signal, e.g. `khaywe-customers:offsets:5:STOP`: the fifth time the customers app has
added offsets, the process sends itself SIGSTOP.  Steps of khaywe-projector are those of `projection.writer`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from cli.main import main


def arm(plan: str) -> None:
    """Watch the steps of the app's transactions."""
    name, step, count, number = plan.split(":")
    left = int(count)
    from agents.projector import app as projector
    from streams import app as apps

    def at(reached: str) -> None:
        nonlocal left
        if reached == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), getattr(signal, f"SIG{number}"))

    if name == projector.conf.id:
        made = projector.behind

        def behind() -> Any:
            processor: Any = made()
            processor.writer.on_step = at
            return processor

        projector.behind = behind
        return
    found = next(app for app in (apps.customers, apps.normalizer) if app.conf.id == name)
    found.transactor.on_step = at


if __name__ == "__main__":
    if "FAULT" in os.environ:
        arm(os.environ["FAULT"])
    sys.argv[0] = "khaywe"
    main()
