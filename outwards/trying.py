"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from config.settings import Settings

#: Tries of what the receiver itself refuses: it answers, and does not want this event.
REFUSED_TRIES = 3


class Verdict(Enum):
    """What follows a try that failed."""

    AGAIN = "again"
    DEAD = "dead"
    #: Given up, and everything else waits too: nobody is there.
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds between two tries double from `first` up to `longest`."""

    tries: int
    hours: float
    first: float = 1.0
    longest: float = 600.0

    @staticmethod
    def of(settings: Settings) -> Policy:
        """As the settings have it."""
        return Policy(settings.notify_tries, settings.notify_hours)

    def pause(self, tries: int) -> float:
        """Seconds after that many tries."""
        return min(self.longest, self.first * 2.0 ** min(tries - 1, 30))

    def verdict(
        self, tries: int, first_at: datetime, now: datetime, last_success: datetime | None, refused: bool
    ) -> Verdict:
        """After `tries` tries since `first_at`, and some other event that was taken at `last_success`."""
        if refused and tries >= REFUSED_TRIES:
            return Verdict.DEAD
        others = last_success is not None and last_success > first_at
        if others and tries >= self.tries:
            return Verdict.DEAD
        if now - first_at >= timedelta(hours=self.hours):
            return Verdict.DEAD if others else Verdict.SUSPEND
        return Verdict.AGAIN
