"""What the examples of the pages share: a day to begin at, a few records folded, effects in few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.game import Game
from tests.reference import games
from tests.reference.answers import prediction
from tests.reference.fold import ReferenceFold
from tests.reference.model import DAY_MS
from tests.reference.records import ASKED, CONTENTS, NEVER, Content, at, event
from tests.reference.streams import run_log

DAY = DAY_MS
HOUR = DAY // 24
NEW_YEAR = at("2020-01-01")  # a Wednesday
D = 18_262  # its day: 50 years of 365 days and 12 leap days
REFRESH = 1336 * 60_000  # when in the (UTC) day customer a is refreshed: 22:16


# What else is done with each example: (contents, partition, segments, fold, effects).
Also = Callable[[Mapping[int, Any], int, Sequence[Sequence[Any]], ReferenceFold, list[dict[str, Any]]], None]
ALSO: list[Also] = []


def _run(
    by_revision: Mapping[int, Any], partition: int, segments: Sequence[Sequence[Any]]
) -> tuple[ReferenceFold, list[dict[str, Any]]]:
    fold = ReferenceFold(partition, by_revision)
    effects = run_log(fold, segments)
    for also in ALSO:
        also(by_revision, partition, segments, fold, effects)
    return fold, effects


def folded(*records: bytes | None, partition: int = 0) -> tuple[ReferenceFold, list[dict[str, Any]]]:
    return _run(CONTENTS, partition, [records])


def row(*records: bytes | None, customer: str = "a") -> dict[str, Any]:
    return folded(*records)[0].snapshot(customer)


def summary(effects: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Of scores (customer, reason, event_id of the cause), of results (command_id, status, reason)."""
    return [
        (value["customer_id"], value["reason"], value["cause"]["event_id"])
        if "scores" in value
        else (value["command_id"], value["status"], value["reason"])
        for value in (effect["value"] for effect in effects)
    ]


# The game.


def contents(*games: Game, **decide: Any) -> dict[int, Content]:
    """Revisions 0, 1, ... with these games and the same decisions; nobody asks for predictions."""
    return {n: Content(Decisions(**decide), ScoringPolicy(), game, NEVER) for n, game in enumerate(games)}


def play(
    by_revision: Game | Mapping[int, Content], *segments: Sequence[bytes]
) -> tuple[ReferenceFold, list[dict[str, Any]]]:
    """A log of segments; a game alone is revision 0 with a grace of an hour."""
    return _run(contents(by_revision) if isinstance(by_revision, Game) else by_revision, 0, segments)


# Predictions.

INLINE, DAILY, BOTH = 1, 2, 3
SMS = event("a", "sms", NEW_YEAR, 1, "s")
QUIET = event("a", "complaint", NEW_YEAR, 1, "q")  # no activity, moves no score


def content(game: Game = games.NONE, asked: Predictions = ASKED, **decide: Any) -> Content:
    return Content(Decisions(**decide), ScoringPolicy(), game, asked)


def fold_of(*records: bytes, asked: Predictions = ASKED) -> ReferenceFold:
    return play({0: content(asked=asked)}, records)[0]


def turns(fold: ReferenceFold) -> list[tuple[str, int, str]]:
    """Of each ask the customer, the sets and the cause."""
    return [(ask["customer_id"], ask["sets"], ask["cause"]["event_id"]) for ask in fold.asks]


def foretold(which: str, when: int = NEW_YEAR, customer: str = "a", **values: Any) -> bytes:
    """A `_prediction` as of a time, whose event_id is the set and that time."""
    return prediction(customer, which, when, f"{which}-{when}", values)


# Effects in few words.


def story(effects: list[dict[str, Any]]) -> list[str]:
    """Missions, badges, grants and results in a few words each, without decisions and scores."""
    return [said for effect in effects if (said := _said(effect["topic"], effect["value"]))]


def _said(topic: str, value: Any) -> str:
    match topic:
        case "mission-progress":
            amounts = f" {value['progress']:g}/{value['target']:g}" if value["status"] != "given" else ""
            why = f" {value['reason']}" if value["reason"] else ""
            return f"{value['status']} {value['number']}{amounts}{why}"
        case "badge-awards" if value["kind"] == "tier":
            return f"tier {value['level_name']} {value['reason']}"
        case "badge-awards":
            return f"badge {value['name']} {value['level_name']} {value['reason']}"
        case "reward-grants":
            amount = f"offer {value['offer']}" if value["offer"] != -1 else f"{value['points']:+}"
            again = f" again {value['repeat']}" if value["repeat"] else ""
            return f"{value['kind']} {amount} of {value['rule'][:10]}{again} = {value['balance']}"
        case "command-results":
            return f"{value['command_id']} {value['status']} {value['reason']}".rstrip()
    return ""


def decided(effects: list[dict[str, Any]]) -> list[str]:
    """Decisions in a few words."""
    return [
        f"{value['rule']} {value['decision']}{' (control)' if value['control'] else ''}"
        for value in (effect["value"] for effect in effects if effect["topic"] == "decisions")
    ]
