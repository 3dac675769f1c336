"""The worker's web views: who answers for a customer, what the tables say, when a worker is well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.test_utils import TestServer
from faust.assignor.partition_assignor import PartitionAssignor
from sqlalchemy import create_engine
from yarl import URL

from catalog.governance.audit import Caller
from catalog.governance.people import People
from catalog.governance.store import Store
from config import topics
from config.settings import Settings
from streams import metrics
from streams.batches import Epoch, Partition
from streams.identity import free_port
from streams.partition import partition_of
from streams.record_app import RecordApp
from web.keys import HEADER
from web.views import MOST_ROWS, STALE_SECONDS, Table, common_views, faults_of, table_views

HOST = "127.0.0.1"


class Node(RecordApp):
    """A worker's app that does not run; `ready` as the test says."""

    well = True

    @property
    def ready(self) -> bool:
        """As the test says."""
        return self.well


def assignor(app: Node) -> PartitionAssignor:
    """Faust promises less of it than it is."""
    found = app.assignor
    assert isinstance(found, PartitionAssignor)
    return found


class Nodes:
    """Two workers that share four partitions, and what each of them was asked."""

    def __init__(self, config: Settings) -> None:
        self.asked: list[tuple[str, str]] = []
        self.well = True
        self.apps = [self._app(config, name) for name in ("one", "two")]
        self.urls = [str(app.conf.canonical_url) for app in self.apps]
        self.share([0, 1], [2, 3])

    def _app(self, config: Settings, name: str) -> Node:
        app = Node(
            f"views-{name}-{time.monotonic_ns()}", topics.CUSTOMER_EVENTS, config, name,
            web_port=free_port(HOST, 0), web_bind=HOST,
        )  # fmt: skip
        app.Table("customers", partitions=4, changelog_topic=app.topic(topics.CHANGELOG, partitions=4))
        app.taken = Epoch(app.conf.id, 1, "member", frozenset())

        async def customer(customer_id: str) -> dict[str, Any] | None:
            self.asked.append((name, customer_id))
            return None if customer_id == "nobody" else {"customer_id": customer_id, "by": name}

        async def tables() -> list[dict[str, int]]:
            return [{"partition": 0, "rows": 7}]

        async def why(
            customer_id: str, mission: str | None, badge: str | None, campaign: str | None
        ) -> dict[str, Any] | None:
            self.asked.append((name, customer_id))
            if mission == "none":
                raise LookupError("the catalog has no mission 'none'")
            names = {"mission": mission, "badge": badge, "campaign": campaign}
            return {"customer_id": customer_id, "by": name} | names

        async def grants() -> list[dict[str, Any]]:
            if not self.well:
                raise LookupError("customers/0 was closed")
            return [{"customer_id": "a", "grant_id": "f"}]

        async def points() -> list[dict[str, Any]]:
            return [
                {"partition": 0, "owed": {"2021-02-01": 30, "2021-03-01": 5}},
                {"partition": 1, "owed": {"2021-02-01": 7}},
            ]

        async def rows(ids: Sequence[str]) -> list[bytes | None]:
            return [None if id == "nobody" else f"{id} by {name}".encode() for id in ids]

        async def census(conditions: Sequence[str], campaign: int) -> list[dict[str, Any]]:
            if campaign > 255:
                raise LookupError(f"the catalog has no campaign {campaign}")
            return [{"partition": 0, "fits": [len(each) for each in conditions]}]

        table_views(app, Table(customer, why, tables, grants, points, rows, census))
        common_views(app)
        return app

    def share(self, *partitions: list[int]) -> None:
        """Who owns which partitions, as the group's leader tells every member."""
        for app in self.apps:
            assignor(app).changelog_distribution = {
                url: {topics.CHANGELOG: mine} for url, mine in zip(self.urls, partitions, strict=True)
            }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Both web servers, and a client."""
        servers = []
        for app in self.apps:
            server = TestServer(await app.web.wsgi(), host=HOST, port=app.conf.web_port)
            await server.start_server()
            servers.append(server)
        async with aiohttp.ClientSession() as client:
            yield client
        for app, server in zip(self.apps, servers, strict=True):
            await app.http_client.close()
            await server.close()

    async def get(self, client: aiohttp.ClientSession, node: int, path: str) -> tuple[int, Any]:
        """Status and JSON of a page of one of the two."""
        url = f"{self.urls[node].rstrip('/')}{path}"
        async with client.get(URL(url, encoded=True)) as answer:
            return answer.status, await answer.json()


def run(config: Settings, test: Callable[[Nodes, aiohttp.ClientSession], Coroutine[Any, Any, None]]) -> None:
    """A test with both workers' web servers."""

    async def inside() -> None:
        nodes = Nodes(config)
        async with nodes.serving() as client:
            await test(nodes, client)

    asyncio.run(inside())


def owned_by(node: int) -> str:
    """A customer whose partition the first or second worker owns."""
    return next(f"+88 {n}/{n}" for n in range(100) if partition_of(f"+88 {n}/{n}".encode(), 4) // 2 == node)


def test_the_owner_answers_whoever_is_asked(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        for owner, name in enumerate(("one", "two")):
            customer = owned_by(owner)
            for asked in (0, 1):
                status, found = await nodes.get(client, asked, f"/customers/{quote(customer, safe='')}")
                assert (status, found) == (200, {"customer_id": customer, "by": name})

    run(services, test)


def test_stored_rows_are_told_as_they_were_asked_for(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        url = f"{nodes.urls[0].rstrip('/')}/rows"
        async with client.post(url, json=["a", "nobody", "b"]) as answer:
            assert msgspec.msgpack.decode(await answer.read()) == [b"a by one", None, b"b by one"]
        wrong: Any
        for wrong in ({"ids": []}, [1], ["a"] * (MOST_ROWS + 1)):
            async with client.post(url, json=wrong) as answer:
                assert answer.status == 400

    run(services, test)


def test_why_goes_to_the_owner_with_its_question(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        customer = owned_by(1)
        path = f"/customers/{quote(customer, safe='')}/why?mission={quote('First Call & more', safe='')}"
        for asked in (0, 1):
            status, found = await nodes.get(client, asked, path)
            assert status == 200
            assert found == {
                "customer_id": customer, "by": "two", "mission": "First Call & more", "badge": None,
                "campaign": None,
            }  # fmt: skip
        status, found = await nodes.get(client, 0, f"/customers/{quote(customer, safe='')}/why?mission=none")
        assert (status, found["error"]) == (404, "the catalog has no mission 'none'")

    run(services, test)


def test_grants_and_points_are_those_of_the_worker(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        assert await nodes.get(client, 1, "/grants") == (
            200, {"worker": "two", "grants": [{"customer_id": "a", "grant_id": "f"}]},
        )  # fmt: skip
        status, found = await nodes.get(client, 0, "/points")
        assert (status, found["owed"], len(found["partitions"])) == (200, 42, 2)
        nodes.well = False
        status, found = await nodes.get(client, 0, "/grants")
        assert (status, "moving" in found["error"]) == (503, True)

    run(services, test)


def test_an_unknown_customer_is_404_in_words(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        for asked in (0, 1):
            status, found = await nodes.get(client, asked, "/customers/nobody")
            assert status == 404
            assert found["error"] == "customer nobody is unknown"

    run(services, test)


def test_nobody_answers_while_a_partition_moves(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        nodes.share([], [])
        assert (await nodes.get(client, 0, "/customers/1"))[0] == 503
        # Each holds the other for the owner: one question and one answer, no circle.
        nodes.share([2, 3], [0, 1])
        assignor(nodes.apps[0]).changelog_distribution = {nodes.urls[1]: {topics.CHANGELOG: [0, 1, 2, 3]}}
        assignor(nodes.apps[1]).changelog_distribution = {nodes.urls[0]: {topics.CHANGELOG: [0, 1, 2, 3]}}
        status, found = await nodes.get(client, 0, "/customers/1")
        assert status == 503
        assert "moving" in found["error"]
        assert nodes.asked == []

    run(services, test)


def test_a_worker_that_restores_or_is_gone_says_so(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        nodes.apps[1].well = False
        customer = quote(owned_by(1), safe="")
        status, found = await nodes.get(client, 0, f"/customers/{customer}")
        assert (status, "taken over" in found["error"]) == (503, True)
        nodes.urls[1] = f"http://{HOST}:{free_port(HOST, 0)}"
        nodes.share([0, 1], [2, 3])
        status, found = await nodes.get(client, 0, f"/customers/{customer}")
        assert (status, nodes.urls[1] in found["error"]) == (503, True)

    run(services, test)


def test_tables_name_every_owner(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        status, found = await nodes.get(client, 0, "/tables")
        assert status == 200
        assert found["worker"] == "one"
        assert found["partitions"] == [{"partition": 0, "rows": 7}]
        assert found["workers"] == {nodes.urls[0]: [0, 1], nodes.urls[1]: [2, 3]}

    run(services, test)


def test_health_is_503_with_the_reason(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        first, second = nodes.apps
        assert await nodes.get(client, 0, "/health") == (
            200, {"worker": "one", "healthy": True, "reasons": []},
        )  # fmt: skip
        first.companions = [second]
        second.well = False
        status, found = await nodes.get(client, 0, "/health")
        assert status == 503
        assert found["reasons"] == [f"{second.conf.id}: its partitions are not taken over yet"]

    run(services, test)


def test_a_worker_is_stale_when_records_wait_and_nothing_is_committed(services: Settings) -> None:
    app = Nodes(services).apps[0]
    place = Partition(f"stale-{time.monotonic_ns()}", 0)
    app.taken = Epoch(app.conf.id, 1, "member", frozenset([place]), positions={place: 0})
    start = 1_000_000.0
    later = start + STALE_SECONDS + 1
    assert faults_of(app, start, later) == []
    metrics.LAG.labels(place.topic, "0").set(5)
    assert faults_of(app, start, start + 1) == []
    assert "5 records wait" in faults_of(app, start, later)[0]
    metrics.LAST_COMMIT.labels(app.conf.id).set(later - 1)
    assert faults_of(app, start, later) == []


def test_metrics_are_prometheus_text(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        metrics.RECORDS_IN.labels("views-topic").inc(3)
        async with client.get(f"{nodes.urls[0].rstrip('/')}/metrics") as answer:
            assert answer.status == 200
            assert answer.content_type == "text/plain"
            assert 'khaywe_records_in_total{topic="views-topic"} 3.0' in await answer.text()

    run(services, test)


def test_a_census_says_what_it_cannot_count(services: Settings) -> None:
    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        status, found = await nodes.get(client, 0, "/census?condition=abc&condition=&campaign=7")
        assert (status, found["partitions"]) == (200, [{"partition": 0, "fits": [3, 0]}])
        status, found = await nodes.get(client, 0, "/census?campaign=300")
        assert (status, found["error"]) == (404, "the catalog has no campaign 300")
        status, _ = await nodes.get(client, 0, "/census?campaign=x")
        assert status == 400

    run(services, test)


def test_from_elsewhere_the_views_ask_for_a_key(services: Settings, database: str) -> None:
    people = People(Store(create_engine(database)))
    people._store.migrate()
    caller = Caller("test", "admin", "cli")
    people.add_user("looker", "viewer", caller)
    issued = people.issue("looker", "", None, caller).key
    elsewhere = services.model_copy(
        update={"web_host": "0.0.0.0", "worker_key": "shared", "database": database}
    )

    async def test(nodes: Nodes, client: aiohttp.ClientSession) -> None:
        async def status(path: str, **headers: str) -> int:
            url = URL(f"{nodes.urls[0].rstrip('/')}{path}", encoded=True)
            async with client.get(url, headers=headers) as answer:
                return answer.status

        for path in ("/tables", "/grants", "/points", "/census", "/customers/a", "/customers/a/why"):
            assert await status(path) == 401, path
            assert await status(path, **{HEADER: "guess"}) == 401
        for path in ("/health", "/metrics"):
            assert await status(path) == 200
        assert await status("/tables", **{HEADER: "shared"}) == 200
        assert await status("/tables", **{HEADER: issued}) == 200
        # The worker that is asked shows the key to the one that owns the customer.
        other = quote(owned_by(1), safe="")
        assert await status(f"/customers/{other}", **{HEADER: issued}) == 200

    run(elsewhere, test)
