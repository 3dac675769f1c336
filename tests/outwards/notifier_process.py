"""A notifier in a process of its own, which kills or stops itself at a step.

Arguments: settings (JSON), step (`read`, `delivered`, `kept`), at which time of it, signal,
seconds that its leases are held.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from config.logging import setup
from config.settings import Settings
from outwards.notifier import Notifier
from outwards.trying import Policy


def main() -> None:
    given, step, left, number, hold = sys.argv[1:]
    times = int(left)

    def at(name: str) -> None:
        nonlocal times
        if name == step:
            times -= 1
            if times == 0:
                os.kill(os.getpid(), signal.Signals[number])

    setup("info")
    policy = Policy(tries=4, hours=1.0, first=0.05, longest=0.2)
    Notifier(Settings(_env_file=None, **json.loads(given)), "child", policy, float(hold), at).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
