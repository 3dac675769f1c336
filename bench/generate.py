"""Seeded makers of call detail records and app events: the same arguments give the same records.

`cdrs` tells the story of given subscribers (the demo); `cdr_blocks` makes millions of flat 200-byte JSON
records for the benchmark.  Both come in order of event time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: cdr_type of a record -> event_type: the `event_types` of a source that reads these records.
EVENT_TYPES = {
    "VOICE": "voice_call",
    "SMS": "sms",
    "DATA": "data_session",
    "ROAM_VOICE": "roaming_call",
    "ROAM_DATA": "roaming_data",
    "APP_LOGIN": "app_login",
    "APP_FEATURE": "feature_use",
    "APP_CONTENT": "content_view",
    "APP_CARE": "self_care",
    "WEB_LOGIN": "web_login",
}
FEATURES = ("balance", "top_up", "bundles", "usage", "roaming", "chat", "missions")
CONTENTS = ("music", "football", "news", "series", "games")

# Shares of what a subscriber does on the network and in the app; roaming replaces the home network abroad.
_NETWORK = {"VOICE": 0.44, "SMS": 0.16, "DATA": 0.40}
_APP = {"APP_LOGIN": 0.42, "APP_FEATURE": 0.28, "APP_CONTENT": 0.18, "APP_CARE": 0.04, "WEB_LOGIN": 0.08}
_ABROAD = {"VOICE": "ROAM_VOICE", "DATA": "ROAM_DATA"}

# Traffic by hour of day and by day of week (Monday first), of any scale.
_HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 9, 10, 10, 9, 9, 10, 12, 14, 15, 15, 13, 9, 5], float)
_WEEK = np.array([1.0, 1.0, 1.0, 1.05, 1.2, 1.15, 0.9])

_HOUR, _DAY = 3600, 86_400


def cdrs(seed: int, customers: Sequence[str], n: int, days: int, start: datetime) -> Iterator[dict[str, Any]]:
    """`n` records of `customers` within `days` days from `start` (UTC), ordered by event_time.

    Some subscribers do much and some little, some live in the app and some never open it, one in eight falls
    silent in the second half, one in twenty spends a week abroad.  `usage` is seconds, messages or
    megabytes; app events have none.
    """
    random = np.random.default_rng(seed)
    count = len(customers)
    activity = random.lognormal(0.0, 0.9, count)
    in_app = random.beta(0.8, 1.6, count)
    silent_from = np.where(random.random(count) < 1 / 8, random.uniform(days / 2, days, count), days)
    abroad_from = np.where(random.random(count) < 1 / 20, random.uniform(0, days, count), np.inf)

    active = activity * silent_from
    who = random.choice(count, n, p=active / active.sum())
    weights = _WEEK[(start.weekday() + np.arange(days)) % 7]
    until = np.concatenate(([0.0], np.cumsum(weights)))
    # A subscriber's days are drawn up to the one on which silence falls.
    drawn = random.random(n) * np.interp(silent_from[who], np.arange(days + 1), until)
    day = np.minimum(np.searchsorted(until, drawn, "right") - 1, days - 1)
    hour = random.choice(24, n, p=_HOURS / _HOURS.sum())
    seconds = day * _DAY + hour * _HOUR + random.integers(0, _HOUR, n)
    order = np.lexsort((who, seconds))
    who, seconds = who[order], seconds[order]

    app = random.random(n) < in_app[who]
    network = _pick(random, _NETWORK, n)
    screen = _pick(random, _APP, n)
    away = (seconds / _DAY >= abroad_from[who]) & (seconds / _DAY < abroad_from[who] + 7)
    duration = np.ceil(random.lognormal(4.3, 1.0, n)).astype(int)
    volume = np.round(random.lognormal(2.6, 1.2, n), 3)
    cell = random.integers(1, 1000, n)
    feature = random.integers(0, len(FEATURES), n)
    content = random.integers(0, len(CONTENTS), n)

    times = np.datetime_as_string(np.datetime64(start.replace(tzinfo=None), "s") + seconds, "s")
    rows = zip(
        who.tolist(), times.tolist(), app.tolist(), network.tolist(), screen.tolist(), away.tolist(),
        duration.tolist(), volume.tolist(), cell.tolist(), feature.tolist(), content.tolist(), strict=True,
    )  # fmt: skip
    for number, (i, at, uses_app, cdr_type, seen, roams, long, much, where, what, view) in enumerate(rows, 1):
        kind = seen if uses_app else _ABROAD.get(cdr_type, cdr_type) if roams else cdr_type
        record: dict[str, Any] = {
            "event_id": f"{seed}-{number:08d}", "msisdn": customers[i], "cdr_type": kind,
            "event_time": f"{at}Z",
        }  # fmt: skip
        if uses_app:
            if kind == "APP_FEATURE":
                record["app"] = {"feature": FEATURES[what]}
            elif kind == "APP_CONTENT":
                record["app"] = {"content": CONTENTS[view]}
        else:
            record["usage"] = long if cdr_type == "VOICE" else 1 if cdr_type == "SMS" else much
            record["cell"] = f"cell-{where:04d}"
        yield record


def _pick(random: np.random.Generator, shares: dict[str, float], n: int) -> NDArray[np.str_]:
    return np.array(list(shares))[random.choice(len(shares), n, p=list(shares.values()))]


# One record of `cdr_blocks`; a run of one sign is filled with digits or letters of that width.
_TEMPLATE = (
    b'{"event_id":"##########","msisdn":"8801@@@@@@@@","cdr_type":%%%%%%%%%,"usage":^^^^^,'
    b'"event_time":"~~~~~~~~~~~~~~~~~~~Z","cell":"cell-&&&&&","imei_hash":"!!!!!!!!!!!!!!!!","rat":"LTE","route":"mo-001"}'
)
_KINDS = (b'"VOICE"', b'"SMS"', b'"DATA"')


def cdr_blocks(
    seed: int, customers: int, n: int, days: float, start: datetime, block: int = 100_000, number: int = 0
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """`n` JSON records of about 200 bytes of `customers` numbers, as (keys, values) of `block` records each.

    Event times rise evenly over `days` days; calls, SMS and data come as 4 : 2 : 4, a tenth of the customers
    makes about half of the records.  Keys are the numbers; event ids count from `number`.
    """
    random = np.random.default_rng(seed)
    template = np.frombuffer(_TEMPLATE, "u1")
    places = {sign: np.flatnonzero(template == ord(sign)) for sign in "#@%^~&!"}
    kinds = np.array([kind.ljust(len(places["%"])) for kind in _KINDS])
    base = np.datetime64(start.replace(tzinfo=None), "s")
    for first in range(0, n, block):
        size = min(block, n - first)
        place = np.arange(first, first + size)
        who = (customers * random.random(size) ** 3.3).astype(np.int64)
        kind = random.choice(3, size, p=(0.4, 0.2, 0.4))
        usage = np.where(kind == 1, 1, 1 + random.exponential(180.0, size).astype(np.int64)).clip(max=9_999)
        seconds = (place * (days * _DAY / n)).astype(np.int64)
        rows = np.tile(template, (size, 1))
        rows[:, places["#"]] = _digits(number + place, 10)
        rows[:, places["@"]] = _digits(who, 8)
        rows[:, places["%"]] = kinds[kind].view("u1").reshape(size, -1)
        rows[:, places["^"]] = _padded(usage, 5)
        rows[:, places["~"]] = _letters(np.datetime_as_string(base + seconds, "s"), 19)
        rows[:, places["&"]] = _digits(random.integers(0, 100_000, size), 5)
        rows[:, places["!"]] = _digits(who * 7_919 % 10**16, 16)
        keys = rows[:, places["@"][0] - 4 : places["@"][-1] + 1]
        yield _lines(keys), _lines(rows)


def _digits(numbers: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Decimal digits with leading zeros, shape (n, width)."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    return (numbers[:, None] // powers % 10 + ord("0")).astype("u1")


def _padded(numbers: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """The same with leading blanks, as JSON wants it."""
    digits = _digits(numbers, width)
    powers = 10 ** np.arange(width - 1, -1, -1)
    digits[numbers[:, None] < powers] = ord(" ")
    return digits


def _letters(words: NDArray[np.str_], width: int) -> NDArray[np.uint8]:
    """ASCII letters of words, shape (n, width)."""
    return words.astype(f"S{width}").view("u1").reshape(len(words), width)


def _lines(rows: NDArray[np.uint8]) -> list[bytes]:
    found: list[bytes] = np.ascontiguousarray(rows).view(f"S{rows.shape[1]}").ravel().tolist()
    return found
