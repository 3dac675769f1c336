"""Rows of the reference in time: opened, moved, refreshed, with what is due on the way."""

from __future__ import annotations

from tests.reference.customer import Customer
from tests.reference.model import NO, NO_TIME, OPEN, Cause, iso, last_refresh, next_refresh
from tests.reference.predictions import Predictions


class Moving(Predictions):
    """What is due happens in the order of its time, missions before held campaigns before a refresh."""

    def _open(self, c: Customer, at: int) -> None:
        self.customers[c.customer_id] = c
        c.state, c.as_of, c.next_refresh = OPEN, at, next_refresh(c.customer_id, at)
        c.day, c.inline_asked = self._day(at), at

    def _move(self, c: Customer, t: int, stop: bool = False) -> None:
        while c.state == OPEN and c.due <= t:
            refresh = last_refresh(c.customer_id, t) if c.next_refresh <= t else NO_TIME
            running = [(m.settles, slot) for slot, m in enumerate(c.missions) if m and not m.waiting]
            settles, slot = min(running, default=(NO_TIME, -1))
            held = [(e.until * 1000, n) for n, e in enumerate(c.campaigns) if e and e.status == "held"]
            sends, place = min(held, default=(NO_TIME, -1))
            at = min(settles, sends, refresh)
            c.as_of = max(c.as_of, at)
            self._advance(c)
            if settles == at:
                self._settle(c, slot, Cause("khaywe", f"settle:{iso(at)}"))
            elif sends == at:
                entry = c.campaigns[place]
                assert entry is not None
                self._settle_held(c, entry)
            else:
                cause = Cause("khaywe", f"refresh:{iso(at)}")
                self._refresh(c, cause)
                c.next_refresh = next_refresh(c.customer_id, at)
                self._ask_refreshed(c, cause)
        if not stop:
            c.as_of = max(c.as_of, t)
            self._advance(c)

    def _refresh(self, c: Customer, cause: Cause) -> None:
        found = self._features(c)
        self._expire_lots(c, cause)
        self._repeat_open(c, cause)
        if self._has_game and c.opted != NO:
            self._check_badges(c, found, cause)
            self._generate(c, found, cause)
        self._tier(c, cause)
        if c.opted != NO:
            self._contact(c, found, cause, None, daily=True)
        self._publish(c, "refresh", cause)
