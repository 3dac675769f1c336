"""Work beside the stream: a thread that repeats one thing, and says once when it starts to fail.

The normaliser's one working thread must not wait for PostgreSQL or for lists of offsets; what needs them runs
here, and the processor reads the last answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Repeating:
    """Calls `work` every `seconds`, and at once when woken; logs a failure once, until it works."""

    def __init__(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._woken = threading.Event()
        self._stopping = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call of `work` comes at once."""
        self._thread.start()

    def wake(self) -> None:
        """Do not wait for the next turn."""
        self._woken.set()

    def stop(self) -> None:
        """End after the call under way, if there is one."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._work()
            except Exception as error:
                if not self._failing:
                    log.warning("%s: %s; goes on trying", self._name, error)
                self._failing = True
            else:
                if self._failing:
                    log.info("%s: works again", self._name)
                self._failing = False
            self._woken.wait(self._seconds)
            self._woken.clear()
