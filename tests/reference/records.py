"""Records and catalog content by hand, for logs that one can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from loyalty.content import (
    COMPONENTS,
    Component,
    Decisions,
    Predictions,
    ScoringPolicy,
    currency_decimals,
)
from loyalty.game import Game
from tests.reference import games
from tests.reference.campaigns_any import (
    BOTH,
    PAST,
    QUIET,
    REFRESHING,
    RETOLD,
    SLEEPING,
    TALK,
    talking,
)
from tests.reference.games_any import any_game
from tests.reference.model import iso, parse_time

# Records by hand.


def at(text: str) -> int:
    """`2020-01-01`, `2020-01-01T10:00` or the full form, as milliseconds."""
    return parse_time(text + "0000-01-01T00:00:00.000Z"[len(text) :])


def event(
    customer_id: str, event_type: str, when: int | str, value: float = 1, event_id: str | None = None,
    source: str = "test", **attributes: Any,
) -> bytes:  # fmt: skip
    """One record of customer-events.  Without an event_id it gets one made of the rest."""
    ms = at(when) if isinstance(when, str) else when
    if event_id is None:
        event_id = f"{event_type}-{ms}-{value}-{json.dumps(attributes)}"
    return encode(
        {
            "event_id": event_id,
            "customer_id": customer_id,
            "event_type": event_type,
            "source": source,
            "value": value,
            "occurred_at": iso(ms),
            "received_at": iso(ms + 1_000),
            "attributes": attributes,
        }
    )


def tick(when: int | str, everyone: bool = False) -> bytes:
    ms = at(when) if isinstance(when, str) else when
    return event("", "_tick", ms, source="khaywe", at=iso(ms), everyone=everyone)


def marker(revision: int, when: int | str = "2020-01-01") -> bytes:
    return event("", "_marker", when, source="khaywe", revision=revision)


def command(
    customer_id: str, when: int | str = "2020-01-01", command_id: str = "c1", name: str = "recalculate",
    **attributes: Any,
) -> bytes:  # fmt: skip
    return event(
        customer_id, "_command", when, event_id=f"id-{command_id}", source="commands", command_id=command_id,
        command=name, arguments={}, **attributes,
    )  # fmt: skip


def encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


# Catalog content.


class Content(NamedTuple):
    """What a revision means for the fold."""

    decisions: Decisions
    policy: ScoringPolicy
    game: Game = Game()
    predictions: Predictions = Predictions()


ASKED = Predictions()
NEVER = Predictions(enabled=False)
OFTEN = Predictions(step=0.01, hours=1)
ALWAYS = Predictions(step=100, hours=0)
BY_STEP = Predictions(step=1.1, hours=10_000)  # 1.1 x 100 is a little more than 110 in float64


def _content(
    timezone: str, currency: str, game: Game = games.NONE, decide: Mapping[str, Any] | None = None,
    asked: Predictions = ASKED, **policy: Any,
) -> Content:  # fmt: skip
    """`decide`: fields of the decisions besides timezone and currency; `policy`: of the scoring policy."""
    decisions = Decisions(
        timezone=timezone, currency=currency, currency_decimals=currency_decimals(currency), **decide or {}
    )
    changed = ScoringPolicy(**policy)
    changed.validate()
    return Content(decisions, changed, game, asked)


def _odd_scores() -> dict[str, dict[str, Component]]:
    """Weights and measures at which nothing is round."""
    return {
        score: {
            name: Component(weight=99.9 / len(names) / (1 + n), full_at=0.7 + 7.3 * n)
            for n, name in enumerate(names)
        }
        for score, names in COMPONENTS.items()
    }


# Revision -> content without a game: days and currencies of many kinds, policies of some.
PLAIN: dict[int, Content] = {
    0: Content(Decisions(), ScoringPolicy(), predictions=NEVER),
    1: _content("Europe/Berlin", "EUR", publish_step=0.01),
    2: _content("Asia/Kathmandu", "NPR", asked=OFTEN, scores=_odd_scores(), bands=[]),
    3: _content(
        "America/New_York", "USD", asked=BY_STEP, publish_step=7.3, bands=[0.5, 10.0, 33.3, 50.0, 99.99]
    ),
    4: _content(
        "Pacific/Kiritimati", "KWD", asked=ALWAYS, revenue_types=["invoice", "refund", "payment"],
        transaction_types=["sms"],
    ),
    5: _content("Pacific/Pago_Pago", "JPY", asked=NEVER, revenue_types=[], transaction_types=[]),
    6: _content("Australia/Lord_Howe", "AUD", revenue_types=["recharge", "voice_call"]),
    9: _content("Pacific/Apia", "USD", asked=OFTEN, scores=_odd_scores(), publish_step=0.3),
}  # fmt: skip
# With one: grace of none, an hour and a day, everybody or half in the control group.
GAMES: dict[int, Content] = {
    20: _content("UTC", "USD", games.RICH, {"grace_seconds": 0}),
    21: _content("Europe/Berlin", "EUR", games.CHANGED, {"grace_seconds": 86_400}, OFTEN),
    22: _content("Asia/Kathmandu", "JPY", games.RICH, {"control_share": 0.5}, BY_STEP),
    23: _content(
        "America/New_York", "KWD", games.CHANGED, {"control_share": 1.0, "grace_seconds": 59}, ALWAYS
    ),
    24: _content("UTC", "USD", games.CROWDED, {"grace_seconds": 0}),
    25: _content(
        "Pacific/Kiritimati", "KWD", games.WORDY, {"control_share": 0.2, "control_salt": "öl"}, OFTEN
    ),
    26: _content("UTC", "USD", games.EARN_ONLY),
    27: _content("Pacific/Pago_Pago", "JPY", games.ASLEEP, asked=OFTEN, revenue_types=["sms"]),
    28: _content("UTC", "USD", games.RICH, asked=NEVER, publish_step=5.0),
    29: _content("Europe/Berlin", "EUR", games.FORETOLD, {"control_share": 0.2}, OFTEN),
}
ZONES = (
    "UTC",
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Apia",
)
# By chance: games, days, currencies, grace, the control group.
ANY: dict[int, Content] = {
    30 + n: _content(
        ZONES[n % 7], ("USD", "JPY", "KWD", "EUR")[n % 4], any_game(n),
        {"grace_seconds": (0, 3_600, 86_400)[n % 3], "control_share": (0.0, 0.0, 0.0, 0.5, 0.0, 1.0)[n % 6]},
        (ASKED, OFTEN, BY_STEP, NEVER, ALWAYS)[n % 5],
    )
    for n in range(60)
}  # fmt: skip
# With campaigns: by hand, changed under those that run, beside missions, by chance.
TALKING: dict[int, Content] = {
    100: _content("UTC", "USD", TALK),
    101: _content("Europe/Berlin", "EUR", RETOLD, {"control_share": 0.3}, OFTEN),
    102: _content("Asia/Kathmandu", "JPY", BOTH, asked=NEVER),
    103: _content("UTC", "USD", TALK, {"control_share": 0.5}),
    104: _content("UTC", "USD", QUIET),
    105: _content("UTC", "USD", PAST, {"control_share": 0.3}),
    106: _content("Europe/Berlin", "USD", SLEEPING),
    107: _content("UTC", "USD", QUIET, {"control_share": 1.0}),
    108: _content("UTC", "USD", REFRESHING, asked=OFTEN),
} | {
    110 + n: _content(
        ZONES[n % 7], ("USD", "JPY", "KWD", "EUR")[n % 4], talking(n),
        {"control_share": (0.0, 0.0, 0.0, 0.5, 0.0, 1.0)[n % 6]},
        (ASKED, OFTEN, BY_STEP, NEVER, ALWAYS)[n % 5],
    )
    for n in range(40)
}  # fmt: skip
CONTENTS = PLAIN | GAMES | ANY | TALKING
