"""docs/game.md by examples worked out by hand: features, conditions, and what commands do in the game."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from loyalty import vocabulary
from loyalty.conditions import Comparison
from loyalty.game import Game, Goal, Offer, Reward, Tier
from tests.reference import conditions
from tests.reference.examples import DAY, HOUR, NEW_YEAR, contents, play, story
from tests.reference.features import features
from tests.reference.games import badge, template
from tests.reference.model import read, word_hash
from tests.reference.records import event, marker, tick
from tests.reference.streams_game import ask

NOTHING = Game()


# Badges whose conditions always hold and look at every feature, as decisions show.
NAMES = list(vocabulary.KINDS)
LOOKS = [
    " and ".join(f"({name} is known or {name} is unknown)" for name in NAMES[n : n + 10])
    for n in range(0, len(NAMES), 10)
]
LOOKS += ["risk is known"] * (-len(LOOKS) % 4)
SHOW = Game([], [badge(n // 4, f"Show {n}", *LOOKS[n : n + 4]) for n in range(0, len(LOOKS), 4)])


def seen(*records: bytes) -> dict[str, Any]:
    """The features of customer a after these, as of the row's time, as decisions show them."""
    _, effects = play(contents(NOTHING, SHOW), [*records, marker(1), ask("a", "award", NEW_YEAR, "look")])
    found: dict[str, Any] = {}
    for effect in effects:
        if effect["topic"] == "decisions" and effect["key"] == "a":
            for each in effect["value"]["conditions"]:
                found[each["condition"].split(" ")[0]] = each["seen"]
    return found


def everyone(when: str) -> bytes:
    return tick(when, everyone=True)


# Features.


def test_the_names_are_those_of_the_vocabulary() -> None:
    fold, _ = play(NOTHING, [event("a", "sms", NEW_YEAR)])
    c = fold.customers["a"]
    found = features(c, fold._scores(c), 2, fold._day)
    assert set(found) == set(vocabulary.KINDS)
    assert len(found) == len(vocabulary.FEATURES)


def test_figures_in_canonical_units() -> None:
    found = seen(
        event("a", "roaming_call", "2020-01-01", 90),
        event("a", "data_session", "2020-01-02", 1.5),
        event("a", "recharge", "2020-01-03", 12.5),
        event("a", "refund", "2020-01-20", 2),
        event("a", "app_install", "2020-01-20"),
        event("a", "content_view", "2020-01-20", 2),
        event("a", "payment", "2020-01-21", 1, on_time=True),
        event("a", "payment", "2020-01-21", 1, "second", on_time=False),
        everyone("2020-02-01"),
    )
    # The window is the third of January to the first of February.
    assert {name: value for name, value in found.items() if value and name.endswith("_30_days")} == {
        "recharge_30_days": 12.5,
        "revenue_30_days": 12.5,
        "content_view_30_days": 2.0,
        "app_other_30_days": 1.0,
        "app_events_30_days": 3.0,
    }
    assert (found["calls_lifetime"], found["seconds_lifetime"], found["data_mb_lifetime"]) == (1.0, 90.0, 1.5)
    assert (found["revenue_lifetime"], found["recharge_lifetime"], found["revenue_90_days"]) == (
        12.5,
        12.5,
        12.5,
    )
    assert (found["payments_known_lifetime"], found["payments_on_time_lifetime"], found["on_time_share"]) == (
        2.0,
        1.0,
        0.5,
    )
    assert (found["payment_count"], found["refund_count"], found["sms_count"]) == (2.0, 1.0, 0.0)
    assert found["arpu"] == 12.5 / 3.0
    assert found["digital"] == 1.33  # two views of the 30 that are worth 20


def test_what_is_not_known() -> None:
    found = seen(event("a", "complaint", NEW_YEAR))
    unknown = [name for name, value in found.items() if value is None]
    assert sorted(unknown) == sorted(
        [
            "days_since_last_activity", "days_since_last_transaction", "on_time_share", "churn_probability",
            "days_to_anniversary", "days_to_birthday", "segment", "lifecycle_stage", "language", "timezone",
            "tariff", "consent", "opted_in", "predicted_ltv", "purchase_propensity", "campaign_response",
            "default_risk", "upsell_propensity", "predicted_active_days", "rfm_score", "next_best_offer",
        ]
    )  # fmt: skip
    assert found["tenure_days"] == 0.0


@pytest.mark.parametrize(
    ("on", "today", "streak", "month", "quarter"),
    [
        ((0, 1, 2), 2, 3, 3, 3),
        ((0, 1, 2), 3, 3, 3, 3),  # today is not over
        ((0, 1, 2), 4, 0, 3, 3),
        ((0, 2, 3), 3, 2, 3, 3),
        ((0,), 29, 0, 1, 1),
        ((0,), 30, 0, 0, 1),
        ((0,), 89, 0, 0, 1),
        ((0,), 90, 0, 0, 0),
        (tuple(range(200)), 199, 128, 30, 90),
        (tuple(range(200)), 200, 127, 29, 89),
    ],
)
def test_active_days(on: tuple[int, ...], today: int, streak: int, month: int, quarter: int) -> None:
    done = [event("a", "sms", NEW_YEAR + n * DAY, 1, f"s{n}") for n in on]
    found = seen(*done, tick(NEW_YEAR + today * DAY + HOUR, everyone=True))
    assert (found["active_streak_days"], found["active_days_30"], found["active_days_90"]) == (
        streak,
        month,
        quarter,
    )


def test_late_days_count_within_128() -> None:
    for back, days in ((127, 2), (128, 1)):
        fold, _ = play(
            NOTHING, [event("a", "sms", NEW_YEAR), event("a", "sms", NEW_YEAR - back * DAY, 1, "late")]
        )
        assert fold.snapshot("a")["active_days"].bit_count() == days


def test_comebacks() -> None:
    times = (
        ("2020-01-01", 0, 0),
        ("2020-01-30", 0, 0),
        ("2020-02-29", 1, 30),
        ("2020-02-28", 1, 30),
        ("2020-06-29", 2, 121),
        ("2020-08-01", 3, 121),
    )
    done: list[bytes] = []
    for n, (when, comebacks, longest) in enumerate(times):
        done.append(event("a", "sms", when, 1, f"s{n}"))
        found = seen(*done)
        assert (found["comebacks"], found["longest_absence_days"]) == (comebacks, longest)
    # A complaint is no activity.
    assert seen(*done[:1], event("a", "complaint", "2020-05-01"))["comebacks"] == 0.0


@pytest.mark.parametrize(
    ("activation", "today", "days"),
    [
        ("2020-01-01", "2020-01-01", 366),  # the day itself is none
        ("2020-01-01", "2020-12-31", 1),
        ("2020-01-01", "2021-01-01", 0),
        ("2020-01-01", "2021-01-02", 364),
        ("2020-02-29", "2021-02-28", 1),
        ("2020-02-29", "2021-03-01", 0),
        ("2020-02-29", "2024-02-28", 1),
        ("2020-02-29", "2024-03-01", 365),
    ],
)
def test_anniversaries(activation: str, today: str, days: int) -> None:
    assert seen(event("a", "activation", activation), everyone(today))["days_to_anniversary"] == days


@pytest.mark.parametrize(
    ("birthday", "today", "days"),
    [
        ("1990-01-01", "2020-01-01", 0),
        ("01-01", "2020-01-02", 365),
        ("12-31", "2020-01-01", 365),
        ("02-29", "2020-02-28", 1),
        ("02-29", "2021-02-28", 1),
        ("02-29", "2021-03-01", 0),
        ("02-30", "2020-02-29", 1),
        ("02-30", "2020-03-01", 0),
        ("04-31", "2020-04-30", 1),
    ],
)
def test_birthdays(birthday: str, today: str, days: int) -> None:
    born = event("a", "profile_update", "2019-12-01", birthday=birthday)
    assert seen(born, everyone(today))["days_to_birthday"] == days


def test_words_and_flags() -> None:
    known = event("a", "profile_update", NEW_YEAR, segment="gold", tariff=7, consent="no")
    found = seen(known, event("a", "opt_in", NEW_YEAR))
    assert (found["segment"], found["tariff"], found["language"]) == ("gold", "7", None)
    assert (found["consent"], found["opted_in"]) == (False, True)


# Conditions.

VALUES: dict[str, float | None] = {
    "risk": 60.0, "digital": None, "segment": float(word_hash("gold")), "tariff": None, "consent": 1.0,
    "opted_in": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True), ("risk >= 60", True), ("risk > 60", False), ("risk = 60.0", True), ("risk != 60", False),
        ("digital > 0", False), ("not (digital > 0)", True), ("digital != 5", False),
        ("digital is unknown", True),
        ("risk in (1, 60)", True), ("risk not in (1, 60)", False), ("digital in (1)", False),
        ("digital not in (1)", True), ('segment = "gold"', True), ('segment != "gold"', False),
        ('segment in ("x", "gold")', True), ('tariff != "x"', False), ("tariff is known", False),
        ("consent = yes", True), ("consent != yes", False), ("consent = no", False),
        ("opted_in != yes", False),
        ("risk < 1 and risk > 1 or risk = 60", True), ("risk = 60 or risk < 1 and risk > 1", True),
        ("not risk = 60 or risk = 60", True), ("(risk = 60 or risk < 1) and risk > 60", False),
    ],
)  # fmt: skip
def test_conditions(text: str, holds: bool) -> None:
    node = conditions.condition(text)
    assert conditions.holds(node, conditions.of_features(VALUES)) is holds


@pytest.mark.parametrize(
    ("attribute", "text", "holds"),
    [
        ("x", 'a = "x"', True), (7, 'a = "7"', True), (7.0, 'a = "7"', False), (True, 'a = "true"', False),
        ("7", "a = 7", False), (7, "a = 7", True), (7.0, "a = 7", True), (True, "a = 1", False),
        (None, "a != 1", False),
        (10**400, "a > 1", False), ("yes", "a = yes", True), (1, "a = yes", True), ("No", "a = no", True),
        (2, "a = no", False), (2, "a != yes", False), ("", "a is known", False), ("x", "a is known", True),
        (1.5, "a is known", False), (1.5, "a > 1", True), ([1], "a is unknown", True),
        (5, "a in (4, 5)", True),
        ("x", 'a not in ("y")', True), (None, 'a not in ("y")', True),
        (0, 'value = 2.5 and source = "test"', True), (0, "value > 2.5", False), (0, 'source != "x"', True),
    ],
)  # fmt: skip
def test_filters(attribute: Any, text: str, holds: bool) -> None:
    record = read(event("a", "recharge", NEW_YEAR, 2.5, a=attribute), lambda text: {})
    node = conditions.event_filter(text)
    assert conditions.holds(node, conditions.of_event(record, 2)) is holds


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("risk>=60", "risk >= 60"), ("risk  <  -0.50", "risk < -0.5"), ("risk = 10_240.0", "risk = 10240"),
        ("segment in ('a',\"b\")", 'segment in ("a", "b")'), ("segment = 'ö\"'", 'segment = "ö\\""'),
        ("consent != no", "consent != no"), ("risk not in (1,2.5)", "risk not in (1, 2.5)"),
        ("risk   is   unknown", "risk is unknown"),
    ],
)  # fmt: skip
def test_canonical_texts(text: str, canonical: str) -> None:
    node = conditions.condition(text)
    assert isinstance(node, Comparison)
    assert conditions.text_of(node) == str(node) == canonical


def test_what_a_decision_shows() -> None:
    text = (
        'not (risk >= 60) and (segment = "gold" or language is unknown) and consent != yes and opted_in = yes'
        " and churn_probability not in (0.5) and tenure_days >= 0"
    )
    game = Game([template(1, "It", Goal("count", ["sms"]), 1, eligibility=text)])
    log = [
        event("a", "profile_update", NEW_YEAR, segment="silver", consent=False),
        event("a", "opt_in", NEW_YEAR),
    ]
    _, effects = play(game, log)
    (why,) = (e["value"]["conditions"] for e in effects if e["topic"] == "decisions")
    assert why == [
        {"condition": "risk >= 60", "seen": 0.0, "holds": False},
        {"condition": 'segment = "gold"', "seen": "silver", "holds": False},
        {"condition": "language is unknown", "seen": None, "holds": True},
        {"condition": "consent != yes", "seen": False, "holds": True},
        {"condition": "opted_in = yes", "seen": True, "holds": True},
        {"condition": "churn_probability not in (0.5)", "seen": None, "holds": True},
        {"condition": "tenure_days >= 0", "seen": 0.0, "holds": True},
    ]


# Commands.

GAME = Game(
    [template(1, "It", Goal("count", ["sms"]), 1, 30, eligibility="days_since_last_activity >= 1")],
    [badge(2, "B", "tenure_days >= 1", *["risk < 0"] * 3, rewards={1: Reward(points=150, offer=3)})],
    [Tier("low", 0), Tier("high", 100)],
    [],
    [Offer(3, "More")],
    points_valid_months=1,
)
SMS = event("a", "sms", NEW_YEAR, 1, "s")


def asked(
    *commands: bytes, game: Game = GAME, before: tuple[bytes, ...] = (SMS,), **decide: Any
) -> list[str]:
    return story(play(contents(game, **decide), before, list(commands))[1])


def test_generate_and_award() -> None:
    # The refresh of the second day gives both; so ask at the time of a tick before it.
    start = (event("a", "sms", "2020-01-01T23:00", 1, "s"), tick("2020-01-02T22:00"))
    assert asked(ask("a", "generate", NEW_YEAR, "c"), before=start) == ["given 1", "c done"]
    assert asked(ask("a", "award", NEW_YEAR, "c"), before=start) == [
        "badge B bronze earned", "points +150 of badge:2:1 = 150", "offer offer 3 of badge:2:1 = 150",
        "tier high up", "c done",
    ]  # fmt: skip
    out = event("a", "opt_out", "2020-01-01T23:30")
    refused = [ask("a", name, NEW_YEAR, name) for name in ("generate", "award")]
    assert asked(*refused, before=(*start, out)) == ["generate refused opted_out", "award refused opted_out"]


def test_adjust_and_redeem() -> None:
    def points(command_id: str, name: str, n: Any) -> bytes:
        return ask("a", name, NEW_YEAR, command_id, {"points": n})

    fold, effects = play(
        GAME,
        [SMS],
        [
            points("1", "adjust", 120),
            points("2", "redeem", 50),
            points("3", "adjust", -70),
            points("4", "redeem", 1),
        ],
    )
    assert story(effects) == [
        "adjusted +120 of command = 120", "1 done", "redeemed -50 of command = 70", "2 done",
        "adjusted -70 of command = 0", "3 done", "4 refused insufficient_points",
    ]  # fmt: skip
    found = fold.snapshot("a")
    assert (found["points_earned"], found["points_redeemed"], found["year_points"]) == (120, 50, 0)
    months = [e["value"]["month"] for e in effects if e["topic"] == "reward-grants"]
    assert months == [602, 0, 0]
    # What was refused is not remembered: it may be asked again.
    assert asked(points("1", "redeem", 1), points("2", "adjust", 5), points("1", "redeem", 1)) == [
        "1 refused insufficient_points", "adjusted +5 of command = 5", "2 done", "redeemed -1 of command = 4",
        "1 done",
    ]  # fmt: skip
    for name, bad in (
        ("adjust", 0),
        ("adjust", 1.5),
        ("adjust", True),
        ("adjust", "5"),
        ("redeem", -5),
        ("redeem", None),
    ):
        assert asked(points("x", name, bad)) == ["x refused invalid_arguments"]
    assert asked(points("x", "adjust", 5), control_share=1.0) == ["x refused control"]


def test_points_that_expired_cannot_be_redeemed() -> None:
    # Two points of January and February; March begins, and the refresh of its first day is yet to come.
    game = Game(points_valid_months=1)
    early = (SMS, ask("a", "adjust", NEW_YEAR, "1", {"points": 2}), tick("2020-03-01T12:00", everyone=True))
    assert asked(ask("a", "redeem", NEW_YEAR, "2", {"points": 1}), before=early, game=game)[-2:] == [
        "expired -2 of expiry = 0", "2 refused insufficient_points",
    ]  # fmt: skip


def test_repeat_grant() -> None:
    start = [
        event("a", "sms", "2020-01-01T23:00", 1, "s"),
        tick("2020-01-02T22:00"),
        ask("a", "award", NEW_YEAR, "c"),
    ]
    # The first grant told is the points, the second the offer.
    fold, effects = play(GAME, start, [ask("a", "repeat_grant", NEW_YEAR, "1", {"grant_id": "@1@"})])
    assert story(effects)[-2:] == ["offer offer 3 of badge:2:1 again 1 = 150", "1 done"]
    assert [grant["repeats"] for grant in fold.side["a"]["g"].values()] == [1]
    for bad in ("@0@", "x"):
        _, effects = play(GAME, start, [ask("a", "repeat_grant", NEW_YEAR, "1", {"grant_id": bad})])
        assert story(effects)[-1] == "1 refused unknown_grant"
    _, effects = play(GAME, start, [ask("a", "repeat_grant", NEW_YEAR, "1", {})])
    assert story(effects)[-1] == "1 refused invalid_arguments"


def test_segments_by_condition() -> None:
    names = ("c", "a", "b")
    start = [event(name, "sms", "2020-01-01T23:00", n, name) for n, name in enumerate(names)]
    segment = ask("", "generate", NEW_YEAR, "x", segment="sms_lifetime >= 1")
    _, effects = play(GAME, start, [tick("2020-01-02T10:00"), segment])
    given = [e["key"] for e in effects if e["topic"] == "mission-progress"]
    assert given == ["a", "b"]
    assert story(effects)[-1] == "x done"
    for text in ("sms_lifetime >=", "", " ", 7, None, "nonsense = 1"):
        assert asked(ask("", "generate", NEW_YEAR, "x", segment=text)) == ["x refused unknown_segment"]
    for name in ("adjust", "redeem", "repeat_grant", "erase"):
        arguments = {"points": 1, "grant_id": "x"}
        assert asked(ask("", name, NEW_YEAR, "x", arguments, segment="all")) == ["x refused unknown_segment"]


def test_opt_out_by_command_cancels() -> None:
    start = (event("a", "sms", "2020-01-01T23:00", 1, "s"), event("a", "complaint", "2020-01-02T12:00"))
    assert asked(ask("a", "opt_out", NEW_YEAR, "x"), before=start)[-2:] == [
        "cancelled 1 0/1 opted_out",
        "x done",
    ]


def test_predictions_need_a_model() -> None:
    assert asked(ask("a", "predict", NEW_YEAR, "x"), ask("", "predict", NEW_YEAR, "y", segment="all")) == [
        "x refused no_model", "y refused no_model",
    ]  # fmt: skip


def test_erase() -> None:
    erase = ask("a", "erase", "2020-01-05", "x")
    fold, effects = play(NOTHING, [SMS, event("a", "profile_update", NEW_YEAR, segment="gold"), erase])
    hashed = hashlib.blake2b(b"a", digest_size=16).hexdigest()
    assert [(e["topic"], e["key"], e["value"]) for e in effects[-5:-1]] == [
        ("behavior-scores", "a", None),
        ("predictions", "a:inline", None),
        ("predictions", "a:daily", None),
        ("erasures", hashed, {"customer_hash": hashed, "erased_at": "2020-01-05T00:00:00.000Z"}),
    ]
    assert (effects[-1]["value"]["customer_id"], effects[-1]["value"]["status"]) == ("", "done")
    assert (fold.customers, fold.side, fold.erased) == ({}, {}, {hashed})
    # The tick's time, if there was one.
    _, effects = play(NOTHING, [SMS, tick("2020-01-04"), erase])
    assert effects[-2]["value"]["erased_at"] == "2020-01-04T00:00:00.000Z"
    # What comes later is ignored, until the customer is back.
    later = [event("a", "sms", NEW_YEAR + n * DAY, 1, f"s{n}") for n in (5, 6)]
    link = event("b", "customer_link", NEW_YEAR + 6 * DAY, to="a")
    fold, effects = play(NOTHING, [SMS, erase, *later, ask("a", "recalculate", NEW_YEAR, "y"), erase, link])
    assert story(effects) == ["x done", "y refused erased", "x refused erased"]
    assert fold.counts["ignored_erased"] == 3
    assert list(fold.customers) == ["b"]
    for back in ("opt_in", "activation"):
        fold, _ = play(NOTHING, [SMS, erase, event("a", back, NEW_YEAR + 7 * DAY), *later])
        assert not fold.erased
        assert (fold.customers["a"].state, fold.customers["a"].life["sms"]) == (1, 0)
        assert fold.counts["ignored_before_activation"] == 2
    # A closed row can be erased; nobody's cannot.
    assert asked(event("a", "customer_ended", NEW_YEAR), erase) == ["x done"]
    assert asked(erase, before=()) == ["x refused unknown_customer"]
