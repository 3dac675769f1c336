"""A process that polls a source once and, at a step of a page, kills or stops itself.

Arguments: settings (JSON), data source (JSON), step, signal, seconds that its lease is held.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from agents.polling import PREFIX, run
from catalog.content import SourceContent
from catalog.database import connect
from catalog.leases import Leases
from config.settings import Settings


def main() -> None:
    given, said, step, number, hold = sys.argv[1:]
    settings = Settings(_env_file=None, **json.loads(given))
    source = SourceContent(**json.loads(said))
    leases = Leases(connect(settings.database_url()), "child", float(hold))
    lease = leases.take(PREFIX + source.name)
    assert lease is not None
    left = [2]  # at the second page, where the step is one of a page

    def at(name: str) -> None:
        if name == step:
            left[0] -= 1
            if left[0] == 0 or name == "leased":
                os.kill(os.getpid(), signal.Signals[number])

    run(settings, leases, lease, source, on_step=at)


if __name__ == "__main__":
    main()
