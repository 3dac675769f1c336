"""Effects are written as text, for speed: it is exactly the JSON of the structs that describe them."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from config import topics
from loyalty import effects as ef
from loyalty.engine import Engine
from loyalty.game import Campaign, Fits, Game, Offer, OnCrossing, OnEvent, Sold
from loyalty.state import State
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


def check(records: list[bytes], found: set[str], contents: Mapping[int, Any] = CONTENTS) -> None:
    """Fold records and hold each effect against its struct."""
    engine = Engine(0, State(), contents.__getitem__)
    for outcome in engine.fold(list(enumerate(records)), len(records)):
        for effect in outcome.effects:
            if effect.topic in STRUCTS and effect.value is not None:
                value = msgspec.json.decode(effect.value, type=STRUCTS[effect.topic])
                assert msgspec.json.encode(value) == effect.value
                assert dict(effect.headers)["ce_id"] == value.effect_id.encode()
                found.add(effect.topic)
        engine.state.committed()


def test_effects_are_their_structs() -> None:
    found: set[str] = set()
    for seed in range(30):
        check([record for segment in game_log(Random(seed)).segments for record in segment], found)
    assert found >= set(STRUCTS) - {topics.CAMPAIGN_TRIGGERS}


def test_triggers_of_campaigns_are_their_struct() -> None:
    product = Sold("p", "Größer", "9.90", "EUR", 30)
    more = {"messages": {"de": "Öl für {{ customer_id }}"}, "cost": 3, "conversion": Fits(["recharge"])}
    odd = {"ä": [1, 2.5, None, True, {"x": '\u2028"\\'}]}
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
@given(ODD, ODD, ODD)
def test_odd_words_are_written_as_json(customer: str, event_id: str, source: str) -> None:
    made = event(customer, "recharge", "2024-01-01", 70, event_id, source=source)
    found: set[str] = set()
    check([marker(4), made], found)
    assert topics.BEHAVIOR_SCORES in found
