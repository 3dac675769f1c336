"""A worker far behind: what it holds is bounded, no partition waits for another one's backlog."""

from __future__ import annotations

import ctypes
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from bench import backlog
from config.settings import Settings
from streams import fetching
from streams import source as module
from streams.batches import Partition
from streams.librdkafka import library
from streams.source import Source

BUSY, QUIET = 80_000, 8_000
#: Records of 300 bytes that librdkafka may hold: those after which it fetches no more, and one fetch.
HELD = module.QUEUE["queued.min.messages"] + 4 * module.QUEUE["fetch.max.bytes"] // 300


def fill(services: Settings, name: str, counts: list[int]) -> None:
    """So many records of 300 bytes in each partition."""
    producer = Producer(services.producer_config())
    for partition, count in enumerate(counts):
        for _ in range(count):
            while True:
                try:
                    producer.produce(name, os.urandom(100) * 3, b"k", partition)
                    break
                except BufferError:
                    producer.poll(0.1)
    assert producer.flush(60) == 0


def test_a_busy_partition_starves_no_other(
    services: Settings, topics: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the backlog in one of four; and what is read ahead is bounded, however slowly it is taken."""
    name = topics("backlog", 4)
    fill(services, name, [BUSY, QUIET, QUIET, QUIET])
    busy, *others = [Partition(name, n) for n in range(4)]
    held: list[int] = []

    def look(_: int, text: int, size: int, __: int) -> int:
        found = json.loads(ctypes.string_at(text, size))["topics"].get(name, {"partitions": {}})["partitions"]
        held.append(max((each["fetchq_cnt"] for each in found.values()), default=0))
        return 0  # librdkafka frees the text

    told = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    callback = told(look)

    def watched() -> int:
        conf = int(made())
        set_stats_cb(ctypes.c_void_p(conf), callback)
        return conf

    made, set_stats_cb = fetching._conf_new, library.rd_kafka_conf_set_stats_cb
    monkeypatch.setattr(fetching, "_conf_new", watched)
    monkeypatch.setattr(module, "QUEUE", module.QUEUE | {"statistics.interval.ms": 20})
    source, read = Source(services, "test-backlog"), Counter[Partition]()

    def poll(most: int) -> set[Partition]:
        batches = source.poll(most)
        assert sum(len(batch.records) for batch in batches) <= most
        read.update({batch.source: len(batch.records) for batch in batches})
        return {batch.source for batch in batches}

    try:
        source.assign(dict.fromkeys([busy, *others], 0))
        while min(read[place] for place in others) < QUIET:
            poll(2_000)
        # Each had its turns: the busy one is no further than the others, but for what was held ready.
        assert read[busy] <= QUIET + HELD, read
        assert read[busy] < BUSY

        fill(services, name, [0, 0, 0, 1])  # comes to a partition without a backlog
        before = read[busy]
        while others[2] not in poll(2_000):
            pass
        assert read[busy] - before <= 2_000 + HELD, read
        assert 0 < max(held) <= HELD, held
    finally:
        source.close()


def test_a_worker_catches_up_and_others_do_not_wait(tmp_path: Path) -> None:
    found = backlog.run(tmp_path / "home", records=600_000, customers=2_000)
    print(backlog.shown(found))
    assert found.busy_left > 0  # the others had their turns
    assert found.command_overtook < backlog.BUSIER * found.records // 13 // 2
    assert found.still_left > 0  # command and tick have passed before it was worked off
    assert found.memory_most - found.memory_early < 300 << 20
