"""How many records a poll takes: as many as can be worked on in a moment, where they are slow work.

Whoever waits behind a poll, a command in a partition without a backlog say, then waits for moments.
"""

from __future__ import annotations

#: Seconds of work that a poll should not exceed, its transaction included.
WORK_SECONDS = 0.2
#: Records that a poll may always take: fewer would be nearly all transaction.
LEAST = 500


class Pace:
    """The most records of the next poll, by how long the last ones took."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.most = limit

    def worked(self, records: int, seconds: float) -> None:
        """So many records took so long.  Fewer than were allowed tell nothing, but where it was too long."""
        if records < self.most and seconds <= WORK_SECONDS:
            return
        fit = int(records * WORK_SECONDS / max(seconds, 1e-9))
        self.most = min(self._limit, max(LEAST, min(fit, 2 * self.most)))
