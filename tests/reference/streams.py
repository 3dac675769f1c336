"""Logs of one partition to try a fold on: hypothesis strategies, a seeded generator, and the driver.

A log is cut into segments; between two of them the records that the fold forwarded come back, as they would
through Kafka, so that chains of links run their course.  Everything is bytes, as on the wire, but for what
the reference forwards (its rows are dicts).  Asks for predictions may be answered by the driver, as the
worker would: some records later.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Any, Protocol

import numpy as np
from hypothesis import strategies as st

from config.topics import CAMPAIGN_TRIGGERS, REWARD_GRANTS
from tests.reference.answers import answers, stray, unreadable
from tests.reference.model import DAY_MS, UNIT_OF, hash64, iso
from tests.reference.records import PLAIN, at, command, encode, event, marker, tick

Value = bytes | dict[str, Any] | None
MINUTE, HOUR, DAY = 60_000, 3_600_000, DAY_MS
ROUNDS = 50  # a chain of links is at most as long as there are customers
PIECES = (3, 1, 17, 40, 5, 2, 11, 300)  # records between answers


class Fold(Protocol):
    """What the driver needs of a fold: (offset, value) in, effects out; forwards and asks pile up."""

    forwards: list[dict[str, Any]]
    asks: list[dict[str, Any]]

    def fold(self, records: Sequence[tuple[int, Value]]) -> list[dict[str, Any]]: ...


def run_log(
    fold: Fold, segments: Iterable[Sequence[Value]], twice: bool = False, answered: bool = False
) -> list[dict[str, Any]]:
    """Fold a log, each segment after what the ones before it forwarded, until nothing is; all effects.

    `twice`: every forwarded record comes back twice.  `answered`: segments are cut into pieces, and asks are
    answered among the records of later ones.  `@7@` in a record is the id of the seventh grant told its
    customer (else anybody) before its segment, counted round; `&7&` that of its seventh trigger.
    """
    effects: list[dict[str, Any]] = []
    offset = fed = rounds = asked = piece = 0
    waiting = [list(segment) for segment in segments]
    if answered:
        waiting = _cut(waiting)
    coming: defaultdict[int, list[bytes]] = defaultdict(list)  # piece -> answers
    while waiting or coming or fed < len(fold.forwards):
        rounds += not waiting
        if rounds > ROUNDS:
            raise AssertionError(f"forwards never end: {fold.forwards[fed:][:3]}")
        back: list[Value] = [forward["value"] for forward in fold.forwards[fed:] for _ in range(1 + twice)]
        fed = len(fold.forwards)
        values = back + [_with_id(value, effects) for value in (waiting.pop(0) if waiting else [])]
        answered_now = coming.pop(piece, [])
        places = sorted(hash64(answer) % (len(values) + 1) for answer in answered_now)
        for place, answer in reversed(list(zip(places, answered_now, strict=True))):
            values.insert(place, answer)
        effects += fold.fold(list(enumerate(values, offset)))
        offset += len(values)
        piece += 1
        for ask in fold.asks[asked:] if answered else []:
            for later, answer in answers(ask):
                coming[piece + later] += [answer] * (1 + twice)
        asked = len(fold.asks)
    return effects


def _cut(segments: list[list[Value]]) -> list[list[Value]]:
    pieces, sizes = [], cycle(PIECES)
    for segment in segments:
        rest = segment
        while rest:
            size = next(sizes)
            pieces.append(rest[:size])
            rest = rest[size:]
    return pieces


def _with_id(value: Value, effects: list[dict[str, Any]]) -> Value:
    found = re.search(rb"([@&])([0-9]+)\1", value) if isinstance(value, bytes) else None
    if not found or not isinstance(value, bytes):
        return value
    grants = found[1] == b"@"
    told = [each for each in effects if each["topic"] == (REWARD_GRANTS if grants else CAMPAIGN_TRIGGERS)]
    own = [each for each in told if each["key"] == json.loads(value)["customer_id"]]
    ids = list(dict.fromkeys(each["value"]["grant_id" if grants else "trigger_id"] for each in own or told))
    grant_id = ids[int(found[2]) % len(ids)] if ids else "0" * 32
    return value.replace(found[0], grant_id.encode())


def plain_forwards(
    forwards: Iterable[dict[str, Any]], decode_row: Callable[[str], dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Forwards for comparison: values as plain data, a carried row decoded, its days and codes integers."""
    plain = []
    for forward in forwards:
        value = forward["value"]
        value = json.loads(value) if isinstance(value, bytes) else dict(value)
        row = value["attributes"].get("row") if value["event_type"] == "_merge" else None
        if isinstance(row, str) and decode_row is not None:
            row = decode_row(row)
        if isinstance(row, dict):
            rings = {ring: {int(d): v for d, v in cells.items()} for ring, cells in row["rings"].items()}
            types = {int(code): times for code, times in row["types"].items()}
            value["attributes"] = value["attributes"] | {"row": row | {"rings": rings, "types": types}}
        plain.append({"topic": forward["topic"], "key": forward["key"], "value": value})
    return plain


# Strategies.

CUSTOMERS = (
    "a",
    "b",
    "27820001111",
    "ключ",
    "客户",
    "😀",
    "é",
    "e\u0301",
    'q"\\ \t',
    "x" * 100,
    "\uffff",
    "0",
)
STARTS = tuple(
    at(text)
    for text in (
        "2020-01-01", "2020-03-28T22:30", "2020-10-24T22:59:59.999", "2024-02-28T12:00",
        "2019-12-31T23:59:59.999", "2021-03-13T20:00", "2021-11-06T23:00", "1971-06-01", "2097-03-29T00:30",
    )
)  # fmt: skip
GAPS = (
    0,
    0,
    0,
    1,
    1_000,
    MINUTE,
    MINUTE,
    HOUR,
    HOUR,
    5 * HOUR,
    12 * HOUR,
    DAY - 1,
    DAY,
    DAY + 1,
    2 * DAY,
    6 * DAY,
)
LEAPS = (7 * DAY, 8 * DAY, 29 * DAY, 30 * DAY, 60 * DAY, 89 * DAY, 90 * DAY, 91 * DAY, 230 * DAY, 400 * DAY)
LATE = (
    0, 0, 0, 0, 0, 1, MINUTE, 10 * MINUTE, HOUR, 23 * HOUR, DAY, 6 * DAY, 8 * DAY, 28 * DAY, 29 * DAY,
    30 * DAY, 31 * DAY, 59 * DAY, 60 * DAY, 88 * DAY, 89 * DAY, 90 * DAY, 91 * DAY, 120 * DAY,
)  # fmt: skip
AGAIN = (
    0,
    0,
    MINUTE,
    6 * DAY,
    7 * DAY - 1,
    7 * DAY,
    7 * DAY + 1,
    8 * DAY,
    89 * DAY,
    90 * DAY,
    90 * DAY + 1,
    91 * DAY,
)
VALUES = (
    0, 1, 1, 2, 5, 10, 60, 0.5, 1.5, 2.5, 3.5, -0.5, -1, -5.25, 0.005, 0.015, 0.025, 1.005, 2.675, 0.0005,
    0.0015, 1e-9, -0.0, 0.00048828125, 0.00146484375, 254, 255, 256, 300, 65_534, 65_535, 65_536, 100_000,
    4_194_303.999, 4_194_304, 21_474_836.47, 21_474_836.48, -21_474_836.49, 2**31, 2**53 + 1, 1e12, 1e15,
    -1e15, 1e16, 1e300, -1e300, 123456.789, 10**30,
)  # fmt: skip
WORDS: tuple[Any, ...] = (
    None, "", "gold", "Gold", "öl", "0", 0, 7, -3, 2**63 - 1, 2**63, 1.5, 1.0, True, False, [], ["gold"],
    {}, "x" * 300, "yes", "NO", "TRUE", "ＴＲＵＥ", "\u212a", 1, " ", "1990-02-30", "1990-13-01", "02-29",
    "2000-00-10", "2000-01-32", "2-29", "1990-02-03\n", "١٢-١٢", "12-31",
)  # fmt: skip
FIELDS = ("segment", "lifecycle_stage", "language", "timezone", "tariff", "consent", "birthday", "other")
FREQUENT = (
    "voice_call", "sms", "data_session", "recharge", "purchase", "payment", "refund", "app_login",
    "feature_use",
)  # fmt: skip

GOOD = event("a", "voice_call", "2020-01-01")


def broken() -> list[bytes | None]:
    """Records of every kind that is a dead letter."""
    good = json.loads(GOOD)
    changes: list[dict[str, Any]] = [
        {"event_type": "teleport"}, {"event_type": "_other"}, {"event_type": None}, {"customer_id": ""},
        {"customer_id": "a\x00b"}, {"customer_id": None}, {"customer_id": 5}, {"source": None},
        {"event_id": 7}, {"value": "5"}, {"value": True}, {"value": None}, {"value": 10**400},
        {"attributes": None}, {"attributes": []}, {"attributes": "x"}, {"received_at": None},
        {"occurred_at": None}, {"occurred_at": "2020-01-01"}, {"occurred_at": "2020-01-01T00:00:00Z"},
        {"occurred_at": "2020-01-01T00:00:00.000"}, {"occurred_at": "2020-01-01T00:00:00.000+00:00"},
        {"occurred_at": "2020-01-01T00:00:00.000000Z"}, {"occurred_at": "2020-01-01 00:00:00.000Z"},
        {"occurred_at": "2020-02-30T00:00:00.000Z"}, {"occurred_at": "2021-02-29T00:00:00.000Z"},
        {"occurred_at": "2020-01-01T24:00:00.000Z"}, {"occurred_at": "2020-01-01T00:60:00.000Z"},
        {"occurred_at": "2020-01-01T00:00:60.000Z"}, {"occurred_at": "2020-00-01T00:00:00.000Z"},
        {"occurred_at": "2020-01-00T00:00:00.000Z"}, {"occurred_at": "2020-13-01T00:00:00.000Z"},
        {"occurred_at": "1970-12-31T23:59:59.999Z"}, {"occurred_at": "2100-01-01T00:00:00.000Z"},
        {"occurred_at": "２０２０-01-01T00:00:00.000Z"}, {"occurred_at": 1577836800000},
        {"event_type": "_tick"}, {"event_type": "_tick", "attributes": {"at": "now"}},
        {"event_type": "_marker"}, {"event_type": "_marker", "attributes": {"revision": "1"}},
        {"event_type": "_marker", "attributes": {"revision": 1.0}},
        {"event_type": "_marker", "attributes": {"revision": True}},
        {"event_type": "_command"}, {"event_type": "_command", "attributes": {"command_id": 5}},
        {"event_type": "_merge"}, {"event_type": "_merge", "attributes": {"row": "!"}},
        {"event_type": "_merge", "attributes": {"row": 5}},
        {"event_type": "_command", "customer_id": "\x00", "attributes": {"command_id": "x"}},
        {"event_type": "teleport", "value": "5"},
    ]  # fmt: skip
    needed = [name for name in good if name != "attributes"]
    lacking = [{name: value for name, value in good.items() if name != gone} for gone in needed]
    numbers = (b"NaN", b"Infinity", b"1e999", b"01")
    names = (b'"\\ud800"', b'"\xed\xa0\x80"', b'"\n"', b"'a'")
    return [
        None, b"", b"null", b"[]", b"{}", b"5", b"{", b"\xff\xfe", b"\xef\xbb\xbf" + GOOD, GOOD[:-1],
        GOOD + b"}", GOOD.decode().encode("utf-16"),
        *(GOOD.replace(b'"value": 1', b'"value": ' + number) for number in numbers),
        *(GOOD.replace(b'"a"', name) for name in names),
        *(encode(record) for record in lacking),
        *(encode(good | change) for change in changes),
        *unreadable(),
    ]  # fmt: skip


def odd() -> list[bytes]:
    """Records that look like dead letters and are none."""
    good = json.loads(GOOD)
    changes: list[dict[str, Any]] = [
        {"more": 1}, {"event_id": ""}, {"source": ""}, {"received_at": "whenever"},
        {"occurred_at": "1971-01-01T00:00:00.000Z"}, {"occurred_at": "2020-02-29T23:59:59.999Z"},
        {"event_id": "\x00"}, {"event_id": "\x7f\u2028"},
    ]  # fmt: skip
    return [
        b" \n" + GOOD + b"\n ", GOOD.replace(b'"a"', b'"\\u0061"'), GOOD.replace(b', "attributes": {}', b""),
        *(encode(good | change) for change in changes),
    ]  # fmt: skip


@dataclass(frozen=True)
class Log:
    """One partition's log: segments of record values; `twice` and `answered` as `run_log` has them."""

    segments: list[list[bytes | None]]
    twice: bool = False
    answered: bool = False

    def run(self, fold: Fold) -> list[dict[str, Any]]:
        return run_log(fold, self.segments, self.twice, self.answered)

    @property
    def records(self) -> list[bytes | None]:
        return [value for segment in self.segments for value in segment]


# What may happen, each as often as it stands here.
STEPS = (
    *["usage"] * 6, *["event"] * 5, *["again"] * 3, "burst", "profile", "tick", "tick", "everyone",
    "marker", "command", "foretell", "foretell", "link", "end", "broken", "cut",
)  # fmt: skip
LINKS = (
    "usage",
    "event",
    "profile",
    "again",
    "link",
    "link",
    "link",
    "cut",
    "cut",
    "tick",
    "command",
    "end",
    "foretell",
)
TIMES = ("usage", "usage", "event", "again", "tick", "everyone", "marker", "marker", "command", "foretell")


@st.composite
def logs(draw: st.DrawFn, max_size: int = 60) -> Log:
    """Logs of one to six customers with everything that can happen, under the revisions of PLAIN."""
    customers = draw(
        st.lists(st.sampled_from(CUSTOMERS), min_size=1, max_size=6, unique=True), label="customers"
    )
    clock = draw(st.sampled_from(STARTS), label="start")
    segments: list[list[bytes | None]] = [[]]
    sent: list[bytes] = []
    what = st.sampled_from(draw(st.sampled_from([STEPS, STEPS, LINKS, TIMES]), label="kind of log"))
    # hypothesis keeps lists short unless told their least size
    least = draw(st.sampled_from([1, max_size // 8, max_size // 2]))
    for number, step in enumerate(draw(st.lists(what, min_size=least, max_size=max_size), label="steps")):
        customer = draw(st.sampled_from(customers))
        clock += draw(st.sampled_from(GAPS if draw(st.integers(0, 5)) else LEAPS))
        clock = min(clock, at("2099-12-31"))
        when = max(clock - draw(st.sampled_from(LATE)), at("1971-01-01"))
        put = segments[-1].append
        new: list[bytes] = []
        if step == "usage":
            new = [event(customer, draw(st.sampled_from(FREQUENT)), when, draw(values()), f"e{number}")]
        elif step == "event":
            kind = draw(st.sampled_from(sorted(UNIT_OF)))
            details, source = draw(attributes()), draw(sources())
            new = [event(customer, kind, when, draw(values()), f"e{number}", source, **details)]
        elif step == "burst":
            kind = draw(st.sampled_from(["sms", "app_login", "web_login", "voice_call"]))
            each = draw(values())
            new = [event(customer, kind, when + n, each, f"e{number}.{n}") for n in range(40)]
        elif step == "again" and sent:
            # The same record, or the same id in another; at once, or when the row has moved on.
            same = json.loads(draw(st.sampled_from(sent)))
            clock += draw(st.sampled_from(AGAIN))
            if draw(st.booleans()):
                put(tick(clock, everyone=True))
            if draw(st.booleans()):
                same["occurred_at"] = iso(clock)
            if draw(st.integers(0, 4)) == 0:
                same["event_type"] = draw(st.sampled_from(sorted(UNIT_OF)))
            new = [encode(same)]
        elif step == "profile":
            changed = draw(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(WORDS), max_size=8))
            kind = draw(st.sampled_from(["profile_update"] * 4 + ["opt_in", "opt_out", "activation"]))
            new = [event(customer, kind, when, 1, f"e{number}", **changed)]
        elif step in ("tick", "everyone"):
            clock += draw(st.sampled_from([0, MINUTE, HOUR, DAY, 40 * DAY]))
            put(tick(draw(st.sampled_from([clock, clock, when])), everyone=step == "everyone"))
        elif step == "marker":
            put(marker(draw(st.sampled_from(sorted(PLAIN))), clock))
        elif step == "foretell":
            whom = draw(st.sampled_from([customer] * 5 + ["nobody"]))
            new = [stray(Random(draw(st.integers(0, 10**6))), whom, when, f"e{number}")]
        elif step == "command":
            new = [draw(commands(customer, number, when))]
        elif step == "link":
            to = draw(st.sampled_from([*customers, *customers, *customers, "new", "", None, 5, "\x00"]))
            new = [event(customer, "customer_link", when, 1, f"e{number}", to=to)]
        elif step == "end":
            kind = draw(st.sampled_from(["customer_ended", "customer_ended", "activation"]))
            new = [event(customer, kind, when, 1, f"e{number}")]
        elif step == "broken":
            put(draw(st.sampled_from([*broken(), *odd()])))
        elif step == "cut":
            segments.append([])
        for value in new:
            put(value)
        sent += new
    return Log(segments, twice=draw(st.integers(0, 4)) == 0, answered=draw(st.booleans()))


def values() -> st.SearchStrategy[float]:
    return st.one_of(
        st.sampled_from(VALUES),
        st.integers(0, 400),
        st.floats(-1e6, 1e6),
        st.integers(-300, 10**6).map(lambda n: n / 2_048),
    )


def sources() -> st.SearchStrategy[str]:
    return st.sampled_from(["test", "test", "billing", "", "ü"])


def attributes() -> st.SearchStrategy[dict[str, Any]]:
    truths = [
        True,
        False,
        1,
        0,
        1.0,
        "yes",
        "No",
        "TRUE",
        "false",
        "1",
        "0",
        "maybe",
        "",
        None,
        2,
        [],
        "ｎｏ",
        "ſ",
    ]
    return st.fixed_dictionaries(
        {},
        optional={
            "on_time": st.sampled_from(truths),
            "paid_from": st.sampled_from(["balance", "balance", "card", None, 1, ""]),
            "_backfill": st.booleans(),
            "_path": st.sampled_from([[], ["a"], list(CUSTOMERS), "a", None, [1], {"a": 1}]),
            "feature": st.sampled_from(["x", {"deep": [1, 2.5, None, {"a": "ü"}]}]),
            "to": st.sampled_from(["a", "b", "ключ"]),
        },
    )


@st.composite
def commands(draw: st.DrawFn, customer: str, number: int, when: int) -> bytes:
    name: Any = draw(st.sampled_from(["recalculate"] * 6 + ["predict"] * 3 + ["award", "", None, 5]))
    whom = draw(st.sampled_from([customer, customer, customer, "nobody", ""]))
    segment: dict[str, Any] = draw(
        st.sampled_from([{}, *[{"segment": to} for to in ("all", "all", "gold", None)]])
    )
    command_id = draw(st.sampled_from([f"c{number}", "c", "ç"]))
    return command(whom, when, command_id, name, **segment)


# A bigger log, seeded.


def realistic(seed: int, customers: int, events: int, days: int, start: str = "2023-09-20") -> list[bytes]:
    """`events` records of `customers` over `days` in order of arrival: late ones, repeats, a tick a day.

    The last record is a tick for everyone.
    """
    rng = np.random.default_rng(seed)
    types = {
        "voice_call": 0.30, "data_session": 0.25, "sms": 0.12, "app_login": 0.08, "feature_use": 0.05,
        "content_view": 0.03, "web_login": 0.02, "recharge": 0.05, "bundle_purchase": 0.03, "payment": 0.02,
        "refund": 0.003, "roaming_call": 0.007, "roaming_data": 0.005, "qoe_degradation": 0.01,
        "complaint": 0.005, "profile_update": 0.01, "activation": 0.004, "customer_link": 0.001,
        "customer_ended": 0.001, "opt_out": 0.004,
    }  # fmt: skip
    names = list(types)
    kinds = rng.choice(len(names), events, p=np.array(list(types.values())) / sum(types.values()))
    liveliness = rng.gamma(0.7, size=customers)
    who = rng.choice(customers, events, p=liveliness / liveliness.sum())
    begin = at(start)
    arrives = np.sort(rng.integers(begin, begin + days * DAY, events))
    kind_of_late = rng.random(events)
    late = rng.exponential(np.where(kind_of_late < 0.01, 25 * DAY, np.where(kind_of_late < 0.1, DAY, 20_000)))
    happened = np.maximum(arrives - late.astype(np.int64), begin - 120 * DAY)
    amounts = np.round(rng.lognormal(1.5, 1.2, events), 3)
    records: list[bytes] = []
    next_tick = begin + DAY
    for n in range(events):
        while arrives[n] >= next_tick:
            records.append(tick(next_tick))
            next_tick += DAY
        kind, customer = names[kinds[n]], f"2782{who[n]:07}"
        unit = UNIT_OF[kind]
        value = float(amounts[n]) if unit in ("megabytes", "currency") else 1
        if unit == "seconds":
            value = int(amounts[n] * 20)
        records.append(
            event(customer, kind, int(happened[n]), value, f"r{n}", **_details(rng, kind, customers))
        )
        if rng.random() < 0.02:
            records.append(records[-1 - int(rng.integers(0, min(50, len(records))))])
    return [*records, tick(begin + (days + 1) * DAY, everyone=True)]


def _details(rng: np.random.Generator, kind: str, customers: int) -> dict[str, Any]:
    def pick(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    if kind == "payment":
        return {"on_time": pick(True, True, True, False, "yes", "no")}
    if kind == "bundle_purchase":
        return {"paid_from": pick("balance", "card")}
    if kind == "customer_link":
        return {"to": f"2782{int(rng.integers(customers)):07}"}
    if kind == "profile_update":
        return {
            "segment": pick("gold", "silver", None),
            "tariff": pick("t1", "t2", 3),
            "consent": pick(True, "no"),
        }
    return {}
