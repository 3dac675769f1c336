"""What peers fold is what the reference folds: every effect, on records as the benchmark sends them."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.peers import check, customer, java
from bench.peers.game import Game
from bench.peers.records import CustomerEvent, read
from bench.peers.rules import document, write
from tests.reference.fold import ReferenceFold

Log = tuple[list[CustomerEvent], ReferenceFold, check.Told]


@pytest.fixture(scope="module", params=check.LOGS, ids=["two days", "fifteen months"])
def log(request: pytest.FixtureRequest) -> Log:
    """Records with what is right."""
    events = check.events(check.raw_records(*request.param))
    return events, *check.reference(events)


def test_python_tells_what_is_right(log: Log) -> None:
    events, _, right = log
    game, rows, told = Game(document()), dict[str, bytes](), defaultdict(list)
    for event in events:
        row = rows.get(event.customer_id)
        changed = game.fold(customer.decode(row) if row else None, read(event))
        if changed is not None:
            rows[event.customer_id] = customer.encode(changed)
            for topic, value in game.effects:
                told[topic, event.customer_id].append(value)
    assert not check.differences(right, told)
    assert sum(map(len, told.values())) > 2_000


def test_java_tells_what_is_right(log: Log, tmp_path: Path) -> None:
    events, _, right = log
    command = [
        *(java.java(), "-cp", ":".join(map(str, java.built()))),
        *("khaywe.peer.Check", str(write(tmp_path / "rules.json"))),
    ]
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=True)
    told = defaultdict(list)
    for line in done.stdout.decode().splitlines():
        topic, customer_id, value = line.split("\t")
        told[topic, customer_id].append(json.loads(value))
    assert not check.differences(right, told)


def test_the_jars_are_those_of_the_project() -> None:
    assert {*java.wanted(), java.COMPILER} <= set(java.pinned())


def test_the_logs_are_worth_checking(log: Log) -> None:
    _, _, right = log
    statuses = {
        each["status"] for key, told in right.items() if key[0] == "mission-progress" for each in told
    }
    kinds = {each["kind"] for key, told in right.items() if key[0] == "reward-grants" for each in told}
    if len(right) > 500:
        assert statuses == {"given", "completed"}
        assert kinds == {"points", "offer"}
    else:
        assert statuses == {"given", "progress", "completed", "expired", "replaced"}
        assert kinds == {"points", "offer", "expired"}
        awards = _on("badge-awards", right)
        assert {each["kind"] for each in awards} == {"badge", "tier"}
        assert {each["reason"] for each in awards} >= {"earned", "up"}


def _on(topic: str, told: check.Told) -> list[dict[str, Any]]:
    return [value for key, values in told.items() if key[0] == topic for value in values]


def test_a_difference_is_found() -> None:
    right: check.Told = {("behavior-scores", "a"): [{"x": 1.0}, {"x": 2.0}], ("decisions", "a"): [{"y": 1}]}
    wrong: check.Told = {("behavior-scores", "a"): [{"x": 1.0}, {"x": 2.5}]}
    found = check.differences(right, wrong)
    assert len(found) == 2
    assert "number 1" in found[0]
    assert "1 wanted, 0 told" in found[1]
