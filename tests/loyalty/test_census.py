"""A census against what "why" says of each customer, one by one."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from loyalty.census import REACH, census
from loyalty.conditions import ConditionError
from tests.loyalty.compiled_partition import CompiledPartition
from tests.loyalty.test_why import asked
from tests.reference.streams_game import campaign_log

#: Reasons of `why`, and what a census calls them; the first of a census's order counts.
SAME = {
    "opted_out": "opted_out", "condition": "audience", "consent": "consent", "open": "running",
    "held": "running", "waiting": "running", "cooldown": "cooldown", "limit": "limit",
    "contacts": "contacts", "not_yet": "dates", "over": "dates", "no_entry": "no_entry",
}  # fmt: skip
CONDITIONS = (
    "",
    "sms_30_days >= 1",
    "sms_30_days >= 1 or (consent = yes and tenure_days > 1)",
    "opted_in = no",
)


def first_of(said: dict[str, Any], control: bool) -> str:
    reasons = [SAME[each["reason"]] for each in said["reasons"] if each["reason"] in SAME]
    if control and "opted_out" not in reasons:
        return "universal_control"
    if reasons:
        return min(reasons, key=REACH.index)
    return "control" if said["then"] == "control" else "treatment"


def test_it_counts_what_is_said_of_each() -> None:
    r, found = Random(3), Counter[str]()
    for _ in range(60):
        ours = CompiledPartition()
        campaign_log(r).run(ours)
        state, content_of = ours.engine.state, ours.engine._contents
        revision = state.partition.revision
        open_ = [customer for customer, row in ours.rows.items() if row["state"] == 1]
        said = {customer: asked(ours, customer) for customer in open_}
        rows = state.sample(10_000)
        assert len(rows) == state.opened() == len(open_)
        for campaign in content_of(revision).game.campaigns:
            if not campaign.active:
                continue
            _, reach = census(rows, content_of(revision), revision, [], campaign.number)
            expected = Counter(
                first_of(one, each["control"])
                for each in said.values()
                for one in each["campaigns"]
                if one["number"] == campaign.number
            )
            assert {name: n for name, n in reach.items() if n} == expected
            found += expected
    assert {"treatment", "audience", "consent", "running", "cooldown"} <= found.keys(), found


def test_conditions_are_asked_together() -> None:
    ours = CompiledPartition()
    campaign_log(Random(5)).run(ours)
    state, revision = ours.engine.state, ours.engine.state.partition.revision
    content, rows = ours.engine._contents(revision), state.sample(10_000)
    alone = [census(rows, content, revision, [text])[0][0] for text in CONDITIONS]
    assert census(rows, content, revision, CONDITIONS) == (alone, {})
    assert alone[0] == len(rows)
    assert 0 < alone[1] <= alone[2]
    assert len(state.sample(1)) == 1
    with pytest.raises(ConditionError):
        census(rows, content, revision, ["nonsense > 1"])
    with pytest.raises(LookupError):
        census(rows, content, revision, [], 254)


def test_a_sample_has_rows_wherever_they_lie() -> None:
    ours = CompiledPartition()
    campaign_log(Random(5)).run(ours)
    warm = ours.state.sample(10_000)
    ours._start()  # as after a restart: all rows lie in the cold store
    assert not (ours.state._slot_of >= 0).any()
    cold = ours.state.sample(10_000)
    assert not (ours.state._slot_of >= 0).any()
    assert len(cold) == len(warm) > 2
    assert (np.sort(cold["id_hash"]) == np.sort(warm["id_hash"])).all()
    ours.state.find(next(iter(ours.rows)).encode())
    mixed = ours.state.sample(10_000)
    assert (np.sort(mixed["id_hash"]) == np.sort(warm["id_hash"])).all()
