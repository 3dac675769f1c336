"""docs/game.md by examples worked out by hand: points, offers, badges, refunds, accounts, merges."""

from __future__ import annotations

import hashlib
from typing import Any

from loyalty.game import Earning, Game, Goal, Limits, Offer, Reward, Template, Tier
from tests.reference.examples import DAY, HOUR, NEW_YEAR, REFRESH, contents, decided, play, story
from tests.reference.fold import ReferenceFold
from tests.reference.games import badge, template
from tests.reference.model import hash64
from tests.reference.records import at, event, marker, tick
from tests.reference.streams_game import ask

JANUARY = 600  # 2020
TIERS = [Tier("bronze", 0), Tier("silver", 100), Tier("gold", 300)]
PER_UNIT = Game([], [], TIERS, [Earning(4, "Paid", ["recharge", "payment"], 1.5)], [], points_valid_months=2)


def pay(
    value: float, when: int | str = NEW_YEAR, name: str = "p", kind: str = "recharge", **attributes: Any
) -> bytes:
    return event("a", kind, when, value, name, **attributes)


def refund(of: str, when: int | str = NEW_YEAR + DAY, name: str = "back") -> bytes:
    return event("a", "refund", when, 1, name, refunds=of)


def sms(game: list[Template] | None = None, **rewards: Any) -> Game:
    """A mission of one SMS with rewards, given by anything."""
    one = template(
        1, "It", Goal("count", ["sms"]), 1, 30, rewards=Reward(**rewards), eligibility="sms_count = 0"
    )
    return Game([one, *(game or [])], [], [], [], [Offer(0, "Free"), Offer(3, "More")], points_valid_months=2)


FIRST = event("a", "referral", NEW_YEAR, 1, "first")
SMS = event("a", "sms", NEW_YEAR + HOUR, 1, "sms")


def account(fold: ReferenceFold) -> tuple[list[list[int]], int, int, int]:
    """Lots, debt, points of this year, points ever earned."""
    found = fold.snapshot("a")
    return found["lots"], found["debt"], found["year_points"], found["points_earned"]


# Earning and lots.


def test_earnings_are_whole_points() -> None:
    for value, points in [(0.66, 0), (0.67, 1), (1.33, 1), (10, 15), (-5, 0), (0, 0)]:
        fold, effects = play(PER_UNIT, [pay(value)])
        assert story(effects) == ([f"points {points:+} of earn:4 = {points}"] if points else [])
        assert decided(effects) == []
    assert account(fold) == ([], 0, 0, 0)
    fold, effects = play(PER_UNIT, [pay(10, name="x"), pay(4, "2020-01-31", "y", "payment")])
    # They are valid in January and the two months after it.
    assert account(fold) == ([[JANUARY + 3, 21]], 0, 21, 21)
    assert effects[0]["value"]["month"] == JANUARY + 3


def test_the_effect_of_a_grant_and_its_decision() -> None:
    fold, effects = play(sms(points=20, offer=3), [FIRST, SMS])
    told = [e["value"] for e in effects if e["topic"] in ("reward-grants", "decisions")]
    points, why, offer, also = told[1:5]
    by = ["a", "grant:mission:1:points", "0", "test", "sms", "0"]
    grant_id = hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest()
    assert points == {
        "effect_id": grant_id,
        "customer_id": "a",
        "occurred_at": "2020-01-01T01:00:00.000Z",
        "revision": 0,
        "cause": {"source": "test", "event_id": "sms"},
        "grant_id": grant_id,
        "kind": "points",
        "rule": "mission:1",
        "points": 20,
        "offer": -1,
        "balance": 20,
        "month": JANUARY + 3,
        "reverses": "",
        "repeat": 0,
    }
    assert (why["kind"], why["decision"], why["rule"], why["name"]) == ("grant", "points", "mission:1", "It")
    assert why["conditions"] == [{"condition": "progress >= 1", "seen": 1.0, "holds": True}]
    assert (offer["kind"], offer["points"], offer["offer"], offer["balance"], offer["month"]) == (
        "offer",
        0,
        3,
        20,
        0,
    )
    assert (also["decision"], also["conditions"]) == ("offer", why["conditions"])
    # Only offers are kept, as the cause was no money.
    assert fold.side["a"]["g"] == {
        offer["grant_id"]: {
            "at": NEW_YEAR + HOUR, "rule": "mission:1", "kind": "offer", "points": 0, "month": 0, "offer": 3,
            "status": "open", "told": NEW_YEAR + HOUR, "repeats": 0,
        }
    }  # fmt: skip
    assert "m" not in fold.side["a"]
    assert fold.snapshot("a")["open_grants"] == 1


def test_lots_expire_at_the_refresh_of_their_month() -> None:
    log = [pay(10, "2020-01-31", "a"), pay(20, "2020-02-01", "b"), tick("2020-04-30"), tick("2020-06-01")]
    fold, effects = play(PER_UNIT, log)
    expired = [e["value"] for e in effects if e["value"].get("kind") == "expired"]
    assert [(e["points"], e["month"], e["balance"], e["rule"], e["occurred_at"]) for e in expired] == [
        (-15, JANUARY + 3, 30, "expiry", "2020-04-29T22:16:00.000Z"),
        (-30, JANUARY + 4, 0, "expiry", "2020-05-31T22:16:00.000Z"),
    ]
    assert fold.snapshot("a")["points_expired"] == 45
    assert account(fold) == ([], 0, 45, 45)


def test_lots_that_expire_at_once_have_ids_of_their_own() -> None:
    log = [pay(10, "2020-01-31", "a"), pay(20, "2020-02-01", "b"), tick("2020-09-01")]
    _, effects = play(PER_UNIT, log)
    expired = [e["value"] for e in effects if e["value"].get("kind") == "expired"]
    assert [e["points"] for e in expired] == [-15, -30]
    for ordinal, effect in enumerate(expired):
        by = ["a", "grant:expiry:expired", "0", "khaywe", "refresh:2020-08-31T22:16:00.000Z", str(ordinal)]
        assert effect["effect_id"] == hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest()


def test_what_no_refresh_has_expired_is_no_balance_any_more() -> None:
    # April begins at midnight, the refresh is at 22:16.
    log = [pay(10, "2020-01-31", "a"), tick("2020-03-31T23:00"), pay(20, "2020-04-01", "b")]
    fold, effects = play(PER_UNIT, log)
    assert effects[-2]["value"]["balance"] == 30
    assert account(fold)[0] == [[JANUARY + 3, 15], [JANUARY + 6, 30]]


def test_there_are_fourteen_lots() -> None:
    def earning(months: int) -> Game:
        return Game([], [], [], [Earning(1, "E", ["payment"], 1.0)], [], points_valid_months=months)

    log = [pay(n + 1, at(f"202{n // 12}-{n % 12 + 1:02}-15"), f"p{n}", "payment") for n in range(15)]
    fold, _ = play(earning(60), log)
    # The fifteenth joins the last, whose month becomes its own.
    lots = account(fold)[0]
    assert lots[:13] == [[JANUARY + 61 + n, n + 1] for n in range(13)]
    assert lots[13] == [JANUARY + 61 + 14, 14 + 15]
    # With shorter months what comes sixteenth joins the first lot with a later month, and that is told.
    later = [*log, marker(1), pay(100, "2021-03-15", "q", "payment")]
    fold, effects = play(contents(earning(60), earning(40)), later)
    assert account(fold)[0] == [[JANUARY + 61, 101], *lots[1:]]
    assert effects[-2]["value"]["month"] == JANUARY + 61


# Debts and refunds.


def test_a_refund_takes_back_what_its_event_gave() -> None:
    fold, effects = play(PER_UNIT, [pay(10), refund("p"), refund("p", NEW_YEAR + DAY, "again")])
    first, second = (e["value"] for e in effects if e["topic"] == "reward-grants")
    assert (second["kind"], second["points"], second["reverses"]) == ("reversed", -15, first["grant_id"])
    assert (second["rule"], second["month"]) == (f"refund:{first['grant_id']}", JANUARY + 3)
    assert second["grant_id"] == second["effect_id"] != first["grant_id"]
    assert account(fold) == ([], 0, 0, 15)
    assert fold.side["a"]["g"][first["grant_id"]]["status"] == "reversed"
    undone = hash64(b"test\x00p")
    assert fold.side["a"]["m"] == {undone: {"at": NEW_YEAR, "grants": [first["grant_id"]]}}


def test_the_lot_of_the_grant_goes_first_then_the_oldest_then_a_debt() -> None:
    log = [pay(10, "2020-01-05", "a"), pay(20, "2020-02-05", "b"), pay(40, "2020-03-05", "c")]
    fold, _ = play(PER_UNIT, [*log, refund("b", "2020-03-06")])
    assert account(fold) == ([[603, 15], [605, 60]], 0, 75, 105)
    # 70 are spent from the oldest, then 30 are taken back: those of March, and nothing else is left of it.
    redeem = ask("a", "redeem", "2020-03-07", "r", {"points": 70})
    fold, _ = play(PER_UNIT, [*log, redeem, refund("b", "2020-03-08")])
    assert account(fold) == ([[605, 5]], 0, 75, 105)
    fold, _ = play(PER_UNIT, [*log, redeem, refund("b", "2020-03-08"), refund("c", "2020-03-08", "2")])
    assert account(fold) == ([], 55, 15, 105)
    # The next points pay the debt, and what they are worth is told as ever; only the rest is a lot.
    fold, effects = play(
        PER_UNIT,
        [*log, redeem, refund("b", "2020-03-08"), refund("c", "2020-03-08", "2"), pay(40, "2020-03-09", "d")],
    )
    assert account(fold) == ([[605, 5]], 0, 75, 165)
    told = [e["value"] for e in effects if e["topic"] == "reward-grants"][-1]
    assert (told["points"], told["balance"], told["month"]) == (60, 5, 605)
    # All of it: no lot, no month.
    fold, effects = play(
        PER_UNIT,
        [*log, redeem, refund("b", "2020-03-08"), refund("c", "2020-03-08", "2"), pay(20, "2020-03-09", "d")],
    )
    told = [e["value"] for e in effects if e["topic"] == "reward-grants"][-1]
    assert (told["points"], told["balance"], told["month"], account(fold)[1]) == (30, -25, 0, 25)


def test_a_refund_of_what_nobody_knows_says_so() -> None:
    fold, effects = play(PER_UNIT, [pay(10), event("a", "refund", NEW_YEAR, 3, "r", "other", refunds="p")])
    (told,) = (e["value"] for e in effects if e["topic"] == "decisions")
    assert (told["kind"], told["decision"], told["rule"], told["name"]) == (
        "refund",
        "unknown_event",
        "refund",
        "",
    )
    assert told["conditions"] == []
    by = ["a", "decision:refund:unknown", "0", "other", "r", "0"]
    assert told["effect_id"] == hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest()
    assert account(fold) == ([[603, 15]], 0, 15, 15)
    assert fold.snapshot("a")["life"]["revenue"] == 700
    # One that gave nothing, or a refund that names nothing: nothing.
    for quiet in (pay(0), pay(0, refunds=5)):
        assert (
            decided(play(PER_UNIT, [quiet, refund("p"), pay(1, refunds=None, name="n", kind="refund")])[1])
            == []
        )


def test_offers_and_badges_of_a_refunded_event() -> None:
    one = template(
        1, "It", Goal("count", ["recharge"]), 1, 30, 90, rewards=Reward(points=5, offer=0, badge=2, level=1)
    )
    badges = [badge(2, "B", *["calls_lifetime > 99"] * 4, rewards={1: Reward(points=7, offer=3)})]
    game = Game([one], badges, [], [], [Offer(0, "Free"), Offer(3, "More")])
    fold, effects = play(game, [FIRST, pay(9, NEW_YEAR + HOUR), refund("p")])
    assert [said.split(" of ")[0] for said in story(effects)[1:]] == [
        "completed 1 1/1", "points +5", "offer offer 0", "badge B bronze reward", "points +7",
        "offer offer 3", "reversed -5", "reversed offer 0", "reversed -7", "reversed offer 3",
    ]  # fmt: skip
    found = fold.snapshot("a")
    assert (found["open_grants"], found["lots"], found["badges"]) == (0, [], 1 << 8)
    assert {grant["status"] for grant in fold.side["a"]["g"].values()} == {"reversed"}


# Tiers.


def test_tiers_go_up_at_once_and_down_with_the_year_after_the_next() -> None:
    log = [
        pay(200, "2020-06-01", "a"),
        pay(1, "2021-06-01", "b"),
        tick("2022-01-01T23:00"),
    ]
    fold, effects = play(PER_UNIT, log)
    tiers = [e["value"] for e in effects if e["value"].get("kind") == "tier"]
    assert [(e["level"], e["level_name"], e["reason"], e["occurred_at"][:10]) for e in tiers] == [
        (2, "gold", "up", "2020-06-01"),
        (0, "bronze", "down", "2022-01-01"),
    ]
    assert (tiers[0]["number"], tiers[0]["name"]) == (0, "tier")
    by = ["a", "tier:0:2", "0", "test", "a", "0"]
    assert tiers[0]["effect_id"] == hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest()
    found = fold.snapshot("a")
    assert (found["tier"], found["year_points"], found["last_year_points"]) == (0, 0, 1)


def test_a_year_that_is_skipped_leaves_nothing() -> None:
    fold, _ = play(PER_UNIT, [pay(200, "2020-06-01", "a"), pay(1, "2022-06-01", "b")])
    found = fold.snapshot("a")
    assert (found["tier"], found["year_points"], found["last_year_points"]) == (0, 1, 0)


def test_a_reversal_takes_the_tier_along() -> None:
    _, effects = play(PER_UNIT, [pay(100), refund("p")])
    assert [said for said in story(effects) if said.startswith("tier")] == [
        "tier silver up",
        "tier bronze down",
    ]


# Badges.


def test_badges_by_number_and_level_while_the_condition_holds() -> None:
    badges = [
        badge(9, "Late", "sms_count >= 1", *["sms_count >= 3"] * 3),
        badge(4, "Talk", "sms_count >= 1", "sms_count >= 1", "sms_count >= 2", "sms_count >= 1"),
        badge(5, "Off", *["sms_count >= 0"] * 4, active=False),
    ]
    fold, effects = play(Game([], badges), [FIRST, SMS, event("a", "sms", NEW_YEAR + 2 * HOUR, 1, "2")])
    assert story(effects) == [
        "badge Talk bronze earned", "badge Talk silver earned", "badge Late bronze earned",
        "badge Talk gold earned", "badge Talk platinum earned",
    ]  # fmt: skip
    assert fold.snapshot("a")["badges"] == 0b1111 << 16 | 1 << 36
    why = next(e["value"] for e in effects if e["topic"] == "decisions")
    assert (why["kind"], why["rule"], why["name"]) == ("badge", "badge:4:1", "Talk")
    assert why["conditions"] == [{"condition": "sms_count >= 1", "seen": 1.0, "holds": True}]


def test_a_badge_as_a_reward_comes_with_the_levels_below_it() -> None:
    badges = [badge(2, "B", *["sms_count > 99"] * 4, rewards={2: Reward(points=7, badge=3, level=4)})]
    badges += [badge(3, "C", *["sms_count > 99"] * 4)]
    game = sms(badge=2, level=3)
    game = Game(game.templates, badges, offers=game.offers)
    _, effects = play(game, [FIRST, SMS])
    # The badge that stands in the reward of a badge is not given.
    assert story(effects) == [
        "given 1", "completed 1 1/1", "badge B bronze reward", "badge B silver reward",
        "points +7 of badge:2:2 = 7", "badge B gold reward",
    ]  # fmt: skip
    reasons = [e["value"]["conditions"] for e in effects if e["value"].get("decision") == "awarded"]
    assert reasons == [[], [], []]


# Offers: answers, repeats.


def test_an_open_offer_is_told_again_each_day_until_it_is_answered() -> None:
    days = [tick(NEW_YEAR + n * DAY + 23 * HOUR) for n in range(12)]
    fold, effects = play(sms(offer=3), [FIRST, SMS, *days])
    offers = [e["value"] for e in effects if e["topic"] == "reward-grants"]
    # Told at one o'clock; 24 hours have passed at the refresh of the next day, and of six more.
    assert [(e["repeat"], e["occurred_at"]) for e in offers] == [
        (0, "2020-01-01T01:00:00.000Z"),
        *((n, f"2020-01-0{n + 1}T22:16:00.000Z") for n in range(1, 8)),
    ]
    assert len({e["grant_id"] for e in offers}) == 1
    again = offers[2]
    by = ["a", f"repeat:{again['grant_id']}:2", "0", "khaywe", "refresh:2020-01-03T22:16:00.000Z", "0"]
    assert again["effect_id"] == hashlib.blake2b("\x1f".join(by).encode(), digest_size=16).hexdigest()
    grant = fold.side["a"]["g"][again["grant_id"]]
    assert (grant["told"], grant["repeats"], grant["status"]) == (NEW_YEAR + 7 * DAY + REFRESH, 7, "open")


def test_an_answer_closes_the_grant() -> None:
    for kind, status in (("grant_fulfilled", "fulfilled"), ("grant_failed", "failed")):
        answer = event("a", kind, NEW_YEAR + 2 * HOUR, 1, "answer", grant_id="@0@")
        twice = event("a", kind, NEW_YEAR + 2 * HOUR, 1, "twice", grant_id="@0@")
        fold, effects = play(sms(offer=3), [FIRST, SMS], [answer, twice, tick(NEW_YEAR + 5 * DAY)])
        assert fold.snapshot("a")["open_grants"] == 0
        assert [grant["status"] for grant in fold.side["a"]["g"].values()] == [status]
        assert len([e for e in effects if e["topic"] == "reward-grants"]) == 1


def test_an_answer_that_names_no_open_grant_is_nothing() -> None:
    for grant_id in ("@0@"[:1], "", None, 7, "0" * 32):
        answer = event("a", "grant_fulfilled", NEW_YEAR + 2 * HOUR, 1, "answer", grant_id=grant_id)
        assert play(sms(offer=3), [FIRST, SMS, answer])[0].snapshot("a")["open_grants"] == 1


# The end of a row.


def test_what_is_left_is_forfeited_at_the_end() -> None:
    log = [pay(10), event("a", "customer_ended", NEW_YEAR + DAY)]
    fold, effects = play(PER_UNIT, log)
    assert story(effects) == ["points +15 of earn:4 = 15", "forfeited -15 of ended = 0"]
    assert account(fold) == ([], 0, 15, 15)


# Accounts.


def capped(**limits: int) -> Game:
    one = template(
        1, "It", Goal("count", ["sms"]), 2, 3, limits=Limits(**limits), rewards=Reward(points=20),
        eligibility="sms_count = 0",
    )  # fmt: skip
    return Game([one])


def test_a_capped_mission_waits_for_its_account() -> None:
    fold = ReferenceFold(0, contents(capped(total=1)))
    effects = fold.apply(0, FIRST)
    started = NEW_YEAR // 1000
    mission_id = hashlib.blake2b(f"a\x1fmission\x1f1\x1f{started}".encode(), digest_size=16).hexdigest()
    assert [e["topic"] for e in effects] == ["decisions", "behavior-scores"]
    assert decided(effects) == ["mission:1 reserved"]
    assert effects[0]["value"]["conditions"] == [{"condition": "sms_count = 0", "seen": 0.0, "holds": True}]
    slot = {
        "status": 2, "template": 1, "revision": 0, "started": 0, "ends": 0, "target": 2, "progress": 0,
        "tenths": 0, "marks": 0,
    }  # fmt: skip
    assert fold.snapshot("a")["missions"][0] == slot
    request = {
        "event_id": mission_id,
        "customer_id": "template:1",
        "event_type": "_reserve",
        "source": "khaywe",
        "value": 1,
        "occurred_at": "2020-01-01T00:00:00.000Z",
        "received_at": "2020-01-01T00:00:00.000Z",
        "attributes": {"customer": "a", "template": 1, "count": 1, "points": 20},
    }
    assert fold.forwards == [{"topic": "customer-events", "key": "template:1", "value": request}]
    assert fold.apply(1, request) == []
    answer = request | {
        "event_id": f"reservation:{mission_id}",
        "customer_id": "a",
        "event_type": "_reservation",
        "attributes": {"template": 1, "granted": True, "count": 1, "points": 20},
    }
    assert fold.forwards[1] == {"topic": "customer-events", "key": "a", "value": answer}
    assert fold.side["template:1"] == {"a": {"count": 1, "points": 20}}
    # An hour later the answer comes: at the row's time.
    fold.apply(2, event("a", "referral", NEW_YEAR + HOUR, 1, "second"))
    effects = fold.apply(3, answer)
    assert story(effects) == ["given 1"]
    assert effects[0]["value"]["started_at"] == "2020-01-01T01:00:00.000Z"
    assert effects[0]["value"]["cause"] == {"source": "khaywe", "event_id": f"reservation:{mission_id}"}
    assert [e["value"].get("conditions") for e in effects] == [None, []]
    # The same answer again finds nobody waiting, and is given back.
    assert fold.apply(4, answer) == []
    back = fold.forwards[2]["value"]
    assert (back["event_id"], back["attributes"]) == (
        f"return:reservation:{mission_id}", {"customer": "a", "template": 1, "count": -1, "points": -20},
    )  # fmt: skip


def test_caps_hold() -> None:
    names = ["a", "b", "c"]
    first = [event(name, "referral", NEW_YEAR, 1, "first") for name in names]
    for game, granted in ((capped(total=2), 2), (capped(budget=59), 2), (capped(total=5, budget=60), 3)):
        fold, effects = play(game, first)
        assert decided(effects)[:3] == ["mission:1 reserved"] * 3
        assert decided(effects)[3:] == ["mission:1 given"] * granted + ["mission:1 refused"] * (3 - granted)
        assert fold.side["template:1"]["a"] == {"count": granted, "points": 20 * granted}
    fold, _ = play(capped(total=2), first)
    assert fold.snapshot("c")["missions"] == [None] * 5
    day = NEW_YEAR // DAY
    assert fold.snapshot("c")["cooling"][0] == [1, day + 1, 0]


def test_what_ends_without_completion_is_given_back() -> None:
    sent = [event("a", "sms", NEW_YEAR + n * HOUR, 1, f"s{n}") for n in (1, 2)]
    fold, _ = play(capped(total=1), [FIRST], [], sent)
    assert fold.side["template:1"]["a"] == {"count": 1, "points": 20}
    for end in (
        tick(NEW_YEAR + 3 * DAY + HOUR),
        event("a", "opt_out", NEW_YEAR + DAY),
        event("a", "customer_ended", NEW_YEAR + DAY),
        event("a", "customer_link", NEW_YEAR + DAY, to="b"),
        ask("a", "erase", NEW_YEAR + DAY, "x"),
    ):
        fold, _ = play(capped(total=1), [FIRST], [], [sent[0], end])
        assert fold.side["template:1"]["a"] == {"count": 0, "points": 0}
        release = next(f["value"] for f in fold.forwards if f["value"]["event_id"].startswith("release:"))
        assert release["attributes"] == {"customer": "a", "template": 1, "count": -1, "points": -20}


def test_opting_out_while_waiting_gives_back_too() -> None:
    # Both in one segment: the answer comes when nobody waits any more.
    fold, effects = play(capped(total=1), [FIRST, event("a", "opt_out", NEW_YEAR)])
    assert story(effects) == []
    assert fold.side["template:1"]["a"] == {"count": 0, "points": 0}
    assert [f["value"]["event_type"] for f in fold.forwards] == ["_reserve", "_reservation", "_reserve"]


# Merges.


def test_lots_and_debts_go_with_a_link() -> None:
    log = [
        pay(10, "2020-01-05", "a1"),
        event("b", "payment", "2020-02-05", 20, "b1"),
        ask("b", "redeem", "2020-02-06", "r", {"points": 25}),
        event("b", "refund", "2020-02-07", 1, "r1", refunds="b1"),
        event("a", "sms", "2020-02-08"),
    ]
    # b owes 25; the 15 of a pay for some of it.
    fold, _ = play(PER_UNIT, [*log, event("a", "customer_link", "2020-02-09", 1, "l", to="b")])
    found = fold.snapshot("b")
    assert (found["lots"], found["debt"]) == ([], 10)
    assert (found["points_earned"], found["year_points"], found["points_redeemed"]) == (45, 15, 25)
    # The other way the lot of a pays for the debt that is carried.
    fold, _ = play(PER_UNIT, [*log, event("b", "customer_link", "2020-02-09", 1, "l", to="a")])
    found = fold.snapshot("a")
    assert (found["lots"], found["debt"]) == ([], 10)
    # The closed row keeps what it was, but for its missions and open grants.
    assert fold.snapshot("b")["debt"] == 25


def test_years_are_the_same_when_points_are_added() -> None:
    for year, this, last in ((2020, 15, 0), (2021, 0, 15), (2022, 0, 0)):
        later = event("b", "sms", at(f"{year}-06-01"))
        link = event("a", "customer_link", "2020-01-02", 1, "l", to="b")
        found = play(PER_UNIT, [pay(10), later, link])[0].snapshot("b")
        assert (found["year_points"], found["last_year_points"], found["points_earned"]) == (this, last, 15)


def test_badges_days_and_cooldowns_unite() -> None:
    badges = [
        badge(2, "B", "sms_count >= 1", *["sms_count > 9"] * 3),
        badge(3, "C", "referral_count >= 1", *["risk < 0"] * 3),
    ]
    game = Game([template(1, "It", Goal("count", ["sms"]), 1, 3, 9)], badges, TIERS)
    log = [FIRST, event("b", "payment", NEW_YEAR, 1, "b0"), event("b", "sms", NEW_YEAR + DAY, 1, "b1")]
    fold, effects = play(game, [*log, event("b", "customer_link", NEW_YEAR + 2 * DAY, 1, "l", to="a")])
    found = fold.snapshot("a")
    assert found["badges"] == 1 << 8 | 1 << 12
    assert found["active_days"] == 0b111  # the link is activity, and the first of January is of both
    assert found["cooling"][0] == [1, NEW_YEAR // DAY + 1 + 9, 1]
    assert (found["completed"], found["missions_completed"]) == (2, 1)
    assert found["types"] == {3: 1, 11: 1, 17: 1, 21: 1}
    assert found["missions"][0]["template"] == 1  # a's own runs on
    awards = [(e["key"], e["value"]["number"]) for e in effects if e["topic"] == "badge-awards"]
    assert awards == [("a", 3), ("b", 2)]  # to unite is no award
