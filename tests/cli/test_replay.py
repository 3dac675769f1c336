"""`khaywe replay`: the same on replay; and whatever is not the same is found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import msgspec
import pytest
from confluent_kafka import Message

from agents.published import Comparison
from agents.recorded import Contents
from agents.replaying import Replay, Replayed
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from loyalty.effects import Effect
from loyalty.game import Badge, Earning, Game, Goal, Level, Limits, Offer, Reward, Target, Template, Tier
from tests.cli.recording import Recording, broker, khaywe, recording
from tests.reference.records import command, event, marker, tick

__all__ = ["broker", "recording"]  # fixtures

GAME = Game(
    templates=[
        Template(
            number=1, name="Call twice", category="engagement", goal=Goal("count", ["voice_call"]),
            target=Target(2), duration_days=10, cooldown_days=3, priority=5, rewards=Reward(10, 7),
        ),
        Template(
            number=2, name="Few may", category="revenue", goal=Goal("count", ["recharge"]), target=Target(1),
            duration_days=20, cooldown_days=0, priority=1, rewards=Reward(points=100), limits=Limits(total=4),
        ),
    ],
    badges=[
        Badge(number=1, name="Caller", levels=[Level(f"calls_lifetime >= {n}") for n in (1, 3, 5, 9)]),
    ],
    tiers=[Tier("member", 0), Tier("gold", 100)],
    earning=[Earning(1, "a point a unit", ["recharge"], 1.0)],
    offers=[Offer(7, "Ring tone")],
)  # fmt: skip


def days(customers: Iterable[str], first: int, last: int) -> list[bytes]:
    """A call and sometimes a recharge a day in January 2026, with links, an answer and a late event."""
    found = []
    for day in range(first, last):
        for n, customer in enumerate(customers):
            at = f"2026-01-{day:02}T{n % 24:02}:{day % 60:02}"
            found.append(event(customer, "voice_call", at, 60))
            if (day + n) % 3 == 0:
                found.append(event(customer, "recharge", at, 12.5))
        if day % 7 == 0:
            found.append(event(f"c{day}", "customer_link", f"2026-01-{day:02}T23:30", to=f"c{day + 1}"))
            found.append(event(f"c{day}", "sms", f"2026-01-{day:02}T23:40"))
    return found


CUSTOMERS = [f"c{n}" for n in range(30)]


def played(recording: Recording, *last: bytes) -> list[Effect]:
    """Two weeks with the game and a tick, folded and published; then `last`."""
    recording.content(GAME)
    recording.log(marker(1), *days(CUSTOMERS, 1, 8))
    told = recording.work()
    recording.log(tick("2026-01-08T00:00"), *days(CUSTOMERS, 8, 15), tick("2026-01-15T00:00"))
    recording.log(command("c3", "2026-01-15", "c-1"), *last)
    return told + recording.work()


def replayed(settings: Settings, since: str | None = None, until: str | None = None) -> Replayed:
    return Replay(settings, Contents(settings), since, until).run(lambda more: None)


def counts(found: Replayed) -> dict[str, tuple[int, ...]]:
    """Equal, missing, extra, different, gone of each topic that has something."""
    every = {
        topic: (each.equal, each.missing, each.extra, each.different, each.gone)
        for topic, each in found.topics.items()
    }
    return {topic: each for topic, each in every.items() if any(each)}


def test_it_is_the_same(recording: Recording) -> None:
    told = played(recording)
    found = replayed(recording.settings)
    assert counts(found) == {
        topic: (sum(effect.topic == topic for effect in told), 0, 0, 0, 0)
        for topic in {effect.topic for effect in told}
    }
    assert {topics.MISSION_PROGRESS, topics.BADGE_AWARDS, topics.REWARD_GRANTS, topics.DECISIONS} <= counts(
        found
    ).keys()
    done = khaywe(recording.settings, "replay")
    assert done.returncode == 0, done.stderr
    assert f"The same on replay: {len(told):,} effects, byte for byte." in done.stdout
    assert "different" in done.stdout
    plain = json.loads(khaywe(recording.settings, "replay", "--json").stdout)
    assert plain["same"] is True
    assert plain["topics"][topics.DECISIONS]["equal"] == counts(found)[topics.DECISIONS][0]


def test_what_is_not_the_same_is_found(recording: Recording) -> None:
    recording.content(GAME)
    recording.log(marker(1), *days(CUSTOMERS, 1, 8))
    seen = {topics.MISSION_PROGRESS: 0, topics.BADGE_AWARDS: 0, topics.REWARD_GRANTS: 0}
    hidden: list[Effect] = []

    def tamper(effect: Effect) -> list[Effect]:
        seen[effect.topic] = seen.get(effect.topic, 0) + 1
        assert effect.value is not None
        if seen[effect.topic] == 20 and effect.topic == topics.MISSION_PROGRESS:
            hidden.append(effect)
            return []
        if seen[effect.topic] == 20 and effect.topic == topics.REWARD_GRANTS:
            more = effect.value.replace(b'"points":', b'"points":9')
            return [msgspec.structs.replace(effect, value=more)]
        if seen[effect.topic] == 20 and effect.topic == topics.BADGE_AWARDS:
            other = effect.value.replace(b'"effect_id":"', b'"effect_id":"f')
            return [effect, msgspec.structs.replace(effect, value=other, id=b"")]
        if seen[effect.topic] == 20 and effect.topic == topics.DECISIONS:
            return [effect, effect]
        return [effect]

    recording.work(tamper)
    found = replayed(recording.settings)
    kinds = {topic: [each.kind for each in compared.differences] for topic, compared in found.topics.items()}
    assert {topic: each for topic, each in kinds.items() if each} == {
        topics.MISSION_PROGRESS: ["missing"],
        topics.REWARD_GRANTS: ["different"],
        topics.BADGE_AWARDS: ["extra"],
        topics.DECISIONS: ["extra"],
    }
    (missing,) = found.topics[topics.MISSION_PROGRESS].differences
    assert missing.key == hidden[0].key.decode()
    assert missing.expected == (hidden[0].value or b"").decode()
    done = khaywe(recording.settings, "replay")
    assert done.returncode == 1
    assert "Not the same on replay." in done.stdout
    assert f"missing: mission-progress, key {missing.key}, effect {missing.effect_id}" in done.stdout
    assert '"points":9' in done.stdout


def test_a_range_of_it(recording: Recording) -> None:
    told = played(recording)
    whole = replayed(recording.settings)
    parts = [
        replayed(recording.settings, None, "2026-01-05T00:00:00.000Z"),
        replayed(recording.settings, "2026-01-05T00:00:00.000Z", "2026-01-12T00:00:00.000Z"),
        replayed(recording.settings, "2026-01-12T00:00:00.000Z"),
    ]
    assert sum(stretch.records for part in parts for stretch in part.stretches) == sum(
        stretch.records for stretch in whole.stretches
    )
    for part in parts:
        assert all(each.same and not each.gone for each in part.topics.values())
        assert part.topics[topics.BADGE_AWARDS].equal > 0
    for topic in {effect.topic for effect in told}:
        assert sum(part.topics[topic].equal for part in parts) == whole.topics[topic].equal


def test_from_a_snapshot_it_is_the_same(recording: Recording, tmp_path: Path) -> None:
    settings = recording.settings.model_copy(update={"snapshots": tmp_path})
    recording.content(GAME)
    recording.log(marker(1), *days(CUSTOMERS, 1, 8))
    recording.work()
    recording.snapshot(tmp_path)
    recording.log(*days(CUSTOMERS, 8, 15))
    recording.work()
    since = "2026-01-10T00:00:00.000Z"
    from_empty, from_snapshot = replayed(recording.settings, since), replayed(settings, since)
    assert {stretch.position > 0 for stretch in from_snapshot.stretches} == {True}
    assert counts(from_snapshot) == counts(from_empty)
    assert [(s.begin, s.end) for s in from_snapshot.stretches] == [
        (s.begin, s.end) for s in from_empty.stretches
    ]

    recording.cut(topics.CUSTOMER_EVENTS)  # all of it
    recording.log(*days(CUSTOMERS, 15, 17))
    recording.work()
    with pytest.raises(KhayweError, match="begins at offset") as refused:
        replayed(settings, "2026-01-15T00:00:00.000Z")
    assert "of a time that the log lacks" in refused.value.hint
    recording.snapshot(tmp_path / "later")
    with pytest.raises(KhayweError, match="holds no snapshot"):
        replayed(settings.model_copy(update={"snapshots": tmp_path / "none"}), None)


def test_without_a_worker_there_is_nothing_to_compare(recording: Recording) -> None:
    recording.content(GAME)
    recording.log(event("a", "sms", "2026-01-01"))
    done = khaywe(recording.settings, "replay")
    assert done.returncode == 1
    assert "there is nothing to compare with" in done.stderr


def test_a_revision_that_the_catalog_lacks(recording: Recording) -> None:
    played(recording)
    recording.cut(topics.CATALOG)
    done = khaywe(recording.settings, "replay")
    assert done.returncode == 1
    assert "customer-events names catalog revision 1" in done.stderr


def test_what_is_past_its_retention_is_not_missing(recording: Recording) -> None:
    recording.content(GAME)
    recording.log(marker(1), *days(CUSTOMERS, 1, 8))
    told = recording.work()
    recording.cut(topics.DECISIONS)
    recording.log(*days(CUSTOMERS, 8, 15))
    later = recording.work()
    found = counts(replayed(recording.settings))
    gone, left = (sum(effect.topic == topics.DECISIONS for effect in some) for some in (told, later))
    assert found.pop(topics.DECISIONS) == (left, 0, 0, 0, gone)
    assert all(each[1:] == (0, 0, 0, 0) for each in found.values())


def effect(key: str, id: str, value: bytes | None = b"{}") -> Effect:
    return Effect("t", key.encode(), value, id.encode())


class Marked(Effect, frozen=True):
    """An effect with a header more."""

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return [("ce_id", self.id), ("more", b"1")]


class Published:
    """A record as a consumer gives it."""

    def __init__(self, effect: Effect, offset: int) -> None:
        self._effect, self._offset = effect, offset

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._effect.key

    def value(self) -> bytes | None:
        return self._effect.value

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._effect.headers or None


def compared(
    told: list[Effect], published: dict[int, Effect], compacted: bool = False, cut: bool = False,
    before: int = 0, from_begin: bool = True, ends: dict[int, int] | None = None,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Equal, missing, extra, different, gone; the first `before` effects are not of the range."""
    results = set()
    for order in (0, 1):  # whichever side comes first
        comparison = Comparison("t", compacted, cut)
        for side in (order, 1 - order):
            if side == 0:
                for n, each in enumerate(told):
                    comparison.expect(each, n >= before)
            else:
                for offset, each in published.items():
                    comparison.publish(cast(Message, Published(each, offset)))
        found = comparison.settle(from_begin, ends)
        results.add((found.equal, found.missing, found.extra, found.different, found.gone))
    (result,) = results
    return result


A1, A2, A3, B1, B2 = (effect(id[0], id) for id in ("a1", "a2", "a3", "b1", "b2"))
ALL = {0: 99}


def test_compaction_takes_what_a_later_record_replaces() -> None:
    told = [A1, B1, A2, A3, B2]
    assert compared(told, {3: A3, 4: B2}, compacted=True, ends=ALL) == (2, 0, 0, 0, 3)
    assert compared(told, {3: A3, 4: B2}, ends=ALL) == (2, 3, 0, 0, 0)
    # The last of a key stays: b2 should be there.
    assert compared(told, {3: A3}, compacted=True, ends=ALL) == (1, 2, 0, 0, 2)
    # A later record is there, of after the range.
    assert compared([A1, B1], {0: B1, 5: A3}, compacted=True, ends={0: 5}) == (1, 0, 0, 0, 1)
    erased = effect("a", "", None)
    assert compared([A1, A2, erased, B1], {9: B1}, compacted=True, ends=ALL) == (1, 0, 0, 0, 3)


def test_retention_takes_the_oldest() -> None:
    assert compared([A1, A2, A3], {2: A3}, cut=True, ends=ALL) == (1, 0, 0, 0, 2)
    assert compared([A1, A2, A3], {1: A2}, cut=True, ends=ALL) == (1, 1, 0, 0, 1)
    assert compared([A1, A2, A3], {}, cut=True, ends=ALL) == (0, 0, 0, 0, 3)


def test_what_stands_around_the_range_is_not_extra() -> None:
    published = {0: A1, 1: B1, 2: A2, 3: B2, 4: A3}
    assert compared([A2], published, from_begin=False) == (1, 0, 0, 0, 0)
    assert compared([B1, A3], published, from_begin=False) == (2, 0, 2, 0, 0)
    assert compared([A1, B1, A2], published, before=2, from_begin=False) == (1, 0, 0, 0, 0)
    assert compared([A1, B1], published, ends={0: 4}) == (2, 0, 2, 0, 0)
    assert compared([A1, B1], published, ends={0: 99}) == (2, 0, 3, 0, 0)


def test_the_same_id_is_told_as_often_as_it_is_published() -> None:
    assert compared([A1, A1], {0: A1, 1: A1}, ends=ALL) == (2, 0, 0, 0, 0)
    assert compared([A1, A1], {0: A1}, ends=ALL) == (1, 1, 0, 0, 0)
    assert compared([A1], {0: A1, 1: A1}, ends=ALL) == (1, 0, 1, 0, 0)


def test_every_byte_counts() -> None:
    assert compared([A1], {0: effect("a", "a1", b"[]")}, ends=ALL) == (0, 0, 0, 1, 0)
    assert compared([A1], {0: effect("b", "a1")}, ends=ALL) == (0, 0, 0, 1, 0)
    more = Marked(A1.topic, A1.key, A1.value, A1.id)
    assert compared([A1], {0: more}, ends=ALL) == (0, 0, 0, 1, 0)
