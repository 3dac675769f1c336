"""When models are asked about a customer, by docs/predictions.md: each rule by hand."""

from __future__ import annotations

import numpy as np
import pytest

from loyalty.asking import DAILY, INLINE
from loyalty.game import Earning, Game
from loyalty.times import iso
from loyalty.upgrade import ROW_1
from tests.loyalty.folded import (
    ADA,
    BOB,
    DAY,
    GAME,
    HOUR,
    NO_STEP,
    NOON,
    Folded,
    complaint,
    content,
    prediction,
)
from tests.reference.records import command, event, marker, tick

MIDNIGHT = NOON + DAY // 2


# When it is asked.


def test_nobody_is_asked_about_before_a_revision_says_so() -> None:
    ours = Folded(content(step=0.01, hours=0), content(enabled=False))
    assert ours.fold(event(ADA, "sms", NOON), tick(NOON + 2 * DAY)) == []
    assert ours.fold(marker(1), event(ADA, "sms", NOON + 2 * DAY + HOUR, 2)) != []
    assert ours.fold(marker(2), event(ADA, "sms", NOON + 2 * DAY + 2 * HOUR, 3), tick(NOON + 4 * DAY)) == []


def test_an_event_asks_when_hours_have_passed() -> None:
    ours = Folded(content(step=NO_STEP, hours=3))
    assert ours.fold(marker(1), complaint(ADA, NOON)) == []
    assert (ours.row(ADA)["inline_asked"], ours.row(ADA)["asked_scores"]) == (NOON, [0, 0, 0, 0])
    assert ours.fold(complaint(ADA, NOON + 3 * HOUR - 1)) == []
    assert ours.fold(complaint(ADA, NOON + 3 * HOUR)) == [(ADA, INLINE, NOON + 3 * HOUR)]
    assert ours.fold(complaint(ADA, NOON + 6 * HOUR - 1)) == []
    assert ours.fold(complaint(ADA, NOON + 1)) == []  # late: no time has passed
    assert ours.fold(complaint(ADA, NOON + 6 * HOUR)) == [(ADA, INLINE, NOON + 6 * HOUR)]
    last = ours.asks[-1]
    assert (last.revision, last.cause.source, last.cause.event_id) == (
        1, "test", f"complaint-{NOON + 6 * HOUR}",
    )  # fmt: skip
    assert ours.row(ADA)["daily_asked"] == 0


def test_an_event_asks_when_a_score_has_moved_by_a_step() -> None:
    ours = Folded(content(step=10.0))
    # The first SMS: recency 10, 1 of 60 messages 10 / 60.
    assert ours.fold(marker(1), event(ADA, "sms", NOON)) == [(ADA, INLINE, NOON)]
    assert ours.row(ADA)["asked_scores"] == [1017, 0, 208, 0]
    calls = [event(ADA, "voice_call", NOON + n, 60, f"call {n}") for n in range(1, 22)]  # 30 / 60 each
    assert ours.fold(*calls) == [(ADA, INLINE, NOON + 20)]
    assert ours.row(ADA)["asked_scores"] == [2017, 0, 208, 0]
    logins = [event(ADA, "app_login", NOON + 100 + n, 1, f"login {n}") for n in range(6)]  # 2 of digital each
    assert ours.fold(*logins) == [(ADA, INLINE, NOON + 104)]
    assert ours.row(ADA)["asked_scores"] == [2567, 0, 208, 1000]


def test_risk_asks_for_nothing() -> None:
    ours = Folded(content(step=10.0))
    ours.fold(marker(1), complaint(ADA, NOON), prediction(ADA, NOON, "inline", churn=1.0))
    assert ours.row(ADA)["published"] == [0, 0, 0, 5000, 0]
    assert ours.fold(complaint(ADA, NOON + 1)) == []


def test_the_row_is_handed_out_as_it_is_at_that_moment() -> None:
    ours = Folded(content(step=NO_STEP, hours=0))
    ours.fold(marker(1), *(complaint(ADA, NOON + n) for n in range(4)))
    assert [row["life"]["complaints"] for row in ours.asked] == [1, 2, 3, 4]
    assert [row["inline_asked"] for row in ours.asked] == [NOON, NOON + 1, NOON + 2, NOON + 3]
    assert ours.asked[-1] == ours.row(ADA)


def test_a_refresh_asks_both_sets_after_activity_and_one_without() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(marker(1), complaint(ADA, NOON), event(BOB, "sms", NOON))
    first, second = (ours.row(name)["due"] for name in (ADA, BOB))
    asked = ours.fold(tick(MIDNIGHT + HOUR))
    assert sorted(asked) == sorted([(ADA, INLINE, first), (BOB, INLINE | DAILY, second)])
    assert [ask.cause.event_id for ask in ours.asks if ask.id == BOB.encode()] == [f"refresh:{iso(second)}"]
    assert {ask.cause.source for ask in ours.asks} == {"khaywe"}
    row = ours.asked[-1] if ours.asks[-1].id == BOB.encode() else ours.asked[0]
    assert row == ours.row(BOB)
    assert (row["daily_asked"], row["inline_asked"], row["due"]) == (second, second, second + DAY)
    assert row["asked_scores"] == [row["published"][n] for n in (0, 1, 2, 4)]
    # Nobody did anything since: the daily models would say the same again.
    assert {sets for _, sets, _ in ours.fold(tick(MIDNIGHT + HOUR + DAY))} == {INLINE}
    # Missed refreshes are one, and it stands before the event's own ask.
    late = event(BOB, "voice_call", second + 5 * DAY + HOUR, 60)
    assert ours.fold(late) == [(BOB, INLINE, second + 5 * DAY)]
    assert ours.fold(tick(second + 6 * DAY))[-1] == (BOB, INLINE | DAILY, second + 6 * DAY)


def test_backfill_asks_for_nothing() -> None:
    ours = Folded(content(step=1.0, hours=1))
    past = [event(ADA, "sms", NOON + n * DAY, 5, _backfill=True) for n in range(5)]
    assert ours.fold(marker(1), *past) == []
    assert ours.counts["refreshes"] == 4
    assert ours.fold(event(ADA, "sms", NOON + 4 * DAY + 1)) == [(ADA, INLINE, NOON + 4 * DAY + 1)]


def test_neither_ticks_nor_other_commands_nor_closing_asks() -> None:
    ours = Folded(content(step=NO_STEP, hours=0))
    ours.fold(marker(1), complaint(ADA, NOON), tick(NOON + 1, everyone=True))
    names = ("recalculate", "generate", "award", "opt_out", "opt_in")
    assert ours.fold(*(command(ADA, NOON + 1, name, name) for name in names)) == []
    assert ours.fold(tick(NOON + 5, everyone=True)) == []
    assert ours.fold(event(ADA, "customer_ended", NOON + 6)) == []
    ours.fold(complaint(BOB, NOON))
    assert ours.fold(event(BOB, "customer_link", NOON + 6, to="cid")) == []


def test_who_is_in_the_control_group_or_opted_out_is_asked_about_too() -> None:
    ours = Folded(content(decide={"control_share": 1.0}, step=NO_STEP, hours=0))
    ours.fold(marker(1), complaint(ADA, NOON), event(ADA, "opt_out", NOON + 1))
    assert [ask.as_of for ask in ours.asks] == [NOON, NOON + 1]


def test_a_refund_hands_out_the_row_without_what_it_took_back() -> None:
    game = Game(earning=[Earning(1, "paid", ["recharge"], 1.0)])
    ours = Folded(content(game, step=NO_STEP, hours=0))
    ours.fold(marker(1), event(ADA, "recharge", NOON, 50, "r"))
    assert ours.asked[-1]["lots"][0][1] == 50
    ours.fold(event(ADA, "refund", NOON + 1, 50, refunds="r"))
    assert ours.asked[-1]["lots"] == []
    assert ours.asked[-1] == ours.row(ADA)


def test_a_row_of_the_old_format_was_never_asked_about() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(complaint(ADA, NOON))
    old, row = np.zeros(1, ROW_1), ours.raw(ADA)
    for name in ROW_1.names or ():
        old[name] = row[name]
    old["format"] = 1
    later = Folded(content(step=NO_STEP))
    later.state.load_many([ADA.encode()], [old.tobytes()])
    assert later.row(ADA)["inline_asked"] == 0
    assert later.fold(marker(1), complaint(ADA, NOON + 1)) == [(ADA, INLINE, NOON + 1)]


# One becomes another, or begins anew.


def test_a_merge_asks_and_keeps_what_was_foretold_of_the_target() -> None:
    ours = Folded(content(step=NO_STEP, hours=1))
    ours.fold(
        marker(1), complaint(ADA, NOON), complaint(BOB, NOON),
        prediction(ADA, NOON, "inline", churn=0.9), prediction(BOB, NOON, "inline", churn=0.1, offer=3),
    )  # fmt: skip
    ours.fold(event(ADA, "customer_link", NOON + HOUR, to=BOB))
    assert ours.fold(ours.forwards[0]) == [(BOB, INLINE, NOON + HOUR)]
    row = ours.row(BOB)
    assert (row["foretold"][0], row["offer"], row["foretold_at"]) == (1001, 4, [NOON, 0])
    assert row["life"]["complaints"] == 2
    assert ours.asked[-1] == row
    assert ours.asks[-1].cause.event_id.startswith("merge:")
    # The linked one's own answers come too late.
    before = ours.row(ADA)
    ours.fold(prediction(ADA, NOON + 5, "inline", churn=0.5))
    assert (ours.row(ADA), ours.counts["predictions_ignored"], len(ours.forwards)) == (before, 1, 1)


def test_a_merge_that_opens_a_row_takes_nothing_foretold_along() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(marker(1), complaint(ADA, NOON), prediction(ADA, NOON, "inline", churn=0.9, offer=3))
    ours.fold(event(ADA, "customer_link", NOON + 1, to="new"))
    assert ours.fold(ours.forwards[0]) == []
    row = ours.row("new")
    assert (row["inline_asked"], row["foretold"], row["offer"], row["ltv"]) == (NOON + 1, [0] * 7, 0, 0)
    assert row["foretold_at"] == [0, 0]


def test_who_comes_back_after_an_end_begins_without_predictions() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(
        marker(1), complaint(ADA, NOON), prediction(ADA, NOON, "inline", churn=0.9, offer=3),
        prediction(ADA, NOON, "daily", ltv=5), event(ADA, "customer_ended", NOON + 1),
    )  # fmt: skip
    ours.fold(prediction(ADA, NOON + 1, "inline", churn=0.2))
    assert ours.row(ADA)["foretold"][0] == 9001  # an ended row stays as it was
    ours.fold(event(ADA, "activation", NOON + HOUR))
    row = ours.row(ADA)
    assert (row["inline_asked"], row["daily_asked"], row["foretold_at"]) == (NOON + HOUR, 0, [0, 0])
    assert (row["foretold"], row["ltv"], row["offer"], row["asked_scores"]) == ([0] * 7, 0, 0, [0] * 4)
    ours.fold(prediction(ADA, NOON + HOUR - 1, "inline", churn=0.2))
    assert ours.row(ADA)["foretold_at"] == [0, 0]  # asked for about the one before
    assert ours.counts["predictions_ignored"] == 2
    ours.fold(prediction(ADA, NOON + HOUR, "inline", churn=0.2))
    assert ours.row(ADA)["foretold"][0] == 2001


def test_erasing_empties_both_keys_and_answers_come_too_late() -> None:
    ours = Folded(content())
    ours.fold(marker(1), complaint(ADA, NOON), command(ADA, NOON, name="erase"))
    gone = [(topic, key) for topic, key, value in ours.effects if value is None]
    assert gone == [
        ("behavior-scores", ADA), ("predictions", f"{ADA}:inline"), ("predictions", f"{ADA}:daily"),
    ]  # fmt: skip
    ours.fold(prediction(ADA, NOON, "inline", churn=0.5))
    assert (ours.counts["ignored_erased"], ours.counts["predictions_ignored"]) == (1, 0)
    assert ADA.encode() not in ours.state


# The command.


def _results(ours: Folded) -> list[tuple[str, str]]:
    return [(each["status"], each["reason"]) for each in ours.told("command-results")]


def test_predict_asks_both_sets() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(marker(1), complaint(ADA, NOON), tick(NOON + HOUR))
    before, ask = ours.row(ADA), command(ADA, NOON, name="predict")
    assert ours.fold(ask) == [(ADA, INLINE | DAILY, NOON + HOUR)]
    assert ours.asks[-1].cause.event_id == "id-c1"
    assert ours.asked[-1] == ours.row(ADA)
    changed = {name for name in before if ours.row(ADA)[name] != before[name]}
    assert changed == {"as_of", "inline_asked", "daily_asked"}
    assert _results(ours) == [("done", "")]
    assert ours.fold(ask) == []  # a duplicate
    assert ours.fold(command("nobody", NOON, "c2", "predict")) == []
    ours.fold(event(ADA, "customer_ended", NOON + HOUR))
    assert ours.fold(command(ADA, NOON, "c3", "predict")) == []
    assert ours.fold(command("", NOON, "c4", "predict", segment="calls >")) == []
    assert _results(ours)[1:] == [
        ("refused", "unknown_customer"), ("refused", "closed"), ("refused", "unknown_segment"),
    ]  # fmt: skip


def test_predict_stands_after_the_refresh_that_it_brings() -> None:
    ours = Folded(content(step=NO_STEP))
    ours.fold(marker(1), event("other", "sms", NOON), event(ADA, "sms", NOON - DAY))
    ours.fold(tick(NOON))
    ours.fold(tick(NOON + 1), event(BOB, "sms", NOON - DAY))
    due = ours.row(BOB)["due"]
    assert ours.fold(command(BOB, NOON, name="predict")) == [(BOB, 3, due), (BOB, 3, NOON + 1)]


@pytest.mark.parametrize("chunk", [1, 2, 5_000])
def test_predict_for_a_segment(chunk: int) -> None:
    ours = Folded(content(step=NO_STEP), chunk=chunk)
    ours.fold(marker(1), *(complaint(name, NOON) for name in "cab"), event("a", "complaint", NOON, 1, "2nd"))
    ours.fold(tick(NOON + 1))
    asked = ours.fold(command("", NOON, name="predict", segment="all"))
    assert asked == [(name, INLINE | DAILY, NOON + 1) for name in "abc"]
    asked = ours.fold(command("", NOON, "c2", "predict", segment="complaints_lifetime > 1"))
    assert asked == [("a", INLINE | DAILY, NOON + 1)]
    assert _results(ours) == [("done", "")] * 2


@pytest.mark.parametrize("revision", [0, 1])
def test_predict_is_refused_where_there_are_no_models(revision: int) -> None:
    ours = Folded(content(enabled=False))
    ours.fold(marker(revision), complaint(ADA, NOON))
    before = ours.row(ADA)
    ours.fold(
        command(ADA, NOON, "c1", "predict"), command("nobody", NOON, "c2", "predict"),
        command("", NOON, "c3", "predict", segment="all"), command("", NOON, "c4", "predict", segment="x >"),
    )  # fmt: skip
    assert (_results(ours), ours.row(ADA), ours.asks) == ([("refused", "no_model")] * 4, before, [])


# However the log is cut.


def _answered(size: int, chunk: int) -> Folded:
    """A few weeks of some customers, each transaction's asks answered before the next one."""
    ours = Folded(content(GAME, step=1.0, hours=6), size=size, chunk=chunk)
    names = [f"n{n}" for n in range(7)]
    log = [marker(1)]
    for n in range(300):
        name, when = names[n * n % 7], NOON + n * 2 * HOUR + n % 3
        log.append(event(name, ("sms", "recharge", "app_login", "complaint")[n % 4], when, 1 + n % 5))
        if n % 11 == 0:
            log.append(tick(when))
        if n % 5 == 0:
            log.append(
                prediction(name, when, ("inline", "daily")[n % 2], f"p{n}", churn=n / 300, rfm=111 + n)
            )
        if n % 40 == 0:
            log.append(command(name, when, f"c{n}", "predict"))
    log += [event("n3", "customer_link", NOON + 700 * HOUR, to="n4")]
    log += [command("", NOON, "all", "predict", segment="all")]
    ours.fold(*log)
    ours.fold(ours.forwards[-1])
    return ours


def test_it_is_the_same_however_the_log_is_cut() -> None:
    whole = _answered(1_000, 5_000)
    assert len(whole.asks) > 200
    assert {ask.sets for ask in whole.asks} == {INLINE, INLINE | DAILY}
    assert whole.counts["predictions_taken"] > 30
    for size, chunk in ((1, 1), (7, 2)):
        cut = _answered(size, chunk)
        assert cut.asks == whole.asks
        assert cut.asked == whole.asked
        assert cut.effects == whole.effects
        assert cut.forwards == whole.forwards
        assert {name: cut.row(name) for name in ("n0", "n3", "n4")} == {
            name: whole.row(name) for name in ("n0", "n3", "n4")
        }


def test_more_customers_than_rows_fit_are_handed_out_at_once() -> None:
    ours = Folded(content(step=NO_STEP, hours=0))
    names = [f"n{n}" for n in range(1_300)]
    asked = ours.fold(marker(1), *(complaint(name, NOON + n) for n, name in enumerate(names)))
    assert asked == [(name, INLINE, NOON + n) for n, name in enumerate(names)]
    assert [row["as_of"] for row in ours.asked] == [NOON + n for n in range(1_300)]
    asked = ours.fold(tick(NOON + DAY + HOUR))
    assert {name for name, _, _ in asked} == set(names)
    assert [row["as_of"] for row in ours.asked[1_300:]] == [as_of for _, _, as_of in asked]
