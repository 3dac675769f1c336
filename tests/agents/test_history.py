"""What was told of one customer lately, from a real topic."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from agents import history
from agents.history import newest
from config.settings import Settings

Topics = Callable[..., str]


def tell(settings: Settings, topic: str, count: int) -> None:
    """Records of customers a and b in turn, numbered."""
    producer = Producer(settings.producer_config())
    for n in range(count):
        producer.produce(topic, json.dumps({"n": n}).encode(), b"ab"[n % 2 : n % 2 + 1])
        producer.poll(0)
    producer.produce(topic, None, b"a")
    producer.flush()


@pytest.mark.parametrize("piece", [1, 7, 20_000])
def test_the_newest_are_found_however_long_the_pieces(
    services: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(history, "PIECE", piece)
    topic = topics("told", 3)
    tell(services, topic, 40)
    looked: list[tuple[int, int]] = []
    found = newest(services, topic, "a", 3, progress=lambda done, all_: looked.append((done, all_)))
    assert [each["n"] for each in found] == [34, 36, 38]
    assert all(0 < done < all_ for done, all_ in looked)
    assert bool(looked) == (piece == 1)
    assert [each["n"] for each in newest(services, topic, "b", 100)] == list(range(1, 40, 2))
    assert [e["n"] for e in newest(services, topic, "a", 2, lambda told: told["n"] < 10)] == [6, 8]
    assert newest(services, topic, "nobody", 5) == []
