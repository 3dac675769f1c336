"""Labels from later events, and tables that learn nothing from what they are tried on."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from loyalty.calendar import DAY_MS
from loyalty.times import iso
from ml import dataset, features
from ml.dataset import NoDataset
from ml.labels import LABELS, Labels
from ml.simulator import AS_OF_DAY, fold, history
from ml.truth import draw_traits

AT = (AS_OF_DAY + 1) * DAY_MS


def event(
    kind: str, after_days: float, value: float = 1.0, who: str = "c", **attributes: Any
) -> dict[str, Any]:
    at = iso(int(AT + after_days * DAY_MS))
    return {
        "event_id": f"{kind}{after_days}", "customer_id": who, "event_type": kind, "source": "test",
        "value": value, "occurred_at": at, "received_at": at, "attributes": attributes,
    }  # fmt: skip


def labels(*events: dict[str, Any]) -> dict[str, float]:
    made = Labels(["c"], np.array([AT]))
    made.take(events)
    return {name: float(column[0]) for name, column in made.columns().items()}


def test_silence_is_churn_and_so_is_the_end() -> None:
    assert set(labels()) == set(LABELS)
    assert labels()["churn"] == 1
    assert labels(event("voice_call", 3, 60))["churn"] == 0
    assert labels(event("complaint", 3), event("campaign_delivered", 4))["churn"] == 1, "no activity"
    assert labels(event("voice_call", 3, 60), event("customer_ended", 4))["churn"] == 1


def test_only_the_horizon_counts() -> None:
    edge = 1 / DAY_MS
    assert labels(event("voice_call", 0, 60))["churn"] == 1, "as of counts as before"
    assert labels(event("voice_call", edge, 60))["engagement"] == pytest.approx(1 / 30)
    assert labels(event("voice_call", 30, 60))["churn"] == 0
    assert labels(event("voice_call", 30 + edge, 60), event("voice_call", -1, 60))["churn"] == 1
    assert labels(event("voice_call", 3, 60, "another"))["churn"] == 1


def test_amounts_and_purchases() -> None:
    found = labels(
        event("recharge", 1, 10.0), event("bundle_purchase", 2, 5.0, product_kind="data"),
        event("purchase", 3, 3.0, paid_from="balance"), event("refund", 4, 2.0),
        event("plan_upgrade", 5, 20.0),
    )  # fmt: skip
    assert found["ltv"] == pytest.approx((10 + 5 - 2 + 20) * 365 / 30)
    assert (found["propensity"], found["upsell"]) == (1, 1)
    assert found["engagement"] == pytest.approx(5 / 30)
    assert (found["product:data"], found["product:voice"]) == (1, 0)
    assert np.isnan(labels(event("purchase", 1))["product:data"]), "nobody said what was bought"


def test_what_was_not_asked_has_no_label() -> None:
    found = labels()
    assert np.isnan([found["campaign_response"], found["payment_default"], found["nbo:data"]]).all()
    delivered = event("campaign_delivered", 1, offer_kind="data")
    taken = event("campaign_converted", 2, offer_kind="data")
    assert labels(delivered)["nbo:data"] == labels(delivered)["campaign_response"] == 0
    found = labels(delivered, taken)
    assert found["nbo:data"] == found["campaign_response"] == 1
    assert np.isnan(found["nbo:roaming"])


@pytest.mark.parametrize(
    ("events", "late"),
    [
        ([event("payment", 5, 20.0, on_time=True)], 0),
        ([event("payment", 5, 20.0, on_time="no")], 1),
        ([event("invoice", 2, 20.0)], 1),
        ([event("invoice", 2, 20.0), event("payment", 5, 20.0, on_time=True)], 0),
    ],
)
def test_late_and_missing_payments(events: list[dict[str, Any]], late: float) -> None:
    assert labels(*events)["payment_default"] == late


def taken(day: int, count: int = 40) -> dataset.Snapshot:
    """A snapshot of simulated customers, as of the end of a day."""
    rng = np.random.default_rng(4)
    ids = [f"c{n}" for n in range(count)]
    made = [
        msgspec.json.decode(record)
        for record in history(rng, draw_traits(rng, count)).records(ids)
    ]  # fmt: skip
    until = iso((day + 1) * DAY_MS)
    before = [msgspec.json.encode(each) for each in made if each["occurred_at"] < until]
    found = dataset.snapshot(ids, fold(before, ids, day), (day + 1) * DAY_MS - 1)
    found.labels.take(made)
    return found


def test_split_by_time_lets_no_label_reach_what_is_held_out() -> None:
    early, middle, late = taken(AS_OF_DAY - 70), taken(AS_OF_DAY - 50), taken(AS_OF_DAY - 31)
    made = dataset.table([early, middle, late], AT)
    assert made.holdout is not None
    known = len(early.ids) + len(late.ids)
    assert len(made.values) == known, "labels of the middle one reach into the last one's time"
    assert made.holdout.sum() == len(late.ids)
    np.testing.assert_array_equal(made.values[~made.holdout], features.matrix(early.rows))
    np.testing.assert_array_equal(made.values[made.holdout], features.matrix(late.rows))
    np.testing.assert_array_equal(made.labels["churn"][made.holdout], late.labels.columns()["churn"])
    assert not made.limits


def test_snapshots_that_lie_close_hold_out_other_customers() -> None:
    one, two = taken(AS_OF_DAY - 32), taken(AS_OF_DAY - 31)
    made = dataset.table([one, two], AT)
    assert made.holdout is not None
    ids = np.array([*one.ids, *two.ids])
    assert not set(ids[made.holdout]) & set(ids[~made.holdout])
    assert 0 < made.holdout.sum() < len(ids) / 2
    assert "closer than the horizon" in made.limits[0]


def test_events_that_end_too_early_are_refused() -> None:
    with pytest.raises(NoDataset, match="the events end at") as refused:
        dataset.table([taken(AS_OF_DAY - 10)], AT)
    assert "--horizon 10" in refused.value.hint or "--horizon 9" in refused.value.hint
    with pytest.raises(NoDataset, match="no customers"):
        dataset.table([], AT)
