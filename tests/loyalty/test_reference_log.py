"""docs/semantics.md by examples worked out by hand: publication, ticks, markers, commands, links."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Any

import pytest

from tests.reference import model
from tests.reference.examples import DAY, NEW_YEAR, D, folded, row, summary
from tests.reference.fold import ReferenceFold
from tests.reference.model import NO_TIME, iso
from tests.reference.records import CONTENTS, at, command, event, marker, tick
from tests.reference.streams import plain_forwards, run_log

# Publication.


def test_scores_are_published_when_one_moves_by_a_point() -> None:
    # An SMS is worth 10/60: with the recency of 10 the first is news, the sixth after it makes a whole point.
    records = [event("a", "sms", NEW_YEAR + n, 1, f"e{n}") for n in range(8)]
    fold, effects = folded(*records)
    assert summary(effects) == [("a", "moved", "e0"), ("a", "moved", "e6")]
    assert effects[0]["value"]["scores"] == {
        "engagement": 10.17,
        "revenue": 0.0,
        "loyalty": 2.08,
        "risk": 0.0,
        "digital": 0.0,
    }
    assert effects[1]["value"]["scores"]["engagement"] == 11.17
    assert fold.snapshot("a")["published"] == [1117, 0, 208, 0, 0]


def test_scores_are_published_when_one_crosses_a_band() -> None:
    # Revision 3: a step of 7.3, bands at 0.5, 10, 33.3, 50 and 99.99.
    records = [event("a", "qoe_degradation", NEW_YEAR, 1, "q"), event("a", "referral", NEW_YEAR, 1, "r")]
    logins = [event("a", "web_login", NEW_YEAR, 1, f"w{n}") for n in range(2)]
    _, effects = folded(marker(3), *records, *logins)
    # r: recency 10 moves engagement by more than 7.3; w0: digital 0 -> 1 crosses 0.5; w1: 2 crosses nothing.
    assert summary(effects) == [("a", "moved", "r"), ("a", "band", "w0")]


def test_a_band_begins_at_its_number() -> None:
    # 10 for recency and 0.5 for each call: the 30th makes 25.0.
    _, effects = folded(*(event("a", "voice_call", NEW_YEAR + n, 1, f"e{n}") for n in range(1, 31)))
    assert summary(effects)[-2:] == [("a", "moved", "e29"), ("a", "band", "e30")]


def test_an_effect_has_its_head() -> None:
    _, effects = folded(marker(1), event("ключ", "sms", "2020-01-01T10:00", 1, "e1", "cdr"))
    text = "\x1f".join(["ключ", "scores", "1", "cdr", "e1", "0"])
    assert effects == [
        {
            "topic": "behavior-scores",
            "key": "ключ",
            "value": {
                "effect_id": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
                "customer_id": "ключ",
                "occurred_at": "2020-01-01T10:00:00.000Z",
                "revision": 1,
                "cause": {"source": "cdr", "event_id": "e1"},
                "as_of": "2020-01-01T10:00:00.000Z",
                "reason": "moved",
                "scores": {"engagement": 10.17, "revenue": 0.0, "loyalty": 2.08, "risk": 0.0, "digital": 0.0},
            },
        }
    ]


def test_missed_refreshes_are_one_before_the_event() -> None:
    instant = model.next_refresh("a", NEW_YEAR)
    fold, effects = folded(
        event("a", "sms", NEW_YEAR, 1, "e1"), event("a", "sms", instant + 5 * DAY + 1, 1, "e2")
    )
    assert summary(effects) == [
        ("a", "moved", "e1"),
        ("a", "refresh", f"refresh:{iso(instant + 5 * DAY)}"),
        ("a", "moved", "e2"),
    ]
    assert effects[1]["value"]["as_of"] == iso(instant + 5 * DAY)
    # five days since the last activity: 10 x 25/30, and 10 x 1/60 for the SMS
    assert effects[1]["value"]["scores"]["engagement"] == 8.5
    assert fold.snapshot("a")["due"] == instant + 6 * DAY


# Ticks and markers.


def test_a_tick_moves_whoever_is_due_and_no_further_than_the_refresh() -> None:
    instant = model.next_refresh("a", NEW_YEAR)
    start = event("a", "sms", NEW_YEAR, 1, "e1")
    assert row(start, tick(instant - 1)) == row(start)
    assert len(folded(start, tick(instant))[1]) == 2
    fold, effects = folded(start, tick(instant + 5))
    assert summary(effects)[1:] == [("a", "refresh", f"refresh:{iso(instant)}")]
    assert fold.snapshot("a")["as_of"] == instant
    assert fold.snapshot("a")["due"] == instant + DAY
    assert fold.partition_row["tick"] == instant + 5


def test_a_tick_for_everyone_moves_everyone_to_it() -> None:
    # The calls leave the window on the 30th day, hours before that day's refresh.
    calls = [event("a", "voice_call", NEW_YEAR, 1, f"e{n}") for n in range(20)]
    before, last = NEW_YEAR + 30 * DAY - 1, NEW_YEAR + 30 * DAY
    _, said = folded(*calls)
    fold, effects = folded(*calls, tick(before, everyone=True), tick(last, everyone=True))
    refresh = model.last_refresh("a", before)
    assert summary(effects)[len(said) :] == [
        ("a", "refresh", f"refresh:{iso(refresh)}"),
        ("a", "moved", f"tick:{iso(last)}"),
    ]
    assert fold.snapshot("a")["as_of"] == last
    assert fold.snapshot("a")["due"] == refresh + DAY


def test_ticks_never_go_back() -> None:
    start = [event("a", "sms", NEW_YEAR, 1, "e1"), tick(NEW_YEAR + 5 * DAY)]
    again = folded(*start, tick(NEW_YEAR + 5 * DAY, everyone=True), tick(NEW_YEAR + 4 * DAY, everyone=True))
    assert again[1] == folded(*start)[1]
    assert again[0].snapshot("a") == row(*start)


def test_a_tick_takes_rows_by_due_and_then_by_id() -> None:
    names = ["b", "a", "ключ", "0"]
    starts = [event(name, "sms", NEW_YEAR, 1, "e") for name in names]
    for everyone in (False, True):
        _, effects = folded(*starts, tick(NEW_YEAR + 2 * DAY, everyone))
        refreshed = [who for who, reason, _ in summary(effects) if reason == "refresh"]
        assert refreshed == sorted(
            names, key=lambda name: (model.refresh_minute(name) or 1440, name.encode())
        )


def test_a_marker_counts_from_the_next_record_and_never_goes_back() -> None:
    # JPY has no decimals, KWD three.
    paid = [event("a", "recharge", NEW_YEAR, 1, f"e{n}") for n in range(4)]
    fold, _ = folded(paid[0], marker(4), paid[1], marker(2), paid[2], marker(5), paid[3])
    assert fold.snapshot("a")["life"]["recharge"] == 100 + 1000 + 1000 + 1
    assert fold.partition_row["revision"] == 5


def test_a_rows_day_does_not_go_back_when_the_timezone_does() -> None:
    # Revision 4 is at UTC+14, revision 5 at UTC-11: at 2020-01-01T12:00 the days are D+1 and D.
    records = [marker(4), event("a", "sms", "2020-01-01T12:00", 1, "e1"), marker(5)]
    found = row(*records, event("a", "sms", "2020-01-01T13:00", 1, "e2"))
    assert found["day"] == D + 1
    assert found["rings"]["sms"] == {D: 1, D + 1: 1}
    assert row(*records, event("a", "sms", "2020-01-03T12:00", 1, "e2"))["rings"]["sms"] == {
        D + 1: 1,
        D + 2: 1,
    }


def test_a_rows_day_goes_on_when_the_timezone_does() -> None:
    # From UTC to UTC+5:45 (revision 2): a late event finds the row a day further, though its time stays.
    found = row(
        event("a", "sms", "2020-01-01T20:00", 1, "e1"),
        marker(2),
        event("a", "sms", "2020-01-01T19:00", 1, "e2"),
    )
    assert found["day"] == D + 1
    assert found["as_of"] == at("2020-01-01T20:00")
    assert found["rings"]["sms"] == {D: 1, D + 1: 1}


# Commands.


def test_recalculate() -> None:
    start = event("a", "sms", NEW_YEAR, 1, "e1")
    last = model.next_refresh("a", NEW_YEAR) + 3_600_000
    fold, effects = folded(start, tick(last), command("a"), command("a", "2026-01-01"))
    assert summary(effects)[2:] == [("a", "recalculate", "id-c1"), ("c1", "done", "")]
    assert fold.snapshot("a")["as_of"] == last  # the tick's time, not the command's
    assert fold.counts["duplicates"] == 1
    text = "\x1f".join(["a", "command", "0", "commands", "id-c1", "0"])
    assert effects[-1] == {
        "topic": "command-results",
        "key": "c1",
        "value": {
            "effect_id": hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
            "customer_id": "a",
            "occurred_at": "2020-01-01T00:00:00.000Z",
            "revision": 0,
            "cause": {"source": "commands", "event_id": "id-c1"},
            "command_id": "c1",
            "partition": 0,
            "status": "done",
            "reason": "",
        },
    }


def test_recalculate_publishes_a_refresh_that_is_due() -> None:
    old = event("b", "sms", NEW_YEAR, 1, "e1")
    _, effects = folded(tick(NEW_YEAR + 9 * DAY), old, command("b"))
    refresh = model.last_refresh("b", NEW_YEAR + 9 * DAY)
    assert summary(effects) == [
        ("b", "moved", "e1"),
        ("b", "refresh", f"refresh:{iso(refresh)}"),
        ("b", "recalculate", "id-c1"),
        ("c1", "done", ""),
    ]


def test_a_command_is_remembered_for_seven_days_of_the_tick() -> None:
    records = [event("a", "sms", NEW_YEAR, 1, "e1"), tick(NEW_YEAR + DAY), command("a")]
    for later, results in [(7 * DAY, 1), (7 * DAY + 1, 2)]:
        _, effects = folded(*records, tick(NEW_YEAR + DAY + later), command("a"))
        assert len([done for done in summary(effects) if done == ("c1", "done", "")]) == results


def test_commands_that_are_refused() -> None:
    fold, effects = folded(
        event("a", "customer_ended", NEW_YEAR),
        event("b", "sms", NEW_YEAR, 1, "e"),
        command("nobody", command_id="1"),
        command("a", command_id="2"),
        command("b", command_id="3", name="dance"),
        command("nobody", command_id="4", name="dance"),
        command("", command_id="5", segment="gold"),
        command("", command_id="6"),
        command("a", command_id="2"),
    )
    assert summary(effects)[1:] == [
        ("1", "refused", "unknown_customer"),
        ("2", "refused", "closed"),
        ("3", "refused", "unknown_command"),
        ("4", "refused", "unknown_command"),
        ("5", "refused", "unknown_segment"),
        ("6", "refused", "unknown_segment"),
        ("2", "refused", "closed"),  # a refused one is not remembered
    ]
    assert list(fold.customers) == ["a", "b"]
    assert effects[-1] == effects[2]


def test_a_command_for_everybody() -> None:
    names = ["ключ", "b", "a"]
    starts = [event(name, "sms", NEW_YEAR, 1, "e") for name in names]
    closed = [event("c", "customer_ended", NEW_YEAR)]
    _, effects = folded(*starts, *closed, command("", segment="all"), partition=3)
    assert summary(effects)[3:] == [
        *((who, "recalculate", "id-c1") for who in sorted(names)),
        ("c1", "done", ""),
    ]
    text = "\x1f".join(["", "command", "0", "commands", "id-c1", "3"])
    assert effects[-1]["value"]["effect_id"] == hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    assert (effects[-1]["value"]["customer_id"], effects[-1]["value"]["partition"]) == ("", 3)


# One customer becomes another.


def test_a_link_forwards_what_the_row_was() -> None:
    records = [
        event("a", "profile_update", NEW_YEAR, 1, "p", segment="gold"),
        event("a", "customer_link", NEW_YEAR + DAY, 1, "l", to="b"),
    ]
    fold = ReferenceFold(0, CONTENTS)
    fold.fold(list(enumerate(records)))
    linked = fold.snapshot("a")
    assert (linked["state"], linked["due"]) == (3, NO_TIME)
    assert fold.side["a"]["l"] == "b"
    (forward,) = fold.forwards
    hashes = [f"{model.hash64(b'test' + bytes(1) + name):016x}" for name in (b"p", b"l")]
    refresh = model.last_refresh("a", NEW_YEAR + DAY)
    assert forward == {
        "topic": "customer-events",
        "key": "b",
        "value": {
            "event_id": f"merge:{hashes[1]}",
            "customer_id": "b",
            "event_type": "_merge",
            "source": "khaywe",
            "value": 1,
            "occurred_at": iso(NEW_YEAR + DAY),
            "received_at": iso(NEW_YEAR + DAY + 1_000),
            "attributes": {
                "from": "a",
                "path": ["a"],
                "row": linked
                | dict.fromkeys(("due", "next_refresh"), model.next_refresh("a", refresh))
                | {"state": 1},
                "ids": {hashes[0]: NEW_YEAR, hashes[1]: NEW_YEAR + DAY},
                "profile": {"segment": "gold"},
            },
        },
    }


def test_a_merge_adds_what_the_other_was() -> None:
    a = [
        event("a", "activation", NEW_YEAR),
        event("a", "voice_call", NEW_YEAR, 100, "c1"),
        event("a", "recharge", NEW_YEAR + 40 * DAY, 5),
        event("a", "profile_update", NEW_YEAR + 40 * DAY, segment="gold", tariff="t1", consent=True),
        event("a", "opt_in", NEW_YEAR + 40 * DAY),
        event("a", "sms", NEW_YEAR + 40 * DAY, 1, "s1"),
    ]
    b = [
        event("b", "sms", NEW_YEAR + 20 * DAY, 2, "s1"),
        event("b", "recharge", NEW_YEAR + 40 * DAY, 7),
        event("b", "profile_update", NEW_YEAR + 39 * DAY, segment="silver"),
        event("b", "sms", NEW_YEAR + 45 * DAY, 3, "s2"),
    ]
    fold, effects = folded(*a, *b, event("a", "customer_link", NEW_YEAR + 41 * DAY, 1, "l", to="b"))
    found = fold.snapshot("b")
    assert found["as_of"] == NEW_YEAR + 45 * DAY
    assert found["rings"] == {name: {} for name in model.RINGS} | {
        "sms": {D + 20: 2, D + 40: 1, D + 45: 3},
        "recharge": {D + 40: 1200},
        "revenue": {D + 40: 1200},
    }
    assert found["life"] == dict.fromkeys(model.LIFE, 0) | {
        "calls": 1,
        "seconds": 100,
        "sms": 6,
        "recharge": 1200,
        "revenue": 1200,
        "transactions": 2,
    }
    assert (found["first_event"], found["activation"]) == (NEW_YEAR, NEW_YEAR)
    assert (found["last_activity"], found["last_transaction"]) == (NEW_YEAR + 45 * DAY, NEW_YEAR + 40 * DAY)
    # The weeks of 15 and 10 February, of the 9th, of 21 January, of 1 January.
    assert found["weeks"] == 0b1001011
    assert found["hashes"] == [model.hash64(b"test\x00" + name) for name in (b"s1", b"s2", b"c1")]
    assert fold.side["b"]["p"] == {"segment": "silver", "tariff": "t1", "consent": True}
    assert found["profile"]["opted"] == 1
    assert found["profile"]["profile_at"] == NEW_YEAR + 40 * DAY
    assert [code for code, _, _ in found["recent"]] == [3, 6, 15, 3]
    assert len(fold.side["b"]["e"]) == 2 + 5 + 1  # b's own, those of a with its link, the merge
    assert summary(effects)[-1][:2] == ("b", "moved")
    assert summary(effects)[-1][2].startswith("merge:")


def test_a_merge_leaves_what_the_row_knows() -> None:
    link = event("a", "customer_link", NEW_YEAR, 1, "l", to="b")
    same = [event(name, "recharge", NEW_YEAR, 1, "same") for name in "ab"]
    later = event("b", "sms", NEW_YEAR + DAY)
    said = [event("a", "opt_in", NEW_YEAR), event("b", "opt_out", NEW_YEAR)]
    entry = model.hash64(b"test\x00same")
    fold, _ = folded(*said, same[0], later, same[1], link)
    assert fold.snapshot("b")["profile"]["opted"] == 2
    assert fold.side["b"]["e"][entry] == NEW_YEAR + DAY
    fold, _ = folded(same[1], event("a", "sms", NEW_YEAR + DAY), same[0], link)
    assert fold.side["b"]["e"][entry] == NEW_YEAR + DAY


def test_a_merge_brings_the_day_of_the_carried_row() -> None:
    # At UTC+14 (revision 4) the day is D + 1, at UTC-11 (revision 5) it is D.
    fold, _ = folded(
        marker(4),
        event("a", "sms", "2020-01-01T12:00", 1, "s"),
        marker(5),
        event("b", "sms", "2020-01-01T12:00", 1, "s"),
        event("a", "customer_link", "2020-01-01T12:00", 1, "l", to="b"),
    )
    assert fold.snapshot("b")["day"] == D + 1
    assert fold.snapshot("b")["rings"]["sms"] == {D: 1, D + 1: 1}


def test_a_merge_opens_a_row_for_whom_nobody_knows() -> None:
    fold, _ = folded(
        event("a", "sms", NEW_YEAR, 4), event("a", "customer_link", NEW_YEAR - DAY, 1, "l", to="new")
    )
    found = fold.snapshot("new")
    assert (found["state"], found["as_of"]) == (1, NEW_YEAR)
    assert found["due"] == model.next_refresh("new", NEW_YEAR)
    assert found["rings"]["sms"] == {D: 4}
    assert found["recent"] == []


def test_later_records_of_a_linked_row_go_to_the_other() -> None:
    fold, _ = folded(
        event("a", "customer_link", NEW_YEAR, 1, "l", to="b"),
        event("a", "sms", NEW_YEAR + 1, 1, "s", feature="x"),
    )
    assert plain_forwards(fold.forwards)[1]["value"] == json.loads(
        event("b", "sms", NEW_YEAR + 1, 1, "s", feature="x", _path=["a"])
    )
    assert fold.snapshot("b")["life"]["sms"] == 1
    assert fold.snapshot("a")["life"]["sms"] == 0


def test_a_chain_of_links() -> None:
    names = ["a", "b", "c", "d"]
    links = [event(x, "customer_link", NEW_YEAR, 1, f"l{x}", to=y) for x, y in pairwise(names)]
    fold, _ = folded(*links, event("a", "sms", NEW_YEAR, 1, "s"))
    assert [fold.snapshot(name)["state"] for name in names] == [3, 3, 3, 1]
    assert fold.snapshot("d")["life"]["sms"] == 1
    paths = [forward["value"]["attributes"].get("path") for forward in fold.forwards]
    assert paths.count(["a", "b", "c"]) == 1


@pytest.mark.parametrize("to", ["", None, 5, "a", "\x00", ["b"]])
def test_a_link_to_nowhere_is_refused_and_counted_like_any_event(to: Any) -> None:
    fold, effects = folded(event("a", "customer_link", NEW_YEAR, 1, "l", to=to))
    assert fold.snapshot("a")["state"] == 1
    assert fold.counts == {"links_refused": 1}
    assert summary(effects) == [("a", "moved", "l")]
    assert not fold.forwards


def test_a_cycle_is_refused_by_whoever_closed_it() -> None:
    a, b = event("a", "sms", NEW_YEAR, 1, "s"), event("b", "sms", NEW_YEAR, 2, "s")
    to_b = event("a", "customer_link", NEW_YEAR, 1, "la", to="b")
    to_a = event("b", "customer_link", NEW_YEAR, 1, "lb", to="a")
    fold = ReferenceFold(0, CONTENTS)
    run_log(fold, [[a, b, to_b], [to_a]])
    assert (fold.snapshot("a")["state"], fold.snapshot("b")["state"]) == (3, 1)
    assert fold.snapshot("b")["life"]["sms"] == 3
    assert fold.snapshot("b")["due"] == model.next_refresh("b", NEW_YEAR)
    assert "l" not in fold.side["b"]
    assert fold.counts["links_refused"] == 1

    # Both at once: both are refused, and each keeps its own.
    fold = ReferenceFold(0, CONTENTS)
    run_log(fold, [[a, b, to_b, to_a]], twice=True)
    assert [fold.snapshot(name)["life"]["sms"] for name in "ab"] == [1, 2]
    assert [fold.snapshot(name)["state"] for name in "ab"] == [1, 1]


def test_an_event_that_comes_back_to_a_linked_row_is_ignored() -> None:
    fold, _ = folded(
        event("a", "customer_link", NEW_YEAR, 1, "l", to="b"), event("a", "sms", NEW_YEAR, _path=["a"])
    )
    assert fold.counts == {"links_refused": 1}
    assert len(fold.forwards) == 1


def test_a_merge_that_comes_twice_counts_once() -> None:
    records = [event("a", "sms", NEW_YEAR, 5), event("a", "customer_link", NEW_YEAR, 1, "l", to="b")]
    fold = ReferenceFold(0, CONTENTS)
    run_log(fold, [records], twice=True)
    assert fold.snapshot("b")["life"]["sms"] == 5
    assert fold.counts == {"duplicates": 1}


def test_an_ended_row_takes_no_merge() -> None:
    fold, _ = folded(
        event("b", "customer_ended", NEW_YEAR), event("a", "customer_link", NEW_YEAR, 1, "l", to="b")
    )
    assert fold.counts == {"ignored_ended": 1}
    assert fold.snapshot("b")["state"] == 2
