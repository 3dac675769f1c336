"""Web views of a worker: one customer, the tables, health and metrics.  All give JSON but the last.

A customer is answered by the worker that owns the partition; any other worker asks that one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from faust.web import Request, Response, View
from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from yarl import URL

from streams.partition import partition_of
from streams.record_app import RecordApp

#: What is known of a customer whose partition this worker owns; None: nothing.
Lookup = Callable[[str], Awaitable[dict[str, Any] | None]]
#: What is to be said of each partition this worker owns.
Overview = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]

TABLE = "customers"
#: Marks a question from worker to worker: it is never passed on again.
ROUTED = "Khaywe-Routed"
ROUTE_SECONDS = 5.0
#: Seconds without a commit, while records wait, after which a worker is no longer well.
STALE_SECONDS = 60.0


def table_views(app: RecordApp, customer: Lookup, tables: Overview) -> None:
    """Add `/customers/{id}` and `/tables` to the app that owns the customer table."""

    @app.page("/customers/{customer_id}", name="customer")
    class Customer(View):
        async def get(self, request: Request, customer_id: str) -> Response:
            url = owner(app, customer_id)
            here = app.conf.canonical_url
            if url is not None and (url.host, url.port) != (here.host, here.port):
                if ROUTED in request.headers:
                    return self.error(503, f"customer {customer_id}: the partition is moving to {url}")
                return await self._ask(url, customer_id)
            if url is None or not app.ready:
                return self.error(503, f"customer {customer_id}: the partition is being taken over")
            found = await customer(customer_id)
            if found is None:
                return self.error(404, f"customer {customer_id} is unknown", customer_id=customer_id)
            return self.json(found)

        async def _ask(self, url: URL, customer_id: str) -> Response:
            target = URL(f"{str(url).rstrip('/')}/customers/{quote(customer_id, safe='')}", encoded=True)
            try:
                async with app.http_client.get(
                    target, headers={ROUTED: "1"}, timeout=aiohttp.ClientTimeout(ROUTE_SECONDS)
                ) as answer:
                    return self.bytes(
                        await answer.read(), content_type=answer.content_type, status=answer.status
                    )
            except (aiohttp.ClientError, TimeoutError) as error:
                return self.error(503, f"worker {url}, which owns customer {customer_id}: {error!r}")

    @app.page("/tables", name="tables")
    class Tables(View):
        async def get(self, request: Request) -> Response:
            return self.json(
                {
                    "worker": app.worker_name,
                    "ready": app.ready,
                    "partitions": list(await tables()),
                    "workers": {url: sorted(numbers) for url, numbers in owners(app).items()},
                }
            )


def common_views(app: RecordApp) -> None:
    """Add `/health` and `/metrics`, which speak for the app and those that run beside it."""
    started = time.time()

    @app.page("/health", name="health")
    class Health(View):
        async def get(self, request: Request) -> Response:
            faults = [
                fault for each in (app, *app.companions) for fault in faults_of(each, started, time.time())
            ]
            return self.json(
                {"worker": app.worker_name, "healthy": not faults, "reasons": faults},
                status=503 if faults else 200,
            )

    @app.page("/metrics", name="metrics")
    class Metrics(View):
        async def get(self, request: Request) -> Response:
            return self.bytes(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def owners(app: RecordApp) -> dict[str, list[int]]:
    """Partitions of the customer table by the address of the worker that owns them."""
    hosts = app.router.table_metadata(TABLE)
    return {str(url): [n for numbers in topics.values() for n in numbers] for url, topics in hosts.items()}


def owner(app: RecordApp, customer_id: str) -> URL | None:
    """Address of the worker that owns a customer; None while the group knows none."""
    partition = partition_of(customer_id.encode(), app.settings.partitions)
    return next((URL(url) for url, numbers in owners(app).items() if partition in numbers), None)


def faults_of(app: RecordApp, started: float, now: float) -> list[str]:
    """Why an app is not well; nothing where it is.  Times are Unix seconds."""
    name = app.conf.id
    if not app.ready or app.taken is None:
        return [f"{name}: its partitions are not taken over yet"]
    waiting = sum(
        REGISTRY.get_sample_value("khaywe_lag_records", {"topic": p.topic, "partition": str(p.partition)})
        or 0
        for p in app.taken.positions
    )
    last = REGISTRY.get_sample_value("khaywe_last_commit_timestamp_seconds", {"app": name}) or 0
    quiet = now - max(started, last)
    if waiting and quiet > STALE_SECONDS:
        return [f"{name}: {waiting:,.0f} records wait and nothing was committed for {quiet:,.0f} s"]
    return []
