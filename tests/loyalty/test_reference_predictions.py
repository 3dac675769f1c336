"""docs/predictions.md by examples worked out by hand: whose turn it is, and what is handed out."""

from __future__ import annotations

from typing import Any

from loyalty.content import Predictions
from loyalty.game import Earning, Game, Goal, Limits, Tier
from tests.reference.examples import (
    BOTH,
    DAY,
    HOUR,
    INLINE,
    NEW_YEAR,
    QUIET,
    REFRESH,
    SMS,
    content,
    fold_of,
    foretold,
    play,
    story,
    summary,
    turns,
)
from tests.reference.games import template
from tests.reference.model import iso, next_refresh
from tests.reference.records import NEVER, event, marker, tick
from tests.reference.streams_game import ask

MEMBERS = ("inline_asked", "daily_asked", "asked_scores", "foretold_at", "foretold", "ltv", "offer")


# When it is asked: events.


def test_an_event_asks_when_hours_have_passed() -> None:
    times = [0, 3 * HOUR - 1, 3 * HOUR, 6 * HOUR - 1, 6 * HOUR, 6 * HOUR + 1]
    quiet = [event("a", "complaint", NEW_YEAR + t, 1, f"q{n}") for n, t in enumerate(times)]
    fold = fold_of(*quiet, asked=Predictions(hours=3))
    assert turns(fold) == [("a", INLINE, "q2"), ("a", INLINE, "q4")]
    assert [each["as_of"] for each in fold.asks] == [NEW_YEAR + 3 * HOUR, NEW_YEAR + 6 * HOUR]
    assert fold.snapshot("a")["inline_asked"] == NEW_YEAR + 6 * HOUR
    # Time is the row's: a late event asks as of the row.
    late = event("a", "complaint", NEW_YEAR - DAY, 1, "late")
    fold = fold_of(*quiet[:2], event("b", "sms", NEW_YEAR), late, asked=Predictions(hours=2))
    assert turns(fold) == [("a", INLINE, "q1"), ("b", INLINE, f"sms-{NEW_YEAR}-1-{{}}")]
    # No hours: each event asks.
    assert len(fold_of(*quiet, late, asked=Predictions(hours=0)).asks) == 7


def test_opening_a_row_is_as_if_it_had_been_asked() -> None:
    row = fold_of(QUIET).snapshot("a")
    assert [row[name] for name in MEMBERS] == [NEW_YEAR, 0, [0] * 4, [0, 0], [0] * 7, 0, 0]
    assert fold_of(QUIET, asked=NEVER).snapshot("a")["inline_asked"] == NEW_YEAR


def test_an_event_asks_when_a_score_has_moved() -> None:
    # The SMS makes 10.17 of engagement, each call half a point: the 20th call makes ten since it was asked.
    calls = [event("a", "voice_call", NEW_YEAR + n, 1, f"c{n}") for n in range(1, 42)]
    fold = fold_of(SMS, *calls)
    assert turns(fold) == [("a", INLINE, "s"), ("a", INLINE, "c20"), ("a", INLINE, "c40")]
    assert [each["row"]["asked_scores"] for each in fold.asks] == [
        [1017, 0, 208, 0], [2017, 0, 208, 0], [3017, 0, 208, 0],
    ]  # fmt: skip
    # A fall is a move too: the refund takes away what 60 brought (10.7 points of revenue).
    paid = [event("a", "payment", NEW_YEAR, 60, "p"), event("a", "refund", NEW_YEAR, 60, "r")]
    assert turns(fold_of(SMS, *paid)) == [("a", INLINE, "s"), ("a", INLINE, "p"), ("a", INLINE, "r")]


def test_the_step_is_compared_in_float64() -> None:
    # 6.17 is 1.10 points of revenue; 1.1 x 100 is a little more than 110.
    paid = [event("a", "payment", NEW_YEAR + n, v, f"p{n}") for n, v in enumerate((6.17, 0.06))]
    fold = fold_of(SMS, *paid, asked=Predictions(step=1.1, hours=99))
    assert turns(fold) == [("a", INLINE, "s"), ("a", INLINE, "p1")]
    assert fold.asks[1]["row"]["asked_scores"][1] == 111
    assert turns(fold_of(SMS, *paid, asked=Predictions(step=1.0, hours=99)))[1:] == [("a", INLINE, "p0")]


def test_risk_is_not_among_the_scores_that_ask() -> None:
    said = foretold("inline", churn=1)
    fold = fold_of(QUIET, said, event("a", "complaint", NEW_YEAR + 1))
    assert fold.snapshot("a")["published"] == [0, 0, 0, 5000, 0]
    assert not fold.asks


def test_who_is_asked_nothing() -> None:
    hourly = Predictions(hours=1)
    later = NEW_YEAR + 2 * HOUR
    for record in (
        tick(later, everyone=True),
        marker(0, later),
        ask("a", "recalculate", later, "c"),
        ask("a", "generate", later, "c"),
        ask("a", "opt_out", later, "c"),
        ask("a", "adjust", later, "c", {"points": 4}),
        ask("", "recalculate", later, "c", segment="all"),
        event("a", "complaint", NEW_YEAR, 1, "q"),  # a duplicate
        event("a", "complaint", later, 1, "history", _backfill=True),
        event("a", "customer_ended", later),
        foretold("inline", later, churn=0.5),
    ):
        assert not fold_of(QUIET, tick(later), record, asked=hourly).asks, record
    assert not fold_of(QUIET, event("a", "sms", later), tick(NEW_YEAR + 9 * DAY), asked=NEVER).asks
    # One that became another; only that one is.
    link = event("a", "customer_link", later, 1, "l", to="b")
    assert [who for who, _, _ in turns(fold_of(QUIET, link, asked=Predictions(hours=0)))] == ["a", "b"]
    # `_backfill` has to be true.
    for kind in ("yes", 1, False, None):
        assert turns(fold_of(QUIET, event("a", "complaint", later, 1, "e", _backfill=kind), asked=hourly))


def test_everybody_is_asked_about() -> None:
    game = Game([template(1, "It", Goal("count", ["sms"]), 3)])
    by = {0: content(game, Predictions(hours=0), control_share=1.0)}
    fold, _ = play(by, [SMS, event("a", "opt_out", NEW_YEAR, 1, "o"), event("a", "grant_failed", NEW_YEAR)])
    assert [name for _, _, name in turns(fold)] == ["s", "o", f"grant_failed-{NEW_YEAR}-1-{{}}"]


# Refreshes.


def test_a_refresh_asks_for_inline_and_after_activity_for_daily() -> None:
    instants = [NEW_YEAR + REFRESH + n * DAY for n in range(5)]
    records = [QUIET, tick(instants[0]), event("a", "sms", instants[0] + 1, 1, "s"), tick(instants[1])]
    # An activity at the very instant comes after the refresh, and is not later than it.
    records += [tick(instants[2]), event("a", "sms", instants[3], 1, "at"), tick(instants[4])]
    fold = fold_of(*records, asked=Predictions(step=90))
    causes = [f"refresh:{iso(instant)}" for instant in instants]
    assert turns(fold) == [
        ("a", INLINE, causes[0]), ("a", BOTH, causes[1]), ("a", INLINE, causes[2]), ("a", INLINE, causes[3]),
        ("a", BOTH, causes[4]),
    ]  # fmt: skip
    assert {each["cause"]["source"] for each in fold.asks} == {"khaywe"}
    assert fold.snapshot("a")["daily_asked"] == fold.snapshot("a")["inline_asked"] == instants[4]
    # In between the daily set was asked for as of the second instant, at which the fourth was not later.
    assert [each["row"]["daily_asked"] for each in fold.asks] == [0, *[instants[1]] * 3, instants[4]]


def test_activity_at_the_very_time_of_the_ask_is_not_after_it() -> None:
    instant = NEW_YEAR + REFRESH
    at_once = event("a", "sms", instant, 1, "at")
    fold = fold_of(SMS, at_once, tick(instant + DAY), tick(instant + 2 * DAY), asked=Predictions(step=90))
    assert [sets for _, sets, _ in turns(fold)] == [BOTH, INLINE, INLINE]


def test_refreshes_that_an_event_or_a_command_brings_ask_too() -> None:
    instant, later = NEW_YEAR + REFRESH, NEW_YEAR + 2 * DAY
    refresh = f"refresh:{iso(instant + DAY)}"
    rare = Predictions(step=90, hours=99)
    for records in (
        [SMS, event("a", "sms", later)],
        [SMS, event("a", "customer_ended", later)],
        [SMS, tick(later, everyone=True)],
        [tick(later), SMS, ask("a", "recalculate", later, "late")],
        [tick(later), SMS, ask("", "award", later, "late", segment="all")],
    ):
        fold = fold_of(*records, asked=rare)
        assert turns(fold) == [("a", BOTH, refresh)], records
        assert fold.asks[0]["as_of"] == instant + DAY
    # One that a `_backfill` event brings is part of history.
    old = event("a", "sms", later, 1, "old", _backfill=True)
    fold, effects = play({0: content()}, [SMS, old])
    assert turns(fold) == [("a", INLINE, "s")]
    assert summary(effects)[1][1] == "refresh"


def test_a_waiting_customer_is_not_asked_about_at_the_answer() -> None:
    game = Game([template(1, "It", Goal("count", ["sms"]), 3, limits=Limits(total=5))])
    fold, effects = play({0: content(game, Predictions(step=90, hours=0))}, [SMS])
    assert story(effects) == ["given 1"]
    assert [forward["value"]["event_type"] for forward in fold.forwards] == ["_reserve", "_reservation"]
    assert turns(fold) == [("a", INLINE, "s")]


def test_rows_are_asked_about_in_the_order_of_the_tick() -> None:
    names = ["b", "a", "ключ", "0"]
    fold = fold_of(*(event(name, "complaint", NEW_YEAR) for name in names), tick(NEW_YEAR + DAY))
    expected = sorted(names, key=lambda name: (next_refresh(name, NEW_YEAR), name.encode()))
    assert [who for who, _, _ in turns(fold)] == expected


# What is handed out.


def test_the_row_is_handed_out_as_it_is_when_all_else_is_done() -> None:
    game = Game(earning=[Earning(1, "Paid", ["payment"], 1.0)], tiers=[Tier("low", 0), Tier("high", 50)])
    log = [
        SMS,
        event("a", "payment", NEW_YEAR + 1, 70, "paid"),
        event("a", "refund", NEW_YEAR + 2, 70, "back", refunds="paid"),
        tick(NEW_YEAR + DAY),
        foretold("inline", NEW_YEAR + DAY, churn=0.5, offer=7),
        event("a", "sms", NEW_YEAR + 40 * DAY, 1, "late"),
    ]
    by = {0: content(game, Predictions(hours=0))}
    fold, _ = play(by, log)
    before = [play(by, log[:n])[0].snapshot("a") for n in range(1, 7)]
    rows = [each["row"] for each in fold.asks]
    # The first of the last two is of the refresh before the event.
    assert [rows[0], rows[1], rows[2], rows[3], rows[5]] == [before[n] for n in (0, 1, 2, 3, 5)]
    assert (rows[1]["tier"], rows[2]["tier"], rows[2]["lots"]) == (1, 0, [])
    refreshed = NEW_YEAR + REFRESH + 39 * DAY
    assert (rows[4]["as_of"], rows[4]["next_refresh"], rows[4]["due"]) == (
        refreshed, refreshed + DAY, refreshed + DAY,
    )  # fmt: skip
    assert rows[4]["offer"] == 8
    assert rows[4]["foretold"] == [5001, 0, 0, 0, 0, 0, 0]
    assert [each["revision"] for each in fold.asks] == [0] * 6


def test_an_ask_has_the_revision_that_counts() -> None:
    by = {0: content(asked=NEVER), 4: content(asked=Predictions(hours=0))}
    fold, _ = play(by, [QUIET, marker(4), event("a", "complaint", NEW_YEAR, 1, "second")])
    assert [(each["revision"], each["cause"]) for each in fold.asks] == [
        (4, {"source": "test", "event_id": "second"})
    ]


# The command.


def predict(customer: str, name: str = "x", **more: Any) -> bytes:
    return ask(customer, "predict", NEW_YEAR, name, **more)


def test_predict_asks_for_both_sets() -> None:
    later = NEW_YEAR + HOUR
    fold, effects = play({0: content()}, [QUIET, tick(later), predict("a")])
    assert story(effects) == ["x done"]
    (asked,) = fold.asks
    assert asked == {
        "customer_id": "a",
        "sets": BOTH,
        "as_of": later,
        "revision": 0,
        "cause": {"source": "commands", "event_id": "id-x"},
        "row": fold.snapshot("a"),
    }
    assert asked["row"]["inline_asked"] == asked["row"]["daily_asked"] == later
    # Scores are remembered, not published: the SMS would have made 0.17 of engagement by its own.
    fold, effects = play({0: content()}, [SMS, event("a", "sms", NEW_YEAR, 1, "t"), predict("a")])
    assert fold.asks[-1]["row"]["asked_scores"] == [1033, 0, 208, 0]
    assert fold.asks[-1]["row"]["published"] == [1017, 0, 208, 0, 0]
    assert [effect["topic"] for effect in effects] == ["behavior-scores", "command-results"]


def test_what_predict_is_refused() -> None:
    erase, ended = ask("b", "erase", NEW_YEAR, "e"), event("c", "customer_ended", NEW_YEAR)
    others = [event("b", "sms", NEW_YEAR), erase, ended]
    records = [SMS, *others, predict("a"), predict("a"), predict("b", "b"), predict("c", "c")]
    records += [predict("d", "d"), predict("", "s", segment="risk >="), predict("", "n")]
    fold, effects = play({0: content()}, records)
    assert story(effects) == [
        "e done", "x done", "b refused erased", "c refused closed", "d refused unknown_customer",
        "s refused unknown_segment", "n refused unknown_segment",
    ]  # fmt: skip
    assert fold.counts["duplicates"] == 1
    assert [cause for _, sets, cause in turns(fold) if sets == BOTH] == ["id-x"]


def test_predict_where_nothing_is_predicted() -> None:
    records = [SMS, predict("a"), predict("a"), predict("nobody", "y"), predict("", "z", segment="all")]
    fold, effects = play({0: content(asked=NEVER)}, [*records, predict("", "v", segment="risk >=")])
    assert story(effects) == [f"{name} refused no_model" for name in "xxyzv"]
    assert not fold.asks
    assert not fold.counts["duplicates"]
    # Not even a row that is due is moved.
    _, effects = play({0: content(asked=NEVER)}, [SMS, event("b", "sms", NEW_YEAR + 3 * DAY), *records[-1:]])
    assert summary(effects)[-1] == ("z", "refused", "no_model")
    assert len(effects) == 3


def test_predict_for_a_segment() -> None:
    names = ["b", "a", "ключ", "c", "d"]
    starts = [event(name, "complaint", NEW_YEAR) for name in names]
    others = [event("c", "customer_ended", NEW_YEAR), event("d", "opt_out", NEW_YEAR)]
    log = [*starts, *others, tick(NEW_YEAR + 1)]
    fold, effects = play({0: content()}, [*log, predict("", segment="all")])
    assert turns(fold) == [(name, BOTH, "id-x") for name in ("a", "b", "d", "ключ")]
    assert {each["as_of"] for each in fold.asks} == {NEW_YEAR + 1}
    assert story(effects) == ["x done"]
    # All are moved, some are asked about.
    fold, _ = play({0: content()}, [*log, predict("", segment="opted_in = no")])
    assert turns(fold) == [("d", BOTH, "id-x")]
    assert {fold.customers[name].as_of for name in ("a", "b", "d")} == {NEW_YEAR + 1}
