"""How often a caller may ask: a bucket of tokens each, in this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from threading import Lock

#: A caller may save up so many seconds' worth.
BURST_SECONDS = 10.0
#: Callers that are remembered; whoever was quiet longest is forgotten, with a full bucket.
CALLERS = 10_000


class Rates:
    """`rate`: requests a second in the long run."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller: str, now: float | None = None) -> int:
        """0 where the caller may go on, else whole seconds to wait."""
        at = time.monotonic() if now is None else now
        with self._lock:
            left, since = self._buckets.pop(caller, (self._most, at))
            left = min(self._most, left + (at - since) * self._rate)
            wait = 0 if left >= 1 else math.ceil((1 - left) / self._rate)
            self._buckets[caller] = (left if wait else left - 1, at)
            if len(self._buckets) > CALLERS:
                self._buckets.popitem(last=False)
        return wait
