"""Logs in which the game is played: hypothesis strategies and a seeded generator over the games of `games`.

Few customers do much: streaks with holes that late events fill, bursts, refunds, answers to grants, every
command, erasures, links with missions and lots, revisions that change under running missions.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.reference.model import UNIT_OF
from tests.reference.records import ANY, CONTENTS, GAMES, at, encode, event, marker, tick
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
    *["event"] * 9, "streak", "streak", "burst", "again", "refund", "refund", "answer", "command", "command",
    "segment", "opt", "profile", "link", "life", "monthly", "tick", "tick", "tick", "everyone", "marker",
    "cut", "cut",
)  # fmt: skip
# A log of few kinds of steps goes deeper into them.
KINDS = (
    STEPS,
    STEPS,
    ("event", "event", "streak", "tick", "everyone", "marker", "late"),
    ("event", "refund", "refund", "answer", "cut", "command", "tick", "again"),
    ("event", "streak", "link", "link", "cut", "life", "refund", "tick", "opt"),
    ("event", "event", "tick", "tick", "everyone", "cut"),
    ("command", "segment", "event", "tick", "cut", "opt", "life"),
    ("event", "command", "command", "monthly", "refund", "everyone", "answer"),
)
FIRST = (0, *sorted(GAMES), *sorted(ANY), 20, 20, 20, 24)


def details() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "on_time": st.sampled_from([True, True, False, "yes", "no", 1, 0, None, "late"]),
            "channel": st.sampled_from(["ussd", "app", "", 5, None]),
            "feature": st.sampled_from(["a", "b", "c", "d", "e", "f", "g", 1, 1.0, True, "", None, 2**70]),
            "kind": st.sampled_from(["beta", "final", None, 3]),
            "paid_from": st.sampled_from(["balance", "card", 3]),
            "consent": st.sampled_from([True, "no", None]),
            "_backfill": st.sampled_from([True, False, True, 1]),
        },
    )


@st.composite
def game_logs(draw: st.DrawFn, max_size: int = 50) -> Log:
    """Logs of one to four customers that play, by all revisions but mostly those with a game."""
    customers = draw(
        st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=4, unique=True), label="customers"
    )
    clock = draw(st.sampled_from(STARTS), label="start")
    revision = draw(st.sampled_from(FIRST), label="first revision")
    segments: list[list[bytes | None]] = [[marker(revision)] if revision else []]
    sent: list[bytes] = []
    steps = st.sampled_from(draw(st.sampled_from(KINDS), label="kind of log"))
    least = draw(st.sampled_from([1, max_size // 4, max_size // 2]))
    for number, step in enumerate(draw(st.lists(steps, min_size=least, max_size=max_size), label="steps")):
        who = draw(st.sampled_from(customers))
        clock = min(
            clock + draw(st.sampled_from(GAPS if draw(st.integers(0, 7)) else LEAPS)), at("2099-06-30")
        )
        name = f"e{number}"
        new: list[bytes] = []
        match step:
            case "event" | "late":
                late = draw(st.sampled_from(LATE)) if step == "late" or not draw(st.integers(0, 4)) else 0
                kind = draw(st.sampled_from(DOES))
                source = draw(st.sampled_from(["test", "test", "billing", "app", ""]))
                amount = draw(st.sampled_from(AMOUNTS))
                new = [event(who, kind, clock - late, amount, name, source, **draw(details()))]
            case "streak":
                # One a day with a hole that comes later, or never.
                kind = draw(st.sampled_from(["sms", "app_login", "voice_call"]))
                days, hole = draw(st.integers(2, 9)), draw(st.integers(0, 9))
                daily = [event(who, kind, clock + n * DAY, 1, f"{name}.{n}") for n in range(days)]
                filled = draw(st.booleans())
                new = daily[:hole] + daily[hole + 1 :] + (daily[hole : hole + 1] if filled else [])
                clock += (days - 1) * DAY
            case "burst":
                kind = draw(st.sampled_from(DOES))
                new = [event(who, kind, clock + n, 3, f"{name}.{n}") for n in range(draw(st.integers(2, 12)))]
            case "monthly":
                kind = draw(st.sampled_from(["recharge", "payment", "sms"]))
                new = [event(who, kind, clock + n * 31 * DAY, 9, f"{name}.{n}") for n in range(16)]
                clock += 16 * 31 * DAY
            case "again" if sent:
                new = [draw(st.sampled_from(sent))]
            case "refund":
                paid = [each for each in map(json.loads, sent) if UNIT_OF[each["event_type"]] == "currency"]
                of = draw(st.sampled_from(paid or [json.loads(event(who, "sms", clock))]))
                refunds = draw(st.sampled_from([*[of["event_id"]] * 6, "other", name, 5, None]))
                source = draw(st.sampled_from([*[of["source"]] * 5, "billing"]))
                amount, whom = draw(st.sampled_from(AMOUNTS)), of["customer_id"]
                new = [event(whom, "refund", clock, amount, name, source, refunds=refunds, **draw(details()))]
            case "answer":
                segments.append([])
                kind = draw(st.sampled_from(["grant_fulfilled", "grant_failed"]))
                new = [event(who, kind, clock, 1, name, grant_id=draw(grant_ids()))]
            case "command":
                segments.append([])
                segments[-1].append(draw(commands(who, name, clock)))
            case "segment":
                segments[-1].append(draw(commands("", name, clock)))
            case "opt":
                new = [event(who, draw(st.sampled_from(["opt_out", "opt_in"])), clock, 1, name)]
            case "profile":
                fields = st.sampled_from(["segment", "language", "tariff", "consent", "lifecycle_stage"])
                words = st.sampled_from([*WORDS, "gold", "en", "t1", "yes"])
                changed = draw(st.dictionaries(fields, words, max_size=4))
                born = {"birthday": draw(st.sampled_from(["01-01", "02-29", "1990-02-30", "12-31", "3-1"]))}
                new = [event(who, "profile_update", clock, 1, name, **changed, **born)]
            case "link":
                to = draw(st.sampled_from([*customers, *customers, "new", ""]))
                new = [event(who, "customer_link", clock, 1, name, to=to)]
            case "life":
                kind = draw(st.sampled_from(["customer_ended", "activation", "activation", "opt_in"]))
                new = [event(who, kind, clock, 1, name)]
            case "tick" | "everyone":
                clock += draw(st.sampled_from([0, MINUTE, HOUR, DAY, 2 * DAY]))
                segments[-1].append(tick(clock, everyone=step == "everyone"))
            case "marker":
                later = [each for each in CONTENTS if each > revision]
                revision = draw(st.sampled_from(later[:9] or [1]))
                segments[-1].append(marker(revision, clock))
            case "cut":
                segments.append([])
        segments[-1] += new
        sent += new
    return Log(segments, twice=draw(st.integers(0, 6)) == 0)


def grant_ids() -> st.SearchStrategy[Any]:
    """Those of grants told before, by the driver; and others."""
    told = st.integers(0, 30).map(lambda n: f"@{n}@")
    return st.one_of(told, told, told, st.sampled_from(["", "xyz", "0" * 32, 7, None]))


@st.composite
def commands(draw: st.DrawFn, who: str, name: str, when: int) -> bytes:
    """Any command; without `who` for a segment."""
    kinds = (
        "recalculate",
        "generate",
        "generate",
        "award",
        "award",
        "adjust",
        "adjust",
        "adjust",
        "redeem",
        "redeem",
    )
    rare = ("predict", "repeat_grant", "opt_in", "opt_out", "erase", "dance")
    command = draw(st.sampled_from([*kinds, *kinds, *rare, "repeat_grant", "erase"]))
    points = st.sampled_from(
        [
            1,
            5,
            30,
            100,
            1,
            5,
            -1,
            -7,
            -40,
            3_000_000_000,
            2**32 - 1,
            2**32,
            0,
            2.5,
            5.0,
            "5",
            None,
            True,
        ]
    )
    arguments: Any = {}
    if command in ("adjust", "redeem"):
        arguments = {"points": draw(points)}
    elif command == "repeat_grant":
        arguments = {"grant_id": draw(grant_ids())}
    if not draw(st.integers(0, 15)):
        arguments = draw(st.sampled_from([{}, None, [], "x"]))
    more: dict[str, Any] = {} if who else {"segment": draw(st.sampled_from(SEGMENTS))}
    return ask(who or "", command, when, draw(st.sampled_from([name, name, name, "same"])), arguments, **more)


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
    )
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind == "erase":
        return ask(customer, kind, when, name)
    return event(customer, kind, when, 1, name, to=f"c{int(rng.integers(customers))}")
