"""The whole way of a record at full speed: raw topic, customer-events, effects; exactly once, one worker.

A fifth of the records makes customers known, as they are to an operator.  When the worker is through with it,
the others are written in a transaction, and the clock starts when that is committed: all of them are there at
once, and whatever is done with them, on both hops, is done while it runs.  CPU time is the worker process's
own, the broker's apart.  A run each: scores alone, the game of `catalog/seed`, ten times its templates, all
three without models, and the game with models inline.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import yaml
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from bench.generate import cdr_blocks
from catalog.draft import SEED, Draft, read, seed
from catalog.service import CatalogService
from config import topics as names
from config.settings import Settings
from loyalty.content import Predictions
from streams import topics
from streams.embedded import services as embedded
from streams.names import CUSTOMERS_GROUP

EVENTS = 1_500_000
#: 150 records a customer within DAYS, and 15.  An operator of 13 million customers with 900,000 events a
#: second has 12,000: so both have more daily refreshes, and more of the first days' missions, an event.
CUSTOMERS, SPARSE_CUSTOMERS = 10_000, 100_000
PARTITIONS = 4
DAYS = 2
START = datetime(2026, 1, 1, tzinfo=UTC)
WEB_PORT = 16_066
WARM = 0.2  # share of the events that make customers known

SOURCE: dict[str, Any] = {
    "name": "cdr",
    "source_type": "cdr",
    "event_mapping": {
        "customer_id_field": "msisdn",
        "event_type_field": "cdr_type",
        "event_types": {"VOICE": "voice_call", "SMS": "sms", "DATA": "data_session"},
        "value_field": "usage",
        "timestamp_field": "event_time",
        "event_id_field": "event_id",
    },
}

Metrics = dict[tuple[str, ...], float]

say = Console(stderr=True).print


def run() -> dict[str, Any]:
    """A run for each; the figures of the seed's game, and how the others compare."""
    scores, game, many = (measure(draft, predict=False) for draft in (Draft([]), seed(), times_ten()))
    models = measure(seed())
    sparse_scores, sparse = (
        measure(draft, customers=SPARSE_CUSTOMERS, predict=False) for draft in (Draft([]), seed())
    )
    return {
        **game,
        "sparse_customers": SPARSE_CUSTOMERS,
        "sparse_events_per_second": sparse["events_per_second"],
        "sparse_scores_only_events_per_second": sparse_scores["events_per_second"],
        "sparse_full_work_share": round(sparse["events_per_second"] / sparse_scores["events_per_second"], 3),
        "models_events_per_second": models["events_per_second"],
        "models_rate_share": round(models["events_per_second"] / game["events_per_second"], 3),
        "models_share_of_time": round(models["stages"][f"{CUSTOMERS_GROUP}/predict"] / models["seconds"], 3),
        "models_predictions": models["predictions"],
        "models_stages": models["stages"],
        "scores_only_events_per_second": scores["events_per_second"],
        "full_work_share": round(game["events_per_second"] / scores["events_per_second"], 3),
        "templates_290_events_per_second": many["events_per_second"],
        "templates_290_share": round(many["events_per_second"] / game["events_per_second"], 3),
        "full_work_share_of_cpu": round(game["events_per_cpu_second"] / scores["events_per_cpu_second"], 3),
        "templates_290_share_of_cpu": round(many["events_per_cpu_second"] / game["events_per_cpu_second"], 3),
    }


def times_ten() -> Draft:
    """The seed with ten of each template."""
    with tempfile.TemporaryDirectory() as directory:
        for file in SEED.glob("*.yaml"):
            found = yaml.safe_load(file.read_text())
            for template in list(found.get("templates", ())):
                for n in range(1, 10):
                    more = {"number": template["number"] + 30 * n, "name": f"{template['name']} {n}"}
                    kept = {name: value for name, value in template.items() if name != "limits"}
                    found["templates"].append(kept | more)
            (Path(directory) / file.name).write_text(yaml.safe_dump(found, sort_keys=False))
        return read([Path(directory)])


def measure(
    game: Draft, events: int = EVENTS, customers: int = CUSTOMERS, predict: bool = True,
    partitions: int = PARTITIONS, workers: int = 1, warm: float = WARM, days: float = DAYS, **other: Any,
) -> dict[str, Any]:  # fmt: skip
    """One run in a home of its own, with `other` settings; returns the figures."""
    with prepared(game, predict, partitions, **other) as settings:
        say(f"{events:,} records of {customers:,} customers")
        pairs = records(events, customers, days)
        return {"customers": customers, **work(settings, pairs, events, int(events * warm), workers)}


@contextmanager
def prepared(game: Draft, predict: bool, partitions: int = PARTITIONS, **other: Any) -> Iterator[Settings]:
    """Kafka and PostgreSQL with a catalog and the raw topic of its source, all gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="khaywe-bench-"))
    given = {"home": home, "clock": "event", "partitions": partitions, "web_port": WEB_PORT, **other}
    settings = Settings(_env_file=None, **given)
    try:
        embedded.up(settings, lambda what, share: None)
        topics.create(settings)
        add_source(settings, game, predict)
        yield settings
    finally:
        embedded.down(settings, lambda what, share: None)
        shutil.rmtree(home, ignore_errors=True)


def add_source(settings: Settings, game: Draft, predict: bool) -> None:
    """The catalog's first revision, and the source of the records."""
    service = CatalogService(settings.database_url(), settings)
    service.ensure_first_revision(game)
    service.add_sources([SOURCE])
    service.set_predictions(Predictions(enabled=predict))
    service.publish_outbox(Producer(settings.producer_config()))
    service.close()
    topics.ensure_raw_topic(settings, names.raw_topic("cdr"))


def records(
    events: int, customers: int, days: float = DAYS, start: datetime = START, number: int = 0
) -> Iterator[tuple[bytes, bytes]]:
    """So many raw records of so many days, as keys and values; their ids count from `number`."""
    for keys, values in cdr_blocks(7, customers, events, days, start, number=number):
        yield from zip(keys, values, strict=True)


def send(settings: Settings, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    """Put records on a raw topic."""
    _put(Producer(settings.producer_config(**SENDING)), topic, pairs)


@contextmanager
def hidden(settings: Settings, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[None]:
    """Put records on a raw topic; nobody sees one of them before the end."""
    how = {"transactional.id": "bench", "transaction.timeout.ms": 600_000}
    producer = Producer(settings.producer_config(**SENDING, **how))
    producer.init_transactions()
    producer.begin_transaction()
    _put(producer, topic, pairs)
    yield
    producer.commit_transaction()


SENDING: dict[str, Any] = {"linger.ms": 50, "queue.buffering.max.messages": 500_000}


def _put(producer: Producer, topic: str, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    put(producer, topic, ((key, value, -1) for key, value in pairs))


def put(producer: Producer, topic: str, entries: Iterable[tuple[bytes, bytes | None, int]]) -> None:
    """Send keys and values to these partitions (-1: the key's), and wait until they are there."""
    for key, value, partition in entries:
        while True:
            try:
                producer.produce(topic, value, key, partition)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def environment(settings: Settings) -> dict[str, str]:
    """Of processes that work with these settings."""
    return {
        **os.environ,
        "KHAYWE_HOME": str(settings.home),
        "KHAYWE_CLOCK": settings.clock,
        "KHAYWE_PARTITIONS": str(settings.partitions),
        "KHAYWE_WEB_PORT": str(settings.web_port),
        "KHAYWE_CACHE_ROWS": str(settings.cache_rows),
        "KHAYWE_LOG_LEVEL": "warning",
    }


@contextmanager
def working(settings: Settings, workers: int = 1) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many workers while they run."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "worker"]
    command += ["--agents", "normalizer,customers"]  # what peers do too: PostgreSQL is another's work
    running = []
    for number in range(workers):
        own = {"KHAYWE_WORKER": f"bench-{number}", "KHAYWE_WEB_PORT": str(settings.web_port + number)}
        running.append(subprocess.Popen(command, env=environment(settings) | own))
    try:
        yield running
    finally:
        for worker in running:
            worker.terminate()
        for worker in running:
            worker.wait(60)


def work(
    settings: Settings, pairs: Iterator[tuple[bytes, bytes]], events: int, known: int, workers: int = 1
) -> dict[str, Any]:
    """What workers do of so many records, once the first `known` of them are done; the figures."""
    topic = names.raw_topic("cdr")
    with working(settings, workers) as running:
        processes = [psutil.Process(worker.pid) for worker in running]

        def cpu() -> float:
            return sum(each.user + each.system for each in (process.cpu_times() for process in processes))

        def folded(least: int) -> Metrics:
            begun, before = time.perf_counter(), None
            while True:
                if any(worker.poll() is not None for worker in running):
                    raise RuntimeError("a worker stopped")
                found = metrics(workers)
                done = found.get(("khaywe_events_total", "events"), 0.0)
                if done >= least:
                    return found
                # A look costs the worker some 20 ms: seldom, but for the end.
                now, before = time.perf_counter(), done if before is None else before
                rate = (done - before) / (now - begun)
                time.sleep(min(1.0, max(0.05, (least - done) / rate / 2)) if rate else 0.2)

        send(settings, topic, islice(pairs, known))
        warm = folded(known)
        with hidden(settings, topic, pairs):
            first = time.perf_counter(), cpu()
        found = folded(events)
        last = time.perf_counter(), cpu()
        done = events - known
        wall, cpu_seconds = last[0] - first[0], last[1] - first[1]
        say(f"{done / wall:,.0f} events a second, {done / cpu_seconds:,.0f} a second of CPU")
        return {
            "events": events,
            "events_per_second": round(done / wall),
            "events_per_cpu_second": round(done / cpu_seconds),
            "seconds": round(wall, 2),
            "cpu_seconds": round(cpu_seconds, 2),
            "resident_bytes": sum(process.memory_info().rss for process in processes),
            "predictions": round(
                sum(
                    value - warm.get(name, 0.0)
                    for name, value in found.items()
                    if name[0] == "khaywe_predictions_total"
                )
            ),
            "stages": {
                f"{name[1]}/{name[2]}": round(value - warm.get(name, 0.0), 2)
                for name, value in sorted(found.items())
                if name[0] == "khaywe_stage_seconds_total"
            },
        }


def metrics(workers: int = 1) -> Metrics:
    """The workers' metrics by name and label values, added up; nothing of one that does not answer."""
    sums: Metrics = {}
    for number in range(workers):
        try:
            address = f"http://127.0.0.1:{WEB_PORT + number}/metrics"
            with urllib.request.urlopen(address, timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = (sample.name, *sample.labels.values())
                sums[name] = sums.get(name, 0.0) + sample.value
    return sums
