"""The demo's two files through the whole pipeline give the figures that pandas gives, computed apart."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from streams.identity import free_port
from tests.conftest import HOMES
from tests.faults.harness import workers
from tests.faults.pipeline import Pipeline

DATA = Path(__file__).parents[2] / "cli" / "demo_data"
AT = pd.Timestamp("2020-03-01")
SOURCES = [
    {
        "name": name,
        "source_type": source_type,
        "event_mapping": {
            "customer_id_field": "caller_id",
            "timestamp_field": "timestamp",
            "value_field": value,
            "event_type": event_type,
        },
    }
    for name, source_type, value, event_type in (
        ("recharges", "billing", "amount", "recharge"),
        ("mobiledata", "network", "volume", "data_session"),
    )
]


def expected() -> dict[str, dict[str, dict[str, float]]]:
    """Measures of each customer by score and component, from the files alone."""
    money = pd.read_csv(DATA / "recharges.csv", dtype={"caller_id": str}, parse_dates=["timestamp"])
    data = pd.read_csv(DATA / "mobiledata.csv", dtype={"caller_id": str}, parse_dates=["timestamp"])
    money, data = money.drop_duplicates(), data.drop_duplicates()
    for frame in (money, data):
        frame["age"] = (AT - frame["timestamp"].dt.normalize()).dt.days
    data["kb"] = np.rint(data["volume"] * 1024)
    both = pd.concat([money[["caller_id", "age", "timestamp"]], data[["caller_id", "age", "timestamp"]]])
    week = (both["timestamp"].dt.normalize() - pd.Timestamp("2019-12-30")).dt.days // 7
    now = (AT - pd.Timestamp("2019-12-30")).days // 7
    weeks = both.assign(week=week)[week > now - 12].groupby("caller_id")["week"].nunique()
    month = money[money["age"] < 30].groupby("caller_id")["amount"].sum()
    before = money[money["age"].between(30, 59)].groupby("caller_id")["amount"].sum()
    quarter = money[money["age"] < 90].groupby("caller_id")["amount"].sum()
    total = money.groupby("caller_id")["amount"].sum()
    kb = data[data["age"] < 30].groupby("caller_id")["kb"].sum()
    found = {}
    for who in both["caller_id"].unique():
        mine = both[both["caller_id"] == who]
        last, prior = month.get(who, 0), before.get(who, 0)
        paid = money[money["caller_id"] == who]["age"]
        found[who] = {
            "engagement": {
                "calls": 0,
                "data": kb.get(who, 0) / 1024,
                "app": 0,
                "sms": 0,
                "recency": max(0, 30 - mine["age"].min()),
            },
            "revenue": {
                "total": total.get(who, 0),
                "recent_recharges": last,
                "arpu": quarter.get(who, 0) / 3,
                "lifetime_value": total.get(who, 0),
            },
            "loyalty": {
                "tenure": mine["age"].max(),
                "transactions": len(paid),
                "consistency": weeks.get(who, 0) / 12,
                "on_time_payments": 0,
            },
            "risk": {
                "churn_probability": 0,
                "inactivity": paid.min() if len(paid) else 0,
                "revenue_decline": (prior - last) / prior if prior > 0 else 0,
            },
            "digital": {"app_logins": 0, "feature_use": 0, "content_views": 0, "web_logins": 0},
        }
    return found


#: Weight and full_at of each component, as the design's table prints them.
POLICY = {
    "engagement": {"calls": (30, 60), "data": (30, 10_240), "app": (20, 20), "sms": (10, 60), "recency": (10, 30)},
    "revenue": {"total": (40, 1_000), "recent_recharges": (30, 100), "arpu": (20, 50), "lifetime_value": (10, 2_000)},
    "loyalty": {"tenure": (30, 365), "transactions": (25, 100), "consistency": (25, 1), "on_time_payments": (20, 1)},
    "risk": {"churn_probability": (50, 1), "inactivity": (30, 60), "revenue_decline": (20, 1)},
    "digital": {"app_logins": (40, 20), "feature_use": (30, 30), "content_views": (20, 30), "web_logins": (10, 10)},
}  # fmt: skip


@pytest.fixture(scope="module")
def shown() -> Iterator[dict[str, dict[str, Any]]]:
    """What the worker's view says of every customer, after a tick to the end of the data."""
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    port = free_port("127.0.0.1", 0)
    pipeline = Pipeline(home, web_port=port)
    worker = pipeline.worker("a")
    try:
        with workers(worker):
            worker.start()
            for source in SOURCES:
                pipeline.add_source(source)
                pipeline.khaywe(
                    "ingest", str(DATA / f"{source['name']}.csv"), "--source", str(source["name"])
                )
            pipeline.settled(worker.log)
            pipeline.khaywe("tick", "--at", "2020-03-01T00:00:00Z", "--wait")
            pipeline.settled(worker.log)
            found = {}
            for who in expected():
                url = f"http://127.0.0.1:{port}/customers/{urllib.parse.quote(who, safe='')}"
                with urllib.request.urlopen(url, timeout=30) as answer:
                    found[who] = json.load(answer)
            assert (
                json.loads(pipeline.khaywe("customer", "show", "00184244668", "--json"))
                == found["00184244668"]
            )
            assert json.loads(pipeline.khaywe("dead-letters", "list", "--json")) == []
            yield found
    finally:
        pipeline.close()
        shutil.rmtree(home)


def test_every_measure_is_what_pandas_computes(shown: dict[str, dict[str, Any]]) -> None:
    wanted = expected()
    assert len(wanted) == 925
    for who, scores in wanted.items():
        assert shown[who]["as_of"] == "2020-03-01T00:00:00.000Z"
        for score, components in scores.items():
            measured = {n: c["measure"] for n, c in shown[who]["scores"][score]["components"].items()}
            assert measured == {name: float(value) for name, value in components.items()}, (who, score)


def test_every_score_is_the_sum_of_its_points(shown: dict[str, dict[str, Any]]) -> None:
    for who, scores in expected().items():
        for score, components in scores.items():
            total = 0.0
            for name, measure in components.items():
                weight, full_at = POLICY[score][name]
                points = weight * min(max(float(measure) / full_at, 0.0), 1.0)
                assert shown[who]["scores"][score]["components"][name]["points"] == points, (who, score, name)
                total += points
            assert shown[who]["scores"][score]["value"] == round(total * 100) / 100, (who, score)
