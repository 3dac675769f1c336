"""Sums over everybody, which take long where there are many: the last answer, and a new one on its way.

A sum that comes at once is made anew for everybody who asks.  Where it takes longer, whoever asks waits a
moment; then the last answer has to do, unless it is old.  So pages come fast with a million customers, are
up to date with a thousand, and PostgreSQL is busy with one sum a tenth of its time at most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from web.api.parts import Parts

#: Seconds below which a sum comes at once.
QUICK = 0.1
#: Seconds to wait for a new answer while there is another, and how old that may be.
PATIENCE, OLD = 0.05, 300.0
#: A sum is not begun again before so many times what it took.
REST = 10.0


class _Answer(NamedTuple):
    value: Any
    at: float
    took: float


def _age(answer: _Answer) -> float:
    return time.monotonic() - answer.at


@dataclass(slots=True)
class Kept:
    """Answers by name."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    known: dict[str, _Answer] = field(default_factory=dict)
    coming: dict[str, Future[Any]] = field(default_factory=dict)

    def of(self, name: str, look: Callable[[], Any]) -> Any:
        """What `look` says now or said lately.  Raises what it raises."""
        with self.lock:
            known, coming = self.known.get(name), self.coming.get(name)
            if coming is None:
                if known is not None and known.took > QUICK and _age(known) < REST * known.took:
                    return known.value
                coming = self.coming[name] = Future()
                threading.Thread(target=self._look, args=(name, look, coming), daemon=True).start()
        if known is None or known.took <= QUICK or _age(known) > OLD:
            return coming.result()
        try:
            return coming.result(PATIENCE)
        except TimeoutError:
            return known.value

    def _look(self, name: str, look: Callable[[], Any], coming: Future[Any]) -> None:
        began = time.monotonic()
        try:
            value = look()
        except BaseException as error:
            with self.lock:
                del self.coming[name]
            coming.set_exception(error)
        else:
            with self.lock:
                now = time.monotonic()
                self.known[name] = _Answer(value, now, now - began)
                del self.coming[name]
            coming.set_result(value)


def kept(parts: Parts) -> Kept:
    """Those of this process."""
    found: Kept = parts.kept.setdefault(Kept, Kept())
    return found
