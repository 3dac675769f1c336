"""Web views of a worker: a customer and why, the tables, grants, points, health, metrics.

All give JSON but stored rows and metrics.  A customer is answered by the worker that owns the partition; any
other worker asks that one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from faust.web import Request, Response, View
from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from yarl import URL

from streams.partition import partition_of
from streams.record_app import RecordApp
from web.keys import HEADER, Keys, shown

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """What the app that owns the customer table can say; of customers only whose partition it owns.

    `customer` and `why` (id, mission, badge, campaign) give None for an unknown customer; `why` raises
    LookupError for a name that the catalog has not, `grants` where a partition goes meanwhile.  `census`
    (conditions, number of a campaign or 0) raises LookupError for a campaign that there is not, ValueError
    for a condition.
    """

    customer: Callable[[str], Awaitable[dict[str, Any] | None]]
    why: Callable[[str, str | None, str | None, str | None], Awaitable[dict[str, Any] | None]]
    overview: Callable[[], Awaitable[Rows]]
    grants: Callable[[], Awaitable[Rows]]
    points: Callable[[], Awaitable[Rows]]
    rows: Callable[[Sequence[str]], Awaitable[list[bytes | None]]]
    census: Callable[[Sequence[str], int], Awaitable[Rows]]


CUSTOMERS = "customers"
#: Marks a question from worker to worker: it is never passed on again.
ROUTED = "Khaywe-Routed"
ROUTE_SECONDS = 5.0
#: Customers of one question for rows: some 5 MB of an answer.
MOST_ROWS = 5_000
#: Seconds without a commit, while records wait, after which a worker is no longer well.
STALE_SECONDS = 60.0


def table_views(app: RecordApp, table: Table) -> None:
    """Add the views of the customer table to its app."""

    keys = Keys(app.settings, app.settings.web_host)

    class Guarded(View):
        """A view that asks for a key, unless the worker listens on its own machine only."""

        async def dispatch(self, request: Any) -> Any:
            """Refuse, or go on."""
            if await keys.allow(request.headers.get(HEADER)):
                return await super().dispatch(request)
            return self.error(401, f"show KHAYWE_WORKER_KEY, or a key of the API, as {HEADER}")

    class OfCustomer(Guarded):
        """A view that the owner of the customer's partition answers."""

        async def answer(
            self, request: Request, customer_id: str, look: Callable[[], Awaitable[dict[str, Any] | None]]
        ) -> Response:
            url = owner(app, customer_id)
            here = app.conf.canonical_url
            if url is not None and (url.host, url.port) != (here.host, here.port):
                if ROUTED in request.headers:
                    return self.error(503, f"customer {customer_id}: the partition is moving to {url}")
                return await self._ask(url, request.rel_url, customer_id)
            if url is None or not app.ready:
                return self.error(503, f"customer {customer_id}: the partition is being taken over")
            try:
                found = await look()
            except LookupError as error:
                return self.error(404, str(error.args[0]), customer_id=customer_id)
            if found is None:
                return self.error(404, f"customer {customer_id} is unknown", customer_id=customer_id)
            return self.json(found)

        async def _ask(self, url: URL, path: URL, customer_id: str) -> Response:
            target = URL(f"{str(url).rstrip('/')}{path.raw_path_qs}", encoded=True)
            try:
                async with app.http_client.get(
                    target,
                    headers={ROUTED: "1"} | shown(app.settings),
                    timeout=aiohttp.ClientTimeout(ROUTE_SECONDS),
                ) as answer:
                    return self.bytes(
                        await answer.read(), content_type=answer.content_type, status=answer.status
                    )
            except (aiohttp.ClientError, TimeoutError) as error:
                return self.error(503, f"worker {url}, which owns customer {customer_id}: {error!r}")

    @app.page("/customers/{customer_id}", name="customer")
    class Customer(OfCustomer):
        async def get(self, request: Request, customer_id: str) -> Response:
            return await self.answer(request, customer_id, lambda: table.customer(customer_id))

    @app.page("/customers/{customer_id}/why", name="why")
    class Why(OfCustomer):
        async def get(self, request: Request, customer_id: str) -> Response:
            asked = request.rel_url.query
            mission, badge, campaign = (asked.get(kind) for kind in ("mission", "badge", "campaign"))
            return await self.answer(
                request, customer_id, lambda: table.why(customer_id, mission, badge, campaign)
            )

    @app.page("/tables", name="tables")
    class Tables(Guarded):
        async def get(self, request: Request) -> Response:
            return self.json(
                {
                    "worker": app.worker_name,
                    "ready": app.ready,
                    "partitions": list(await table.overview()),
                    "workers": {url: sorted(numbers) for url, numbers in owners(app).items()},
                }
            )

    @app.page("/grants", name="grants")
    class Grants(Guarded):
        async def get(self, request: Request) -> Response:
            try:
                found = list(await table.grants())
            except LookupError as error:
                return self.error(503, f"a partition is moving: {error.args[0]}")
            return self.json({"worker": app.worker_name, "grants": found})

    @app.page("/rows", name="rows")
    class StoredRows(Guarded):
        async def post(self, request: Request) -> Response:
            """Stored rows of some customers (a JSON list of ids), as a list of MessagePack in that order."""
            try:
                ids = msgspec.json.decode(await request.read(), type=list[str])
            except msgspec.MsgspecError as error:
                return self.error(400, f"a JSON list of customer ids is wanted: {error}")
            if len(ids) > MOST_ROWS:
                return self.error(400, f"{len(ids):,} customers are more than {MOST_ROWS:,}")
            return self.bytes(
                msgspec.msgpack.encode(await table.rows(ids)), content_type="application/msgpack"
            )

    @app.page("/points", name="points")
    class Points(Guarded):
        async def get(self, request: Request) -> Response:
            partitions = list(await table.points())
            return self.json(
                {
                    "worker": app.worker_name,
                    "owed": sum(sum(each["owed"].values()) for each in partitions),
                    "partitions": partitions,
                }
            )

    @app.page("/census", name="census")
    class Census(Guarded):
        async def get(self, request: Request) -> Response:
            asked = request.rel_url.query
            number = asked.get("campaign", "0")
            try:
                found = list(await table.census(asked.getall("condition", []), int(number)))
            except LookupError as error:
                return self.error(404, str(error.args[0]))
            except ValueError as error:
                return self.error(400, str(error))
            return self.json({"worker": app.worker_name, "partitions": found})


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
    hosts = app.router.table_metadata(CUSTOMERS)
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
    lag = next(iter(app.lag.describe())).name
    waiting = sum(
        REGISTRY.get_sample_value(lag, {"topic": p.topic, "partition": str(p.partition)}) or 0
        for p in app.taken.positions
    )
    last = REGISTRY.get_sample_value("khaywe_last_commit_timestamp_seconds", {"app": name}) or 0
    quiet = now - max(started, last)
    if waiting and quiet > STALE_SECONDS:
        return [f"{name}: {waiting:,.0f} records wait and nothing was committed for {quiet:,.0f} s"]
    return []
