"""Effects are written as text, for speed: it is exactly the JSON of the structs that describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from config import topics
from loyalty import effects as ef
from loyalty.engine import Engine
from loyalty.game import Campaign, Fits, Game, Offer, OnCrossing, OnEvent, Sold
from loyalty.log import joined
from loyalty.seeing import saw
from loyalty.state import State
from loyalty.vocabulary import FEATURES
from loyalty.wording import Condition
from tests.loyalty.folded import content
from tests.reference.records import CONTENTS, event, marker
from tests.reference.streams_game import game_log

STRUCTS: dict[str, type] = {
    topics.BEHAVIOR_SCORES: ef.BehaviorScores,
    topics.COMMAND_RESULTS: ef.CommandResult,
    topics.MISSION_PROGRESS: ef.MissionProgress,
    topics.BADGE_AWARDS: ef.BadgeAward,
    topics.REWARD_GRANTS: ef.RewardGrant,
    topics.DECISIONS: ef.Decision,
    topics.CAMPAIGN_TRIGGERS: ef.CampaignTrigger,
}


def check(
    records: Sequence[bytes | None], found: set[str], contents: Mapping[int, Any] = CONTENTS, many: int = 1
) -> list[Any]:
    """Fold records and hold each effect against its struct; all that came out."""
    told: list[Any] = []
    engine = Engine(0, State(), contents.__getitem__)
    engine.emitter.many = many
    for outcome in engine.fold(joined(list(enumerate(records))), len(records)):
        told += [*outcome.effects, *outcome.forwards, *outcome.asks]
        for effect in outcome.effects:
            if effect.topic in STRUCTS and effect.value is not None:
                value: Any = msgspec.json.decode(effect.value, type=STRUCTS[effect.topic])
                assert msgspec.json.encode(value) == effect.value
                assert dict(effect.headers)["ce_id"] == value.effect_id.encode()
                found.add(effect.topic)
        engine.state.committed()
    return told


def test_effects_are_their_structs() -> None:
    found: set[str] = set()
    for seed in range(30):
        log = [record for segment in game_log(Random(seed)).segments for record in segment]
        assert check(log, found) == check(log, found, many=10**9)
    assert found >= set(STRUCTS) - {topics.CAMPAIGN_TRIGGERS}


def test_triggers_of_campaigns_are_their_struct() -> None:
    product = Sold("p", "Größer", "9.90", "EUR", 30)
    more: dict[str, Any] = {
        "messages": {"de": "Öl für {{ customer_id }}"},
        "cost": 3,
        "conversion": Fits(["recharge"]),
    }
    odd: dict[str, Any] = {"ä": [1, 2.5, None, True, {"x": '\u2028"\\'}]}
    of = Game(
        campaigns=[
            Campaign(1, "Öl", OnEvent(["sms"]), offer=1, offer_config=odd, **more),
            Campaign(2, "", OnCrossing("sms_30_days > 0"), product=product, product_config=odd, **more),
            Campaign(3, "C", OnEvent(["sms"]), control_share=1.0, **more),
        ],
        offers=[Offer(1, "More")],
    )
    when = "2024-01-01T12:00"
    records = [
        marker(1),
        event("a", "profile_update", when, consent=True),
        event("a", "sms", when),
        event("a", "campaign_delivered", when, trigger_id=ef.trigger_id("a", 1, 19_723)),
        event("a", "recharge", when),
    ]
    found: set[str] = set()
    check(records, found, {0: CONTENTS[0], 1: content(of)})
    assert topics.CAMPAIGN_TRIGGERS in found


ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(ODD, ODD, ODD | st.just(""))
def test_odd_words_are_written_as_json(customer: str, event_id: str, source: str) -> None:
    made = event(customer, "recharge", "2024-01-01", 70, event_id, source=source)
    found: set[str] = set()
    assert check([marker(4), made], found) == check([marker(4), made], found, many=10**9)
    assert topics.BEHAVIOR_SCORES in found


@settings(max_examples=50, deadline=None)
@given(st.text("aé\x01", min_size=100, max_size=400), st.text("b\u2028", min_size=100, max_size=400))
def test_long_ids_are_hashed_and_written_alike(customer: str, event_id: str) -> None:
    records = [marker(4), event(customer, "recharge", "2024-01-01", 70, event_id)]
    assert check(records, set()) == check(records, set(), many=10**9)


WHEN = [
    "sms_30_days > 0", "arpu >= 1.5 and not risk < 3", "risk in (1, 2, 3) or arpu not in (0.25)",
    'language = "de" or language != "fr"', "language is known or tier is unknown", "consent = yes", "",
    'language not in ("de", "fr") and risk != 0', "risk <= 1e3", "risk = 12.5", "consent is known",
]  # fmt: skip
VALUE = st.sampled_from([np.nan, 0.0, 1.0, 0.25, 12.5]) | st.floats()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WHEN), st.booleans()), max_size=6), st.data())
def test_what_conditions_saw_is_told_alike(which: list[tuple[str, bool]], data: st.DataObject) -> None:
    known = [Condition(text) for text in WHEN]
    words: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(["language", "tier"]), st.text('dé"')))
    features = np.array(
        data.draw(st.lists(st.lists(VALUE, min_size=3, max_size=3), min_size=len(which), max_size=len(which)))
    )
    features = np.tile(features.reshape(len(which), 3), 40)[:, : len(FEATURES)]
    assert features.shape[1] == len(FEATURES)
    rows = [n if shown else -1 for n, (_, shown) in enumerate(which)]
    each = np.array([WHEN.index(text) for text, _ in which], np.int64)
    wanted = [
        known[c].seen(features, n, lambda: words).encode() if n >= 0 else b""
        for c, n in zip(each.tolist(), rows, strict=True)
    ]
    assert saw(known, each, features, np.array(rows, np.int64), lambda _: words).split() == wanted
