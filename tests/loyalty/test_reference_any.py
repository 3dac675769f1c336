"""What must hold of the reference fold on any log."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings

from tests.reference import model
from tests.reference.examples import folded, summary
from tests.reference.fold import ReferenceFold
from tests.reference.model import NO_TIME, parse_time
from tests.reference.records import CONTENTS
from tests.reference.scores import SCORES
from tests.reference.streams import Log, logs, plain_forwards, realistic, run_log


def run(log: Log) -> tuple[ReferenceFold, list[dict[str, Any]]]:
    fold = ReferenceFold(0, CONTENTS)
    return fold, log.run(fold)


@settings(max_examples=150, deadline=None)
@given(logs())
def test_rows_keep_to_their_limits(log: Log) -> None:
    fold, effects = run(log)
    last: dict[str, list[float]] = {}
    for effect in effects:
        if "scores" in effect["value"]:
            assert list(effect["value"]["scores"]) == list(SCORES)
            assert all(0 <= score <= 100 for score in effect["value"]["scores"].values())
            last[effect["key"]] = list(effect["value"]["scores"].values())
    for name in fold.customers:
        found = fold.snapshot(name)
        assert found["state"] in (1, 2, 3)
        assert (found["due"] == NO_TIME) == (found["state"] != 1)
        assert found["due"] > found["as_of"]
        assert 0 <= found["weeks"] < 2**32
        assert len(found["hashes"]) <= 32
        assert len(found["recent"]) <= 8
        for ring, (days, low, high) in model.RINGS.items():
            for day, cell in found["rings"][ring].items():
                assert found["day"] - days < day <= found["day"]
                assert low <= cell <= high
        for figure, value in found["life"].items():
            assert value >= 0 or figure in ("revenue", "recharge")
        if name in last and found["opened_at"] == 0:
            assert [of / 100 for of in found["published"]] == last[name]


@settings(max_examples=150, deadline=None)
@given(logs())
def test_an_event_that_comes_again_at_once_changes_nothing(log: Log) -> None:
    fold = ReferenceFold(0, CONTENTS)
    for offset, value in enumerate(log.records):
        fold.apply(offset, value)
        try:
            record = model.read(value, fold.decode_row)
        except model.Undecodable:
            continue
        if record.event_type in model.UNIT_OF:
            before, side = fold.snapshot(record.customer_id), fold.side
            assert fold.apply(offset, value) == []
            assert fold.snapshot(record.customer_id) == before
            assert fold.side == side


@settings(max_examples=100, deadline=None)
@given(logs())
def test_customers_without_links_do_not_touch_each_other(log: Log) -> None:
    records = [value for value in log.records if value is not None and b"customer_link" not in value]
    fold = ReferenceFold(0, CONTENTS)
    effects = run_log(fold, [records])
    for name in fold.customers:
        alone = ReferenceFold(0, CONTENTS)
        mine = [value for value in records if _whom(value) in ("", name)]
        effects_alone = run_log(alone, [mine])
        assert alone.snapshot(name) == fold.snapshot(name)
        assert [e for e in effects_alone if e["key"] == name] == [e for e in effects if e["key"] == name]


def _whom(value: bytes) -> str | None:
    try:
        return model.read(value, lambda text: {}).customer_id
    except model.Undecodable:
        return None


@settings(max_examples=100, deadline=None)
@given(logs())
def test_a_log_gives_the_same_again_and_forwards_survive_the_wire(log: Log) -> None:
    class Wire(ReferenceFold):
        """Forwards as JSON, as Kafka would bring them back."""

        def _forward(self, value: dict[str, Any]) -> None:
            super()._forward(value)
            self.forwards[-1]["value"] = json.dumps(value).encode()

    fold, effects = run(log)
    wire = Wire(0, CONTENTS)
    assert log.run(wire) == effects
    assert {name: wire.snapshot(name) for name in wire.customers} == {
        name: fold.snapshot(name) for name in fold.customers
    }
    assert wire.side == fold.side
    assert plain_forwards(wire.forwards) == plain_forwards(fold.forwards)


def test_realistic_logs_are_the_same_for_a_seed() -> None:
    records = realistic(7, customers=40, events=1_500, days=50)
    assert records == realistic(7, customers=40, events=1_500, days=50)
    assert records != realistic(8, customers=40, events=1_500, days=50)
    fold, effects = folded(*records)
    assert not fold.dead
    assert len(fold.customers) >= 30
    assert {"moved", "refresh"} <= {reason for _, reason, _ in summary(effects)}
    assert fold.counts["duplicates"] > 10
    assert fold.counts["late_events"] > 0
    end = parse_time(json.loads(records[-1])["attributes"]["at"])
    assert {c.as_of for c in fold.customers.values() if c.state == 1} == {end}
