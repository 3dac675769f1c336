"""The reference fold: one partition's log in, rows and effects out, step by step as docs/semantics.md,
docs/game.md, docs/predictions.md and docs/campaigns.md say.

Plain dicts and loops; nothing is fast, nothing is clever.  The compiled fold must agree with it exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from tests.reference.core import Effect, hashed
from tests.reference.customer import ACTIVE_DAYS, U2, Customer, more, snapshot
from tests.reference.links import Links, earliest, path_of
from tests.reference.model import (
    APP_EVENTS,
    CALLS,
    DATA,
    ENDED,
    LINKED,
    NO,
    NO_ACTIVITY,
    NO_TIME,
    NONE,
    OPEN,
    RECENT,
    RINGS,
    SYSTEM,
    UNIT_OF,
    USAGE,
    WORDS,
    Cause,
    Record,
    Undecodable,
    birthday,
    clamp,
    integer,
    iso,
    parse_time,
    read,
    truth,
    week,
    word,
)

COMEBACK = 30  # days without activity


class ReferenceFold(Links):
    """All of it.  Rows in `customers`; forwards, asks, dead letters pile up; effects come from `apply`."""

    # What others see.

    def apply(self, offset: int, value: bytes | dict[str, Any] | None) -> list[Effect]:
        """Fold one record; its effects in the order they arose."""
        self._effects = []
        try:
            record = read(value, self.decode_row)
        except Undecodable:
            self.dead.append((offset, "undecodable"))
            return []
        if record.event_type not in UNIT_OF and record.event_type not in SYSTEM:
            self.dead.append((offset, "unknown_event_type"))
            return []
        self._backfill = record.event_type in UNIT_OF and record.attributes.get("_backfill") is True
        system = {
            "_tick": self._tick,
            "_marker": self._marker,
            "_command": self._command,
            "_merge": self._merge,
            "_reserve": self._reserve,
            "_reservation": self._reservation,
            "_prediction": self._prediction,
        }
        system.get(record.event_type, self._event)(record)
        return self._effects

    def fold(self, records: Sequence[tuple[int, bytes | dict[str, Any] | None]]) -> list[Effect]:
        """Fold records (offset, value) one after the other."""
        return [effect for offset, value in records for effect in self.apply(offset, value)]

    @property
    def partition_row(self) -> dict[str, Any]:
        return {
            "tick": self.tick,
            "tick_done": True,
            "revision": self.revision,
            "command": "",
            "command_place": "",
        }

    @property
    def owed(self) -> dict[int, int]:
        """Points in lots of open customers, by the month that ends them."""
        owed: Counter[int] = Counter()
        for c in self._opened():
            for lot in c.lots:
                owed[lot.month] += lot.points
        return dict(owed)

    @property
    def side(self) -> dict[str, dict[str, Any]]:
        """customer_id -> its side entries: `e` hash -> time, `p` the profile's words, `l` the link,
        `g` grant_id -> grant, `m` hash -> time and grant ids, `a` what an account has handed out.
        """
        found: dict[str, dict[str, Any]] = {}
        for customer_id, c in self.customers.items():
            grants = {grant_id: asdict(grant) for grant_id, grant in c.grants.items()}
            entries = {
                "e": dict(c.entries),
                "p": dict(c.profile),
                "l": c.link,
                "g": grants,
                "m": deepcopy(c.caused),
            }
            found[customer_id] = {kind: entry for kind, entry in entries.items() if entry}
        for customer_id, account in self.accounts.items():
            found.setdefault(customer_id, {})["a"] = dict(account)
        return found

    def snapshot(self, customer_id: str) -> dict[str, Any]:
        """A row as plain values; that of a customer nobody knows is the empty one."""
        return snapshot(self.customers.get(customer_id) or Customer(customer_id))

    # An event.

    def _event(self, record: Record) -> None:
        c = self.customers.get(record.customer_id) or Customer(record.customer_id)
        if self._is_erased(c.customer_id):
            if record.event_type not in ("opt_in", "activation"):
                self.counts["ignored_erased"] += 1
                return
            self.erased.remove(hashed(c.customer_id))
            c = Customer(c.customer_id, opened_at=record.occurred_at)
        # 1. Closed rows.
        if c.state == LINKED:
            path = path_of(record.attributes.get("_path"))
            if c.customer_id in path:
                self.counts["links_refused"] += 1
            else:
                self._rekey(c, record, "_path", path)
            return
        duplicate = self._is_duplicate(c, record, record.occurred_at)
        if c.state == ENDED:
            if record.event_type != "activation" or duplicate:
                self.counts["ignored_ended"] += 1
                return
            c = Customer(c.customer_id, opened_at=record.occurred_at, entries=c.entries)
        elif c.opened_at > record.occurred_at:
            self.counts["ignored_before_activation"] += 1
            return
        # 2. Duplicates.
        if duplicate:
            self.counts["duplicates"] += 1
            return
        # 3. Its time.
        if c.state == NONE:
            self._open(c, record.occurred_at)
        else:
            self._move(c, record.occurred_at)
        # 4. Remember it.
        if record.event_type in USAGE:
            self._remember(c, record.hash)
        else:
            c.entries[record.hash] = c.as_of
        # 5. Counters.
        self._count(c, record)
        # 6, the game, 7: publication.
        if c.state == OPEN:
            self._play(c, record)
            self._publish_moved(c, record.cause)
        # At the very end.
        if record.event_type == "refund":
            self._refund(c, record)
        if record.event_type in ("grant_fulfilled", "grant_failed"):
            self._answer(c, record)
        if record.event_type in ("campaign_delivered", "campaign_converted"):
            self._campaign_answer(c, record)
        self._ask_after(c, record.cause)

    def _play(self, c: Customer, record: Record) -> None:
        if c.opted == NO:
            return
        found = self._features(c)
        if self._has_game:
            self._progress(c, record)
            self._check_badges(c, found, record.cause)
            self._generate(c, found, record.cause)
            self._tier(c, record.cause)
        self._contact(c, found, record.cause, record, daily=False)

    def _count(self, c: Customer, record: Record) -> None:
        kind, at, attributes = record.event_type, record.occurred_at, record.attributes
        policy, decimals = self.content.policy, self.content.decisions.currency_decimals
        value, day = integer(kind, record.value, decimals), self._day(at)
        life = c.life

        to_rings: dict[str, int] = {}
        if kind in CALLS:
            to_rings = {"calls": 1, "seconds": value}
            life["calls"] += 1
            life["seconds"] += value
        elif kind in DATA:
            to_rings = {"data_kb": value}
            life["data_kb"] += value
        elif kind == "sms":
            to_rings = {"sms": value}
            life["sms"] += value
        elif kind in APP_EVENTS:
            to_rings = {kind if kind in RINGS else "app_other": value}
            life["app_events"] += value
        elif kind == "web_login":
            to_rings = {"web_login": value}
            life["web_logins"] += value
        elif kind == "qoe_degradation":
            to_rings = {"qoe": value}
            life["qoe"] += value
        elif kind == "complaint":
            life["complaints"] += value
        elif kind == "referral":
            life["referrals"] += value
        elif kind == "recharge":
            to_rings["recharge"] = value
            life["recharge"] += value

        if kind == "refund":
            to_rings["revenue"] = -value
        elif kind in policy.revenue_types and attributes.get("paid_from") != "balance":
            to_rings["revenue"] = value
        life["revenue"] += to_rings.get("revenue", 0)

        kept = [c.add(ring, day, moved_by) for ring, moved_by in to_rings.items()]
        if not all(kept):
            self.counts["late_events"] += 1

        if kind in policy.transaction_types:
            life["transactions"] += 1
            c.last_transaction = max(c.last_transaction, at)
        if kind == "payment" and truth(attributes.get("on_time")) is not None:
            life["payments_known"] += 1
            life["payments_on_time"] += truth(attributes.get("on_time")) is True
        c.types[kind] = more(c.types.get(kind, 0), 1, U2)
        if kind not in NO_ACTIVITY:
            absence = day - self._day(c.last_activity) if c.last_activity else 0
            if absence >= COMEBACK:
                c.comebacks = more(c.comebacks, 1, U2)
                c.longest_absence = max(c.longest_absence, min(absence, U2))
            c.last_activity = max(c.last_activity, at)
            c.active_week(week(day))
            if c.day - ACTIVE_DAYS < day <= c.day:
                c.active_days.add(day)
        c.first_event = earliest(c.first_event, at)
        if kind == "activation":
            c.activation = earliest(c.activation, at)
        c.recent = [*c.recent, (kind, at // 1000, clamp(value, -(2**31), 2**31 - 1))][-RECENT:]

        if kind == "profile_update" and at >= c.profile_at:
            self._profile(c, attributes)
            c.profile_at = at
        if kind in ("opt_in", "opt_out"):
            self._opt(c, kind, record.cause)
        if kind == "customer_ended":
            self._end_all(c, "cancelled", "ended", record.cause)
            self._forfeit(c, record.cause)
            c.state, c.next_refresh, c.open_grants = ENDED, NO_TIME, 0
            c.forget_campaigns()
        if kind == "customer_link":
            self._link(c, record)

    def _profile(self, c: Customer, attributes: dict[str, Any]) -> None:
        for name in WORDS:
            if name in attributes:
                _set(c.profile, name, word(attributes[name]))
        if "consent" in attributes:
            _set(c.profile, "consent", truth(attributes["consent"]))
        if "birthday" in attributes:
            came = attributes["birthday"]
            _set(c.profile, "birthday", came if birthday(came) else None)

    # Ticks, markers, commands.

    def _tick(self, record: Record) -> None:
        at = parse_time(record.attributes["at"])
        if at <= self.tick:
            return
        self.tick = at
        everyone = record.attributes.get("everyone") is True
        for c in sorted(self._opened(), key=lambda c: (c.due, c.customer_id.encode())):
            if everyone and c.as_of < at:
                self._move(c, at)
                self._publish_moved(c, Cause("khaywe", f"tick:{iso(at)}"))
            elif not everyone and c.due <= at:
                self._move(c, at, stop=True)

    def _reservation(self, record: Record) -> None:
        c = self.customers.get(record.customer_id)
        campaign = record.attributes.get("campaign")
        if c is None or c.state != OPEN:
            self._give_back(record)
        elif campaign is not None and self._waiting_entry(c, campaign):
            self._move(c, record.occurred_at)
            self._campaign_answered(c, record)
        elif campaign is None and self._waiting_slot(c, record.attributes["template"]) is not None:
            self._move(c, record.occurred_at)
            self._reservation_taken(c, record)
        else:
            self._give_back(record)

    def _marker(self, record: Record) -> None:
        self.revision = max(self.revision, record.attributes["revision"])


def _set(profile: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        profile.pop(name, None)
    else:
        profile[name] = value
