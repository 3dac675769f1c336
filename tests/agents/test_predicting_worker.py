"""A real worker with its models: what the fold asks for is answered once, and taken as the log has it."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.asking import send_command, wait_results
from agents.commands import own_event
from cli.predicted import foretold, served
from config import topics
from loyalty.asking import DAILY, INLINE, SETS
from ml.features import NAMES as FEATURES
from ml.registry import SHIPPED, Registry
from ml.serving import MODELS
from streams.identity import free_port
from tests.faults.harness import Worker, until, workers
from tests.faults.pipeline import SOURCE, Pipeline, mixed
from web.ask_worker import fetch, web_url

CUSTOMERS = 12


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    home = tmp_path_factory.mktemp("predictions")
    shutil.copytree(SHIPPED, home / "models")
    made = Pipeline(home / "home", models=home / "models", web_port=free_port("127.0.0.1", 0))
    try:
        made.add_source(SOURCE)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def worker(pipeline: Pipeline) -> Iterator[Worker]:
    """One that has folded 40 days of 12 customers."""
    made = pipeline.worker("a")
    with workers(made):
        made.start()
        pipeline.send(sorted(mixed(7, CUSTOMERS, 1_200), key=lambda record: str(record["at"])))
        pipeline.settled(made.log)
        yield made
        assert made.stop() == 0


def told(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Everything on `predictions`."""
    return [
        json.loads(m.value()) | {"key": m.key().decode()}
        for m in pipeline.committed(topics.PREDICTIONS)
        if m.value() is not None
    ]


def taken(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """`_prediction`s on the log, by event_id."""
    log = (json.loads(message.value()) for message in pipeline.committed(topics.CUSTOMER_EVENTS))
    return {event["event_id"]: event for event in log if event["event_type"] == "_prediction"}


def test_each_answer_stands_on_predictions_and_once_in_the_log(pipeline: Pipeline, worker: Worker) -> None:
    records, events = told(pipeline), taken(pipeline)
    assert len(records) > 10 * CUSTOMERS
    assert len({record["effect_id"] for record in records}) == len(records) == len(events)
    for record in records:
        which = next(bit for bit, name in SETS.items() if name == record["set"])
        assert record["key"] == f"{record['customer_id']}:{record['set']}"
        assert tuple(record["models"]) == MODELS[which]
        assert len(record["features"]) == len(FEATURES)
        event = events[record["effect_id"]]
        assert event["occurred_at"] == record["occurred_at"]
        attributes, models = event["attributes"], record["models"]
        unknown = models["churn" if which == INLINE else "ltv"]["insufficient_history"]
        if which == INLINE:
            assert attributes["churn"] == (None if unknown else models["churn"]["probability"])
            best = models["nbo"]["offers"][0]["offer_id"]
            assert attributes["offer"] == (None if unknown else best)
        else:
            assert attributes["ltv"] == (None if unknown else models["ltv"]["amount"])
    assert {record["set"] for record in records} == {SETS[INLINE], SETS[DAILY]}
    lately = np.concatenate(list(served(pipeline.settings)))
    inline = [record["features"] for record in records if record["set"] == "inline"]
    assert sorted(lately.tolist()) == sorted(np.array(inline, np.float32).tolist())
    known = [record["models"]["churn"] for record in records if record["set"] == "inline"]
    assert {churn["insufficient_history"] for churn in known} == {True, False}
    assert all(not churn["fallback"] for churn in known)
    assert {churn["model_version"] for churn in known} == {Registry().active("churn")}


def test_what_was_foretold_moves_risk(pipeline: Pipeline, worker: Worker) -> None:
    last = {
        event["customer_id"]: event["attributes"]["churn"]
        for event in taken(pipeline).values()
        if event["attributes"]["set"] == "inline"
    }
    assert any(last.values())
    for customer, churn in last.items():
        component = fetch(pipeline.settings, customer)["scores"]["risk"]["components"]["churn_probability"]
        assert component["measure"] == pytest.approx(churn or 0.0, abs=0.00005)
        assert (component["points"] > 0) == (component["measure"] > 0)


def test_people_are_told_why(pipeline: Pipeline, worker: Worker) -> None:
    known = next(
        record["customer_id"]
        for record in reversed(told(pipeline))
        if record["set"] == "inline" and not record["models"]["churn"]["insufficient_history"]
    )
    shown = json.loads(pipeline.khaywe("customer", "predictions", known, "--json"))
    assert [record["set"] for record in shown] == ["inline", "daily"]
    churn = shown[0]["explained"][0]
    assert churn["text"].startswith(f"Churn: {churn['outputs']['risk_level']}, ")
    assert churn["factors"]
    page = pipeline.khaywe("customer", "predictions", known)
    assert churn["text"] in page
    row = fetch(pipeline.settings, known)["predictions"]
    assert row["inline"]["as_of"] == shown[0]["occurred_at"]
    assert row["inline"]["churn"] == pytest.approx(churn["outputs"]["probability"], abs=0.00005)
    assert row["inline"]["next_best_offer"]["name"] in page
    assert row["daily"]["lifetime_value"] is not None
    assert f"{row['inline']['churn']:.1%}" in pipeline.khaywe("customer", "show", known, "--events", "0")
    assert foretold(pipeline.settings, "nobody") == []


def counted(pipeline: Pipeline, name: str, **labels: str) -> float:
    """A figure of the worker's metrics."""
    with urllib.request.urlopen(f"{web_url(pipeline.settings)}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def version_of(pipeline: Pipeline, customer: str, model: str) -> str:
    """Which version answers for a customer, asked by command."""
    predict(pipeline, customer_id=customer)
    ((record, _),) = [each for each in foretold(pipeline.settings, customer) if model in each[0]["models"]]
    return str(record["models"][model]["model_version"])


def predict(pipeline: Pipeline, **whom: str) -> None:
    """The command, until its answers are folded."""
    results = list(wait_results(pipeline.settings, send_command(pipeline.settings, "predict", **whom), 30))
    assert {result.status for result in results} == {"done"}
    pipeline.settled()


def test_versions_are_taken_over_while_it_runs_and_broken_ones_refused(
    pipeline: Pipeline, worker: Worker
) -> None:
    models = Registry(pipeline.settings.models or SHIPPED)
    old = models.active("churn")
    before = counted(pipeline, "khaywe_predictions_total", model="churn")
    assert before == sum("churn" in record["models"] for record in told(pipeline))
    assert version_of(pipeline, "c1", "churn") == old

    new = renamed(models.path("churn", old).read_bytes(), old, old[:-1] + "x")
    models.add(new)
    models.activate("churn", old[:-1] + "x")
    until(
        "the new version answers",
        lambda: counted(pipeline, "khaywe_model", model="churn", version=old[:-1] + "x") == 1, 10, worker.log,
    )  # fmt: skip
    assert version_of(pipeline, "c1", "churn") == old[:-1] + "x"

    models.path("churn", "broken").write_bytes(b"no model at all")
    (models.directory / "churn" / "active").write_text("broken\n")
    until(
        "the broken one is refused",
        lambda: counted(pipeline, "khaywe_model_refusals_total", model="churn") == 1, 10, worker.log,
    )  # fmt: skip
    assert "model churn broken is refused" in worker.log.read_text()
    assert version_of(pipeline, "c1", "churn") == old[:-1] + "x"


def renamed(data: bytes, old: str, new: str) -> bytes:
    """The same model under another version of as many letters."""
    assert len(old) == len(new)
    return data.replace(old.encode(), new.encode())


def test_a_segment_is_asked_the_erased_forgotten_and_all_the_same_on_replay(
    pipeline: Pipeline, worker: Worker
) -> None:
    before = len(told(pipeline))
    predict(pipeline, segment="all")
    assert len(told(pipeline)) == before + 2 * CUSTOMERS
    pipeline.khaywe("command", "erase", "--customer", "c2")
    pipeline.settled()
    last = {m.key(): m.value() for m in pipeline.committed(topics.PREDICTIONS)}
    assert last[b"c2:inline"] is last[b"c2:daily"] is None

    # Asked about and erased in one transaction: what is written of the answer does not outlive it.
    at, answers = "2026-02-20T00:00:00.000Z", len(pipeline.committed(topics.PREDICTIONS))
    call = {
        "event_id": "last-call", "customer_id": "c3", "event_type": "voice_call", "source": "mixed",
        "value": 60, "occurred_at": at, "received_at": at, "attributes": {},
    }  # fmt: skip
    erase = own_event("erase-c3", "_command", at, {"command_id": "erase-c3", "command": "erase"}, "c3")
    worker.signal(signal.SIGSTOP)
    for value in (json.dumps(call).encode(), erase):
        pipeline.producer.produce(topics.CUSTOMER_EVENTS, value, b"c3")
    pipeline.producer.flush()
    worker.signal(signal.SIGCONT)
    pipeline.settled()
    end = pipeline.committed(topics.PREDICTIONS)
    assert len(end) > answers + 2, "it was asked about"
    last = {m.key(): m.value() for m in end}
    assert last[b"c3:inline"] is last[b"c3:daily"] is None

    replayed = json.loads(pipeline.khaywe("replay", "--json"))
    assert replayed["same"] is True
    assert replayed["topics"][topics.BEHAVIOR_SCORES]["equal"] > 100


def test_without_a_model_no_worker_starts_but_rules_may_answer(pipeline: Pipeline) -> None:
    poor = pipeline.home / "poor"
    shutil.copytree(SHIPPED, poor)
    shutil.rmtree(poor / "nbo")
    refused = pipeline.worker("b", KHAYWE_MODELS=str(poor))
    with workers(refused):
        refused.start()
        until("it has ended", lambda: not refused.alive, 180, refused.log)
    said = refused.log.read_text()
    assert "no model nbo to predict with" in said
    assert "KHAYWE_MODEL_FALLBACK=rules" in said
    assert "Traceback" not in said
