"""Worked examples of the documentation, run as printed, on the worker and the API of the other tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from jsonschema_rs import validator_for
from prometheus_client.parser import text_string_to_metric_families

from config import topics
from ml import uci
from tests.docs import forks
from tests.docs.worked import Shell, shows, steps
from tests.faults.harness import ROOT, Worker, until
from tests.faults.pipeline import Pipeline
from web.api.parts import Parts

DOCS = ROOT / "docs"
#: Lines of the file that `add/model.md` says one has; fewer would be too few for it to train on.
CUSTOMERS = 401
#: What runs already, beside the tests.
RUNS = re.compile(r"^khaywe (worker|api) .*&\n", re.MULTILINE)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with forks.khaywe(tmp_path_factory.mktemp("khaywe")) as folder:
        yield folder


@pytest.mark.parametrize(
    "page", ["start.md", *(f"add/{path.name}" for path in sorted((DOCS / "add").glob("*.md")))]
)
def test_what_a_page_says_is_what_happens(
    page: str, typed: Path, pipeline: Pipeline, parts: Parts, live: Worker, address: str, tmp_path: Path
) -> None:
    (tmp_path / "customers.csv").write_text("\n".join(uci.FILE.read_text().splitlines()[:CUSTOMERS]) + "\n")
    shell = Shell(
        tmp_path,
        pipeline.environment
        | {
            "KHAYWE_WORKER_URL": str(parts.settings.worker_url),
            "PATH": f"{typed}:/usr/local/bin:/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",  # threads that wait for each other by spinning, where others work too
        },
    )
    try:
        for step in steps(DOCS / page):
            shell.write(step.files)
            commands = RUNS.sub("", step.commands).replace("http://127.0.0.1:6080", address)
            output = shell.run(commands)
            for line in step.shows:
                assert shows(output, line), f"{commands}\n{output}\nhas no: {line}"
            until("workers have the newest revision", lambda: _taken_over(parts), 60, live.log)
    finally:
        shell.close()


def _taken_over(parts: Parts) -> bool:
    """Whether the newest revision decides in every partition."""
    newest = parts.catalog.revisions(None, 1)[0].number
    partitions = httpx.get(f"{parts.settings.worker_url}/tables").json()["partitions"]
    return {each["revision"] for each in partitions} == {newest}


def test_records_are_what_the_reference_says(pipeline: Pipeline, live: Worker) -> None:
    """Each record of each topic fits a schema of docs/reference/asyncapi.yaml."""
    head = {"customer_id": "15550190", "value": 20, "occurred_at": "2026-03-02T00:00:00Z"}
    for event in ({"event_type": "activation"}, {"event_type": "recharge"}, {"event_type": "no_such_type"}):
        value = json.dumps(head | event | {"event_id": event["event_type"]})
        pipeline.producer.produce(topics.raw_topic("custom"), value.encode(), b"15550190")
    pipeline.producer.flush()
    pipeline.settled(live.log)
    pipeline.khaywe("command", "predict", "--customer", "15550190")
    pipeline.settled(live.log)
    document = yaml.safe_load((DOCS / "reference/asyncapi.yaml").read_text())
    seen = set()
    for name, channel in document["channels"].items():
        if name in ("raw", topics.CHANGELOG):
            continue
        one_of = [{"$ref": f"#/components/schemas/{message}"} for message in channel["messages"]]
        fits = validator_for({"anyOf": one_of, "components": document["components"]})
        for record in pipeline.committed(name):
            if record.value() is not None:  # a tombstone
                value = json.loads(record.value())
                assert fits.is_valid(value), f"{name}: {value}: {[str(e) for e in fits.iter_errors(value)]}"
                seen.add(name)
    # What campaigns tell, and erasures, stand there if other tests have brought them about.
    rare = {"raw", topics.CHANGELOG, topics.ERASURES, topics.CAMPAIGN_TRIGGERS}
    assert seen >= set(document["channels"]) - rare


def test_every_metric_that_is_shown_stands_in_the_reference(
    parts: Parts, live: Worker, address: str, keys: dict[str, str]
) -> None:
    page = (DOCS / "reference/metrics.md").read_text()
    headers = {"X-API-Key": keys["viewer"]}
    for url in (f"{parts.settings.worker_url}/metrics", f"{address}/metrics"):
        families = list(text_string_to_metric_families(httpx.get(url, headers=headers).text))
        assert len(families) > 8
        for family in families:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            assert f"| `{name}` | {family.type} |" in page or name.endswith("_created"), name
