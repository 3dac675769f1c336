"""A campaign's whole way, and its caps while workers are killed: real Kafka, PostgreSQL, workers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from catalog.governance.audit import Caller
from cli.projection import look, nothing
from config import topics
from projection import queries
from projection.writer import Writer
from tests.conftest import HOMES
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import SOURCE, Pipeline, consents, mixed
from web.api.app import create
from web.api.doors import PREFIX
from web.api.parts import Parts
from web.api.projected import reading

TOP_UP, WELCOME, BUNDLE = 11, 12, 13
#: Far below what is asked for.
TOTAL, BUDGET, COST = 150, 2_000, 17

CAMPAIGNS = f"""
contact: {{most: 3, days: 7 days, quiet_from: "21:00", quiet_to: "08:00"}}
campaigns:
  - number: {TOP_UP}
    name: Top Up Again
    trigger: {{kind: event, types: [recharge], where: value >= 20}}
    audience: consent = yes
    cost: 25
    control_share: 0.4
    conversion: {{types: [bundle_purchase]}}
    window: 7 days
    offer: Recharge Bonus
    messages:
      en: "{{{{ customer_id }}}}: {{{{ offer.description }}}}."
      fr: "Merci, {{{{ customer_id }}}}."
  - number: {WELCOME}
    name: So Many and No More
    trigger: {{kind: event, types: [plan_upgrade]}}
    limits: {{total: {TOTAL}}}
  - number: {BUNDLE}
    name: So Much and No More
    trigger: {{kind: event, types: [self_care]}}
    cost: {COST}
    limits: {{budget: {BUDGET}}}
"""


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    # Not tmp_path: PostgreSQL, which does not run as root, must be able to pass through.
    home = Path(tempfile.mkdtemp(prefix=f"{HOMES}{os.getpid()}-"))
    made = Pipeline(home, poll_records=500)
    try:
        made.add_source(SOURCE)
        (home / "campaigns.yaml").write_text(CAMPAIGNS)
        made.khaywe("catalog", "load", str(home / "campaigns.yaml"))
        yield made
    finally:
        made.close()
        shutil.rmtree(home)


def event(who: str, what: str, at: str, **more: Any) -> dict[str, Any]:
    """A raw record of source `mixed`."""
    return {"id": f"{what}-{who}-{at}", "who": who, "what": what, "much": 30, "at": at, "more": more}


def told(pipeline: Pipeline, status: str) -> list[dict[str, Any]]:
    """What stands on `campaign-triggers`, of a status."""
    found = [json.loads(message.value()) for message in pipeline.committed(topics.CAMPAIGN_TRIGGERS)]
    return [each for each in found if each["status"] == status]


def projected(pipeline: Pipeline, log: Path) -> None:
    """Wait until the projection has everything."""
    writer = Writer(pipeline.settings.database_url(), nothing)
    try:
        until(
            "the projection has caught up",
            lambda: not sum(place.behind for place in look(pipeline.settings, writer)),
            120,
            log,
        )
    finally:
        writer.close()


async def asked(parts: Parts, key: str, *paths: str) -> list[Any]:
    """What the API answers."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create(parts)),
        base_url=f"http://api{PREFIX}",
        headers={"X-API-Key": key},
    ) as api:
        return [(await api.get(path)).raise_for_status().json() for path in paths]


def test_from_an_event_to_the_figures(pipeline: Pipeline) -> None:
    worker = Worker(
        ["-m", "tests.faults.khaywe", "worker", "--agents", "normalizer,customers,projector"],
        pipeline.environment | {"KHAYWE_WORKER": "a"},
        pipeline.home / "a.log",
    )
    people = [f"p{number}" for number in range(60)]
    with workers(worker):
        worker.start()
        pipeline.send(
            [event(who, "profile_update", "2026-01-01T00:00:00Z", consent=True) for who in people[:58]]
        )
        pipeline.send([event("p0", "profile_update", "2026-01-01T01:00:00Z", language="fr")])
        pipeline.send([event(who, "recharge", "2026-01-05T10:00:00Z") for who in people[:40]])
        pipeline.send([event(who, "recharge", "2026-01-05T23:00:00Z") for who in people[40:]])
        pipeline.settled(worker.log)
        assert {each["customer_id"] for each in told(pipeline, "triggered")} >= set(people[:40])
        pipeline.khaywe("tick", "--at", "2026-01-06T08:00:00Z")
        pipeline.settled(worker.log)

        triggered = told(pipeline, "triggered")
        assert {each["customer_id"] for each in triggered} == set(people[:58]), (
            "once each, who may be addressed"
        )
        by_arm = {arm: [t for t in triggered if t["arm"] == arm] for arm in ("treatment", "control")}
        treatment, control = by_arm["treatment"], by_arm["control"]
        assert len(treatment) + len(control) == 58
        assert min(len(treatment), len(control)) > 9
        french = next(each for each in triggered if each["customer_id"] == "p0")
        if french["arm"] == "treatment":
            assert (french["language"], french["message"]) == ("fr", "Merci, p0.")
        for each in treatment:
            assert (each["offer"], each["cost"]) == (2, 25)
            if each["customer_id"] != "p0":
                assert each["message"] == f"{each['customer_id']}: 10% extra credit on your next recharge."
            night = int(each["customer_id"][1:]) >= 40
            assert each["occurred_at"][:13] == ("2026-01-06T08" if night else "2026-01-05T10"), each
        assert {(each["message"], each["cost"]) for each in control} == {("", 0)}

        answered, bought, said = treatment[:-3], [*treatment[:5], *control[:2]], treatment[5:8]
        later = "2026-01-07T12:00:00Z"
        pipeline.send(
            [
                event(t["customer_id"], "campaign_delivered", later, trigger_id=t["trigger_id"])
                for t in answered
            ]
        )
        pipeline.send([event(each["customer_id"], "bundle_purchase", later) for each in bought])
        pipeline.send(
            [event(t["customer_id"], "campaign_converted", later, trigger_id=t["trigger_id"]) for t in said]
        )
        pipeline.send(
            [event(treatment[9]["customer_id"], "bundle_purchase", "2026-01-25T12:00:00Z")]
        )  # too late
        pipeline.settled(worker.log)
        projected(pipeline, worker.log)
        assert worker.stop() == 0

    parts = Parts.open(pipeline.settings)
    try:
        by_test = Caller("test", "admin", "cli")
        parts.people.add_user("reader", "viewer", by_test)
        key = parts.people.issue("reader", "", None, by_test).key
        figures, board = asyncio.run(asked(parts, key, f"/campaigns/{TOP_UP}/performance/", "/dashboard/"))
        with reading(parts) as session:
            listed = queries.triggers(session, campaign=TOP_UP, status="converted").rows
    finally:
        parts.close()
    assert figures["arms"] == {
        "treatment": {
            "triggered": len(treatment), "delivered": len(answered), "converted": 8,
            "converted_by": {"event": 5, "answer": 3}, "cost": 25 * len(treatment),
            "rate": 8 / len(treatment),
        },
        "control": {
            "triggered": len(control), "delivered": 0, "converted": 2,
            "converted_by": {"event": 2, "answer": 0}, "cost": 0, "rate": 2 / len(control),
        },
    }  # fmt: skip
    assert figures["uplift"]["value"] == pytest.approx(8 / len(treatment) - 2 / len(control))
    assert {each["day"] for each in figures["by_day"]} == {"2026-01-05", "2026-01-06"}
    assert {each["customer_id"] for each in listed} == {each["customer_id"] for each in [*bought, *said]}
    assert board["campaigns"] == {"triggered": 58, "delivered": len(answered), "converted": 10}


def crowd(of: str, at: str, count: int = 60) -> list[dict[str, Any]]:
    """New customers who ask for both of what there is not enough of."""
    names = [f"{of}-{number}" for number in range(count)]
    return [
        record
        for who in names
        for record in (
            event(who, "profile_update", at, consent=True),
            event(who, "plan_upgrade", at),
            event(who, "self_care", at),
        )
    ]


def test_caps_and_budgets_hold_while_two_workers_are_killed(pipeline: Pipeline) -> None:
    crew = [pipeline.worker("a"), pipeline.worker("b")]
    pipeline.send(consents(100) + mixed(2, 100, 2_000))
    number = iter(range(10_000))

    def ask() -> bool:
        """A few more, until both have killed themselves."""
        pipeline.send(crowd(f"r{next(number)}", "2026-02-15T12:00:00Z", 2))
        return not any(worker.alive for worker in crew)

    with workers(*crew):
        for steps in (("produced", "offsets"), ("begun", "committed")):
            for worker, step in zip(crew, steps, strict=True):
                worker.start(FAULT=f"khaywe-customers:{step}:3:KILL")
            until("both have killed themselves", ask, 180, crew[0].log)
            codes = {worker.process.returncode for worker in crew if worker.process is not None}
            assert codes == {-signal.SIGKILL}, crew[0].log.read_text()[-2000:]
        for worker in crew:
            worker.start()
        pipeline.send(crowd("last", "2026-02-15T23:00:00Z", 200))  # at night: held
        pipeline.settled(crew[0].log)
        pipeline.khaywe("tick", "--at", "2026-02-17T00:00:00Z")
        pipeline.settled(crew[0].log)
    sent = Counter(each["campaign"] for each in told(pipeline, "triggered"))
    spent = sum(each["cost"] for each in told(pipeline, "triggered") if each["campaign"] == BUNDLE)
    assert sent[WELCOME] == TOTAL
    assert (sent[BUNDLE], spent) == (BUDGET // COST, BUDGET // COST * COST)
    pipeline.check()
