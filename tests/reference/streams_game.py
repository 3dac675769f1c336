"""Logs in which the game is played: hypothesis strategies and a seeded generator over the games of `games`.

Few customers do much: streaks with holes that late events fill, bursts, refunds, answers to grants, every
command, erasures, links with missions and lots, revisions that change under running missions.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.reference.answers import stray
from tests.reference.core import digest
from tests.reference.model import UNIT_OF
from tests.reference.records import ANY, CONTENTS, GAMES, PLAIN, TALKING, at, encode, event, marker, tick
from tests.reference.streams import CUSTOMERS, DAY, HOUR, MINUTE, WORDS, Log

# What happens often, and what may stand in attributes that the filters of the games ask for.
DOES = (
    "sms", "sms", "voice_call", "voice_call", "app_login", "data_session", "recharge", "recharge", "payment",
    "payment", "purchase", "bundle_purchase", "feature_use", "web_login", "roaming_call", "profile_update",
)  # fmt: skip
AMOUNTS = (0, 0.4, 1, 1, 2, 2.5, 3, 5, 10, 12.5, 25, 60, 99.999, 500, -3, 1_000, 65_536, 4e7, 1e15)
GAPS = (0, 1, 999, MINUTE, HOUR, 3 * HOUR, 5 * HOUR, 12 * HOUR, DAY - 1, DAY, DAY, DAY + HOUR, 2 * DAY)
LEAPS = (
    3 * DAY,
    5 * DAY,
    7 * DAY,
    10 * DAY,
    30 * DAY,
    31 * DAY,
    45 * DAY,
    62 * DAY,
    200 * DAY,
    366 * DAY,
    800 * DAY,
)
LATE = (0, 0, 0, 0, 1, HOUR, DAY, DAY, 2 * DAY, 3 * DAY, 8 * DAY, 40 * DAY, 127 * DAY, 128 * DAY, 129 * DAY)
STARTS = tuple(
    at(text)
    for text in (
        "2020-01-01",
        "2020-02-27T20:00",
        "2020-10-24T22:59:59.999",
        "2019-12-30T23:00",
        "2023-11-30",
    )
)
SEGMENTS = (
    "all", "all", "calls_lifetime >= 1", 'not (segment = "gold")', "missions_active > 0 or tier >= 1",
    "points_balance >= 10 and opted_in is unknown", "risk >=", "nothing = 1", "", " ", 7, None,
)  # fmt: skip
STEPS = (
    *["event"] * 7, "days", "days", "streak", "streak", "burst", "again", "refund", "refund", "answer",
    "command", "command", "segment", "opt", "profile", "link", "life", "monthly", "tick", "tick", "tick",
    "everyone", "marker", "foretell", "foretell", "foretell",
    "cut", "cut",
)  # fmt: skip
# A log of few kinds of steps goes deeper into them.
KINDS = (
    STEPS,
    STEPS,
    ("event", "event", "streak", "tick", "everyone", "marker", "late"),
    ("event", "refund", "refund", "answer", "cut", "command", "tick", "again"),
    ("event", "streak", "link", "link", "cut", "life", "refund", "tick", "opt"),
    ("event", "days", "days", "days", "tick", "everyone", "cut"),
    ("monthly", "monthly", "event", "marker", "refund", "command"),
    ("days", "link", "erase", "cut", "life", "again"),
    ("command", "segment", "event", "tick", "cut", "opt", "life", "erase"),
    ("event", "command", "command", "monthly", "refund", "everyone", "answer"),
    ("event", "foretell", "foretell", "foretell", "predict", "tick", "everyone", "marker"),
    ("event", "foretell", "foretell", "predict", "days", "link", "life", "erase", "opt", "cut", "refund"),
)
TALKS = (
    ("talk", "talk", "agree", "told", "told", "tick", "tick", "everyone", "event", "cut", "marker"),
    ("talk", "days", "days", "agree", "told", "tick", "cut", "link", "life", "opt", "late"),
    ("talk", "talk", "tick", "tick", "told", "cut", "marker", "marker", "foretell", "erase", "again"),
    ("talk", "streak", "agree", "tick", "told", "opt", "opt", "cut", "refund", "command"),
    ("talk", "talk", "told", "told", "told", "tick", "opt", "cut", "marker", "event"),
    ("talk", "talk", "talk", "link", "joined", "told", "agree"),
    ("talk", "talk", "talk", "told", "told", "marker"),
    STEPS,
)
FIRST = (0, *sorted(GAMES), *sorted(ANY), 20, 20, 20, 24, *[29] * 20)
PLAYED = (*PLAIN, *GAMES, *ANY)
FIRST_TALKING = (0, *sorted(TALKING), *[100, 101, 102, 103] * 6, *[104] * 12, *[108] * 4)
ZONES = ("Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati", "Mars/Base", None, 7)


def _details(r: Random) -> dict[str, Any]:
    choices: dict[str, tuple[Any, ...]] = {
        "on_time": (True, True, False, "yes", "no", 1, 0, None, "late"),
        "channel": ("ussd", "app", "", 5, None),
        "feature": ("a", "b", "c", "d", "e", "f", "g", 1, 1.0, 1.5, True, "", None, 2**70, 10**400),
        "kind": ("beta", "final", None, 3),
        "paid_from": ("balance", "card", 3),
        "consent": (True, "no", None),
        "_backfill": (True, False, 1),
    }
    some = [name for name in choices if r.random() < (0.05 if name == "_backfill" else 0.3)]
    return {name: r.choice(choices[name]) for name in some}


def game_logs() -> st.SearchStrategy[Log]:
    """Logs for hypothesis."""
    return st.randoms(use_true_random=False).map(game_log)


def campaign_logs() -> st.SearchStrategy[Log]:
    """Likewise, with campaigns."""
    return st.randoms(use_true_random=False).map(campaign_log)


def campaign_log(r: Random) -> Log:
    """A log of customers who are spoken to, most of whom agreed to that."""
    return _Writer(r, FIRST_TALKING, tuple(CONTENTS)).log(TALKS)


def game_log(r: Random) -> Log:
    """A log of one to four customers that play, by revisions that mostly have a game."""
    return _Writer(r).log()


class _Writer:
    """A log while it is written, step by step."""

    def __init__(
        self, r: Random, first: tuple[int, ...] = FIRST, revisions: tuple[int, ...] = PLAYED
    ) -> None:
        self.r, self.revisions = r, revisions
        self.customers = r.sample(CUSTOMERS, r.choice([1, 1, 2, 2, 3, 4]))
        self.clock = r.choice(STARTS)
        self.revision = r.choice(first)
        self.segments: list[list[bytes | None]] = [[marker(self.revision)] if self.revision else []]
        self.sent: list[bytes] = []
        self.paid: list[dict[str, Any]] = []

    def log(self, kinds: tuple[tuple[str, ...], ...] = KINDS) -> Log:
        steps = self.r.choice(kinds)
        if "talk" in steps:
            self.segments[-1] += [self._agrees(who, f"y{n}") for n, who in enumerate(self.customers)]
        for number in range(self.r.choice([2, 10, 30, 60])):
            gap = self.r.choice(GAPS) if self.r.random() < 0.9 else self.r.choice(LEAPS)
            self.clock = min(self.clock + gap, at("2098-01-01"))
            new = self._step(self.r.choice(steps), self.r.choice(self.customers), f"e{number}")
            self.segments[-1] += new
            self.sent += new
            self.paid += [
                each for each in map(json.loads, new) if UNIT_OF.get(each["event_type"]) == "currency"
            ]
        return Log(self.segments, twice=self.r.random() < 0.1, answered=self.r.random() < 0.5)

    def _step(self, step: str, who: str, name: str) -> list[bytes]:
        """The events of a step; what else it brings joins the log at once."""
        r, clock, put = self.r, self.clock, self.segments[-1].append
        match step:
            case "event" | "late":
                late = r.choice(LATE) if step == "late" or r.random() < 0.15 else 0
                source, amount = r.choice(["test", "test", "billing", "app", ""]), r.choice(AMOUNTS)
                return [event(who, r.choice(DOES), clock - late, amount, name, source, **_details(r))]
            case "streak":
                # One a day with a hole that comes later, or never.
                kind, days, hole = (
                    r.choice(["sms", "app_login", "voice_call"]),
                    r.randint(2, 9),
                    r.randint(0, 9),
                )
                daily = [event(who, kind, clock + n * DAY, 1, f"{name}.{n}") for n in range(days)]
                self.clock += (days - 1) * DAY
                return daily[:hole] + daily[hole + 1 :] + (daily[hole : hole + 1] if r.random() < 0.5 else [])
            case "days":
                # Some days of what one does.
                self.clock += 4 * DAY
                times = sorted(r.sample(range(0, 4 * DAY, HOUR), r.randint(4, 12)))
                kinds = r.sample(DOES, 3)
                return [
                    event(who, r.choice(kinds), clock + t, r.choice([1, 2, 12]), f"{name}.{t}", **_details(r))
                    for t in times
                ]
            case "burst":
                kind = r.choice(DOES)
                return [event(who, kind, clock + n, 3, f"{name}.{n}") for n in range(r.randint(2, 12))]
            case "monthly":
                kind = r.choice(["recharge", "payment", "sms"])
                self.clock += 16 * 31 * DAY
                return [event(who, kind, clock + n * 31 * DAY, 9, f"{name}.{n}") for n in range(16)]
            case "again" if self.sent:
                return [r.choice(self.sent)]
            case "refund" if self.paid:
                paid = r.choice(self.paid[-6:])
                refunds = paid["event_id"] if r.random() < 0.8 else r.choice(["other", name, 5, None])
                source = paid["source"] if r.random() < 0.9 else "billing"
                whom, amount = paid["customer_id"], r.choice(AMOUNTS)
                return [event(whom, "refund", clock, amount, name, source, refunds=refunds, **_details(r))]
            case "answer":
                self.segments.append([])
                kind = r.choice(["grant_fulfilled", "grant_failed"])
                return [event(who, kind, clock, 1, name, grant_id=_grant_id(r))]
            case "command":
                self.segments.append([])
                return [_command(r, who, name, clock)]
            case "segment":
                return [_command(r, "", name, clock)]
            case "foretell":
                # Late, soon, or once more as of the same time.
                when = clock + r.choice([0, 0, 0, -1, 1, DAY, -DAY, -3 * DAY, -HOUR])
                whom = who if r.random() < 0.95 else "nobody"
                return [stray(r, whom, when + n * r.choice([0, 1, -1]), f"{name}.{n}") for n in (0, 1)]
            case "predict":
                more = {} if r.random() < 0.7 else {"segment": r.choice(SEGMENTS)}
                return [ask("" if more else who, "predict", clock, name, **more)]
            case "talk":
                # What campaigns look at, at any hour.
                kind = r.choice(["sms", "voice_call", "app_login", "recharge", "payment"])
                when = clock - (r.choice(LATE) if r.random() < 0.15 else 0)
                details = _details(r) | ({"_backfill": True} if r.random() < 0.05 else {})
                return [event(who, kind, when, r.choice([1, 2, 12]), name, **details)]
            case "agree":
                return [self._agrees(who, name)]
            case "joined":
                # By one who wants to hear nothing.
                other = f"{name}.joins"
                return [
                    event(other, "opt_out", clock, 1, name),
                    event(other, "customer_link", clock, 1, f"{name}.to", to=who),
                ]
            case "told":
                if r.random() < 0.7:
                    self.segments.append([])
                kind = r.choice(["campaign_delivered", "campaign_converted", "campaign_converted"])
                return [event(who, kind, clock, 1, name, trigger_id=self._trigger_id(who))]
            case "opt":
                return [event(who, r.choice(["opt_out", "opt_in"]), clock, 1, name)]
            case "profile":
                fields = ("segment", "language", "tariff", "consent", "lifecycle_stage")
                changed = {
                    field: r.choice([*WORDS, "gold", "en", "t1", "yes"]) for field in r.sample(fields, 2)
                }
                born = {"birthday": r.choice(["01-01", "02-29", "1990-02-30", "12-31", "3-1"])}
                return [event(who, "profile_update", clock, 1, name, **changed, **born)]
            case "link":
                to = r.choice([*self.customers, *self.customers, "new", ""])
                return [event(who, "customer_link", clock, 1, name, to=to)]
            case "life":
                return [
                    event(
                        who,
                        r.choice(["customer_ended", "activation", "activation", "opt_in"]),
                        clock,
                        1,
                        name,
                    )
                ]
            case "erase":
                return [ask(who, "erase", clock, name)]
            case "tick" | "everyone":
                self.clock += r.choice([0, MINUTE, HOUR, DAY, 2 * DAY])
                put(tick(self.clock, everyone=step == "everyone"))
            case "marker":
                later = [each for each in self.revisions if each > self.revision]
                self.revision = r.choice(later[:9] or [1])
                put(marker(self.revision, clock))
            case "cut":
                self.segments.append([])
        return []

    def _agrees(self, who: str, name: str) -> bytes:
        r = self.r
        said: dict[str, Any] = {"consent": r.choice([True, True, True, True, "no", None])}
        if r.random() < 0.7:
            said["timezone"] = r.choice(ZONES)
        if r.random() < 0.5:
            said["language"] = r.choice(["en", "de", "t1", "fr", None])
        return event(who, "profile_update", self.clock, 1, name, **said)

    def _trigger_id(self, who: str) -> Any:
        """Mostly of a trigger told before, by the driver, or of one that may not be told yet."""
        r = self.r
        if r.random() < 0.5:
            return f"&{r.randint(0, 30)}&"
        if r.random() < 0.15:
            return r.choice(["", "xyz", "0" * 32, 7, None])
        numbers = [each.number for each in CONTENTS[self.revision].game.campaigns] or [1]
        return digest(
            who, "campaign", str(r.choice(numbers)), str(self.clock // DAY - r.choice([0, 0, 0, 1]))
        )


def _grant_id(r: Random) -> Any:
    """Mostly of a grant told before, by the driver."""
    return f"@{r.randint(0, 30)}@" if r.random() < 0.85 else r.choice(["", "xyz", "0" * 32, 7, None])


def _command(r: Random, who: str, name: str, when: int) -> bytes:
    """Any command; without `who` for a segment."""
    often = (
        "recalculate",
        "predict",
        "generate",
        "award",
        "adjust",
        "adjust",
        "redeem",
        "redeem",
        "repeat_grant",
    )
    command = r.choice(often) if r.random() < 0.85 else r.choice(["opt_in", "opt_out", "erase", "dance"])
    arguments: Any = {}
    if command in ("adjust", "redeem"):
        odd = (3_000_000_000, 2**32 - 1, 2**32, 2**63, 0, 2.5, 5.0, "5", None, True)
        points = r.choice([1, 5, 30, 100]) * (-1 if command == "adjust" and r.random() < 0.3 else 1)
        arguments = {"points": points if r.random() < 0.85 else r.choice(odd)}
    elif command == "repeat_grant":
        arguments = {"grant_id": _grant_id(r)}
    if r.random() < 0.05:
        arguments = r.choice([{}, None, [], "x"])
    more: dict[str, Any] = {} if who else {"segment": r.choice(SEGMENTS)}
    return ask(who, command, when, name if r.random() < 0.9 else "same", arguments, **more)


def ask(who: str, name: str, when: int | str, command_id: str, arguments: Any = None, **more: Any) -> bytes:
    """A command with arguments."""
    value = json.loads(event(who, "_command", when, 1, f"id-{command_id}", "commands"))
    value["attributes"] = {"command_id": command_id, "command": name, "arguments": arguments} | more
    return encode(value)


# A bigger log, seeded.


def playing(
    seed: int, customers: int, events: int, days: int, revisions: tuple[int, ...], start: str = "2023-10-20"
) -> list[list[bytes]]:
    """Segments of `events` records over `days`: late ones, repeats, refunds, answers, commands; a tick every
    six hours, a cut every day, the revisions one after the other.  The last record is a tick for everyone.
    """
    rng = np.random.default_rng(seed)
    begin = at(start)
    weights = rng.gamma(0.8, size=customers)
    who = rng.choice(customers, events, p=weights / weights.sum())
    arrives = np.sort(rng.integers(begin, begin + days * DAY, events))
    money: list[tuple[str, str]] = []
    talks = any(CONTENTS[revision].game.campaigns for revision in revisions)
    segments: list[list[bytes]] = [[marker(revisions[0])]]
    next_tick, used = begin + DAY // 4, 1
    for n in range(events):
        while arrives[n] >= next_tick:
            segments[-1].append(tick(next_tick))
            next_tick += DAY // 4
            if (next_tick - begin) % DAY == 0:
                segments.append([])
        if n >= used * events // len(revisions):
            segments[-1].append(marker(revisions[used], int(arrives[n])))
            used += 1
        customer, when, name = f"c{who[n]}", int(arrives[n]), f"r{n}"
        draw = rng.random()
        if draw < 0.93:
            new = _plays(rng, customer, when, name)
            if talks and n % 9 == 0:
                new = _talks(rng, customer, when, name)
            if UNIT_OF[json.loads(new)["event_type"]] == "currency":
                money.append((customer, name))
        elif draw < 0.945 and money:
            customer, refunds = money[-1 - int(rng.integers(min(len(money), 60)))]
            new = event(customer, "refund", when, 5, name, refunds=refunds)
        elif draw < 0.96:
            kind = ["grant_fulfilled", "grant_failed"][int(rng.integers(2))]
            new = event(customer, kind, when, 1, name, grant_id=f"@{int(rng.integers(5_000))}@")
        elif draw < 0.99:
            new = _asks(rng, customer, when, name)
        else:
            new = _lives(rng, customer, customers, when, name)
        segments[-1].append(new)
        if rng.random() < 0.02:
            segments[-1].append(new)
    segments[-1].append(tick(begin + (days + 1) * DAY, everyone=True))
    return segments


def _plays(rng: np.random.Generator, customer: str, when: int, name: str) -> bytes:
    kind = DOES[int(rng.integers(len(DOES)))]
    late = int(rng.exponential(3 * DAY)) if rng.random() < 0.05 else 0
    amount = round(float(rng.lognormal(1.5, 1.2)), 2) if UNIT_OF[kind] != "count" else 1
    more: dict[str, Any] = {}
    if kind == "payment":
        more["on_time"] = [True, True, False, None][int(rng.integers(4))]
    if kind == "feature_use":
        more["feature"] = "abcdefg"[int(rng.integers(7))]
    if kind == "profile_update":
        more = {
            "segment": ["gold", "new", None][int(rng.integers(3))],
            "birthday": f"{int(rng.integers(1, 13)):02}-29",
        }
    if rng.random() < 0.1:
        more["channel"] = "ussd"
    if rng.random() < 0.01:
        more["_backfill"] = True
    return event(
        customer, kind, when - late, amount, name, ["test", "billing", "app"][int(rng.integers(3))], **more
    )


def _talks(rng: np.random.Generator, customer: str, when: int, name: str) -> bytes:
    """Consent and zones, or an answer to a campaign."""
    if rng.random() < 0.5:
        zone = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", None][int(rng.integers(4))]
        language = ["en", "de", None][int(rng.integers(3))]
        consent = bool(rng.random() < 0.9)
        return event(
            customer, "profile_update", when, 1, name, consent=consent, timezone=zone, language=language
        )
    kind = ["campaign_delivered", "campaign_converted"][int(rng.integers(2))]
    return event(customer, kind, when, 1, name, trigger_id=f"&{int(rng.integers(5_000))}&")


def _asks(rng: np.random.Generator, customer: str, when: int, name: str) -> bytes:
    kinds = ("generate", "award", "recalculate", "adjust", "adjust", "redeem", "redeem", "repeat_grant")
    kind = kinds[int(rng.integers(len(kinds)))]
    arguments: dict[str, Any] = {
        "points": int(rng.integers(1, 60)) * (1 if rng.random() < 0.7 or kind == "redeem" else -1)
    }
    if kind == "repeat_grant":
        arguments = {"grant_id": f"@{int(rng.integers(5_000))}@"}
    if kind in ("generate", "award") and rng.random() < 0.05:
        return ask("", kind, when, name, segment="tenure_days >= 20 and missions_active < 4")
    return ask(customer, kind, when, name, arguments)


def _lives(rng: np.random.Generator, customer: str, customers: int, when: int, name: str) -> bytes:
    kinds = (
        "opt_out",
        "opt_in",
        "opt_in",
        "customer_ended",
        "activation",
        "activation",
        "customer_link",
        "erase",
        "predict",
        "predict",
    )
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind in ("erase", "predict"):
        return ask(customer, kind, when, name)
    return event(customer, kind, when, 1, name, to=f"c{int(rng.integers(customers))}")
