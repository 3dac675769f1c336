"""Total caps over partitions, and what all customers are owed: sums that no order of events may break."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.engine import Engine
from loyalty.game import Game, Goal, Limits, Reward, Target, Template
from loyalty.log import joined
from loyalty.row import OPEN
from loyalty.state import State
from streams.partition import partition_of
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.records import CONTENTS as ALL
from tests.reference.records import Content, at, event, tick
from tests.reference.streams import DAY, run_log
from tests.reference.streams_game import playing

PARTITIONS = 3


def _content(total: int, budget: int) -> Content:
    template = Template(
        1, "Rush", "engagement", Goal("count", ["sms"]), Target(2), duration_days=2, cooldown_days=0,
        priority=1, rewards=Reward(points=10), limits=Limits(total=total, budget=budget),
    )  # fmt: skip
    return Content(ALL[0].decisions, ALL[0].policy, Game(templates=[template]))


class Log:
    """Partitions whose forwards reach each other, in an order that somebody else chooses."""

    def __init__(self, content: Content) -> None:
        self.engines = [Engine(n, State(), lambda revision: content) for n in range(PARTITIONS)]
        self.waiting: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.missions: list[dict[str, Any]] = []

    def send(self, key: str, value: bytes) -> None:
        self.waiting[partition_of(key.encode(), PARTITIONS)].append(value)

    def fold(self, partition: int) -> None:
        """All that waits in a partition, as one batch."""
        values, self.waiting[partition] = self.waiting[partition], []
        engine = self.engines[partition]
        for outcome in engine.fold(joined(list(enumerate(values))), len(values)):
            engine.state.committed()
            for key, value in outcome.forwards:
                self.send(key.decode(), value)
            for effect in outcome.effects:
                if effect.topic == "mission-progress" and effect.value:
                    self.missions.append(json.loads(effect.value))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 6), st.integers(0, 60),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, PARTITIONS - 1)), min_size=20, max_size=80),
)  # fmt: skip
def test_no_more_is_given_than_the_cap_whatever_overtakes_what(
    total: int, budget: int, moves: list[tuple[int, int]]
) -> None:
    log = Log(_content(total, budget))
    most = min(total or 99, budget // 10 if budget else 99)
    start = at("2024-01-01")
    for n, (customer, partition) in enumerate(moves):
        name = f"c{customer}"
        log.send(name, event(name, "app_login", start + n * DAY // 24, 1, f"e{n}"))
        log.fold(partition)
    while any(log.waiting):
        for partition in range(PARTITIONS):
            log.fold(partition)
    told = Counter(mission["status"] for mission in log.missions)
    assert told["completed"] == 0
    assert told["given"] - told["expired"] <= most
    if not total and not budget:
        assert told["given"] >= 1
    running = 0
    for engine in log.engines:
        running += int((engine.state.rows["mission_status"] == 1).sum())
        assert not (engine.state.rows["mission_status"] == 2).any(), "somebody waits forever"
    assert running == told["given"] - told["expired"] <= most


def test_what_is_lost_is_given_to_others() -> None:
    log = Log(_content(2, 0))
    for n in range(4):
        log.send(f"c{n}", event(f"c{n}", "app_login", "2024-01-01", 1, f"e{n}"))
    for later in ("", "2024-01-04", "2024-01-05"):
        for partition in range(PARTITIONS):
            log.waiting[partition] += [tick(later)] if later else []
        while any(log.waiting):
            for partition in range(PARTITIONS):
                log.fold(partition)
    told = Counter(mission["status"] for mission in log.missions)
    assert told == {"given": 4, "expired": 2}


def test_the_partition_knows_what_it_owes() -> None:
    """By month, as the lots of its open customers say, whatever was linked, ended, erased or taken back."""
    owing = 0
    for seed in range(6):
        ours = CompiledPartition(sizes=[70])
        run_log(ours, playing(seed, 8, 100 + 150 * seed, 80, (20, 21, 22, 24, 26)))
        lots: Counter[int] = Counter()
        for row in ours.rows.values():
            if row["state"] == OPEN:
                for month, points in row["lots"]:
                    lots[month] += points
        assert ours.state.partition.owed == {month: points for month, points in lots.items() if points}
        owing += sum(lots.values())
    assert owing


def test_what_is_owed_is_kept_in_one_order_in_batches_of_any_size() -> None:
    """The changelog must not tell where batches ended: replayed, it is the same bytes."""
    kept = []
    for sizes in ([1], [7], [550]):
        ours = CompiledPartition(sizes=sizes)
        run_log(ours, playing(0, 8, 550, 80, (20, 21, 22, 24, 26)))
        kept.append(list(ours.state.partition.owed.items()))
    assert kept[0] == kept[1] == kept[2] == sorted(kept[0])
