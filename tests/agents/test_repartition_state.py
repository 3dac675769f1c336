"""Moved to more partitions or fewer amid a log, the table is as if there always had been so many."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from agents.repartition_state import Placing, Sums, Uneven, customer_of, misplaced
from loyalty.state import PARTITION_KEY
from streams.partition import partition_of
from tests.loyalty.compiled_partition import ERASED, CompiledPartition
from tests.reference.records import command, event, marker, tick
from tests.reference.streams_game import playing

Table = list[dict[bytes, bytes]]


class Cluster:
    """Partitions of the log, each folded by itself; forwards go where their keys do."""

    def __init__(self, partitions: int) -> None:
        self.partitions = [CompiledPartition(partition=n, sweeps=True) for n in range(partitions)]
        self._offsets = [0] * partitions
        self._fed = [0] * partitions
        self.effects: defaultdict[str, list[str]] = defaultdict(list)

    def fold(self, records: Sequence[bytes]) -> None:
        """Fold a piece of the log and all that it forwards."""
        waiting: list[list[bytes]] = [[] for _ in self.partitions]
        for record in records:
            customer = json.loads(record)["customer_id"].encode()
            places = [partition_of(customer, len(waiting))] if customer else range(len(waiting))
            for place in places:
                waiting[place].append(record)
        while any(waiting):
            forwards: list[list[bytes]] = [[] for _ in self.partitions]
            for n, values in enumerate(waiting):
                fold = self.partitions[n]
                for effect in fold.fold(list(enumerate(values, self._offsets[n]))):
                    if effect["topic"] != "command-results":
                        self.effects[effect["key"]].append(json.dumps(effect))
                self._offsets[n] += len(values)
                for forward in fold.forwards[self._fed[n] :]:
                    forwards[partition_of(forward["key"].encode(), len(waiting))].append(forward["value"])
                self._fed[n] = len(fold.forwards)
            waiting = forwards

    @property
    def table(self) -> Table:
        return [dict(fold.changelog.content) for fold in self.partitions]

    def changed(self, partitions: int) -> Cluster:
        """The same customers in another number of partitions."""
        made, table = Cluster(partitions), moved(self.table, partitions)
        assert not any(table[partitions:])
        for fold, entries in zip(made.partitions, table[:partitions], strict=True):
            fold.changelog.content = entries
            fold._start()
        made.effects = self.effects
        return made


def moved(table: Table, partitions: int, before: int | None = None) -> Table:
    """What `khaywe repartition` makes of a table; partitions that customers have left stay, empty."""
    found = [dict(entries) for entries in table] + [{} for _ in range(partitions - len(table))]
    placing = Placing(partitions)
    for n, entries in enumerate(table):
        placing.look(n, entries)
    puts = [put for n, entries in enumerate(table) for put in placing.move(n, entries)]
    puts += placing.rest(len(table) if before is None else before)
    for n, key, value in puts:
        if value is None:
            found[n].pop(key, None)
        else:
            found[n][key] = value
    return found


def customers(table: Table) -> dict[bytes, bytes]:
    """Everything that is somebody's, wherever it stands; each must stand once."""
    found: dict[bytes, bytes] = {}
    for entries in table:
        for key, value in entries.items():
            if customer_of(key) is not None:
                assert key not in found
                found[key] = value
    return found


def known(table: Table) -> list[dict[str, Any]]:
    """Partition rows, but for months in which nothing is owed."""
    rows = [json.loads(entries.get(PARTITION_KEY, b"{}")) for entries in table]
    return [row | {"owed": {m: p for m, p in row.get("owed", {}).items() if p}} for row in rows]


def sums(table: Table) -> Sums:
    found = Sums()
    for entries in table:
        found.add(entries)
    return found


#: Revisions of games in which nobody waits for anybody: no budgets that customers share.
ALONE = (24, 26)


def log(seed: int, revisions: tuple[int, ...]) -> list[list[bytes]]:
    """Life of customers: games, refunds, commands, some who end, some who are erased, some who come back."""
    r = Random(seed)
    segments = playing(seed, customers=25, events=400, days=25, revisions=revisions)
    everyone = sorted({json.loads(value)["customer_id"] for segment in segments for value in segment} - {""})
    for n, segment in enumerate(segments[5:-1], 5):
        if segment:
            when, who, other = json.loads(segment[-1])["occurred_at"][:16], *r.sample(everyone, 2)
            kind = r.choice(("opt_in", "activation", "customer_ended", "sms"))
            segment.append(command(who, when, f"erase{n}", "erase"))
            segment.append(event(other, kind, when, 1, f"{kind}{n}"))
    return segments


@pytest.mark.parametrize(("before", "after", "seed"), [(1, 2, 3), (2, 5, 4), (5, 2, 4), (3, 1, 3)])
def test_as_if_there_always_were_so_many(before: int, after: int, seed: int) -> None:
    segments = [[v for v in segment if b"customer_link" not in v] for segment in log(seed, ALONE)]
    always, changed = Cluster(after), Cluster(before)
    for n, segment in enumerate(segments):
        if n == len(segments) // 2:
            total = sums(changed.table)
            assert total.erased
            assert total.points
            changed = changed.changed(after)
            assert sums(changed.table) == total
        always.fold(segment)
        changed.fold(segment)
    assert customers(changed.table) == customers(always.table)
    assert changed.effects == always.effects
    assert known(changed.table) == known(always.table)
    assert not any(misplaced(n, entries, after) for n, entries in enumerate(changed.table))


def test_links_and_shared_budgets_move_as_they_are() -> None:
    """What they do afterwards hangs on the order in which customers hear of each other, here as there."""
    cluster = Cluster(2)
    for segment in log(5, (20, 22)):
        cluster.fold(segment)
    assert any(key.startswith(b"stemplate:") for key in customers(cluster.table))
    grown = moved(cluster.table, 7)
    assert customers(grown) == customers(cluster.table)
    assert sums(grown) == sums(cluster.table)
    assert not any(misplaced(n, entries, 7) for n, entries in enumerate(grown))
    fewer = moved(grown, 3)
    assert customers(fewer) == customers(cluster.table)
    assert sums(fewer) == sums(cluster.table)
    assert not any(fewer[3:])
    assert moved(fewer, 2, before=3)[:2] == moved(cluster.table, 2)


def test_moved_twice_is_moved_once() -> None:
    cluster = Cluster(2)
    for segment in log(7, ALONE):
        cluster.fold(segment)
    once = moved(cluster.table, 5)
    assert moved(once, 5, before=2) == once
    assert sum(misplaced(n, entries, 5) for n, entries in enumerate(cluster.table)) > 0
    back = moved(once, 2)
    assert moved(back, 2, before=2) == back


def test_a_copy_of_a_stub_does_not_erase_who_came_back() -> None:
    day = "2020-01-0"
    cluster = Cluster(2)
    cluster.fold([marker(20), *(event(who, "sms", day + "1", 1, f"s{who}") for who in "abcdef")])
    cluster.fold([command(who, day + "2", f"e{who}", "erase") for who in "abc"])
    grown = cluster.changed(3)
    assert all(sum(key.startswith(ERASED) for key in entries) == 3 for entries in grown.table)
    grown.fold([event("a", "opt_in", day + "3", 1, "back"), event("b", "sms", day + "3", 1, "no")])
    again = grown.changed(7)
    assert all(sum(key.startswith(ERASED) for key in entries) == 2 for entries in again.table)
    again = again.changed(2)
    assert all(sum(key.startswith(ERASED) for key in entries) == 2 for entries in again.table)
    again.fold([event(who, "sms", day + "4", 1, f"t{who}") for who in "abcdef"])
    assert sorted(key[1:].decode() for key in customers(again.table) if key[:1] == b"c") == [
        "a",
        "d",
        "e",
        "f",
    ]


def test_partitions_that_differ_are_refused() -> None:
    cluster = Cluster(2)
    cluster.fold([marker(20), tick("2020-01-02")])
    cluster.partitions[1].fold([(9, tick("2020-01-03"))])
    with pytest.raises(Uneven, match="partition 1 at tick"):
        moved(cluster.table, 3)


def test_accounts_go_with_their_names() -> None:
    assert customer_of(b"stemplate:7\0a") == b"template:7"
    assert customer_of(b"c4670") == b"4670"
    assert customer_of(PARTITION_KEY) is customer_of(ERASED + b"1" * 16) is None
