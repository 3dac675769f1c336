"""How fast the console's pages come with a million customers in PostgreSQL: `make bench-console`.

The projection's tables are filled in PostgreSQL itself, with as much of each customer as an operator's have
after a year, and ten times that of one in a hundred; the rows of a customer are not beside each other, as
they would not be.  Then each page is asked for ROUNDS times over HTTP, of another customer each time.  No
worker runs: what only a worker knows is asked for in vain.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import msgspec
import numpy as np
from confluent_kafka import Producer
from sqlalchemy import Connection, create_engine, text

from bench.api import serve
from bench.pipeline import PARTITIONS, say
from bench.predictions import Content
from catalog.draft import read, seed
from catalog.service import CatalogService
from config.settings import Settings
from loyalty.asking import DAILY, INLINE, Ask
from loyalty.effects import Cause
from loyalty.game import Game
from ml.serving import Serving
from ml.simulator import simulate
from projection import schema
from projection.writer import connect
from streams import topics
from streams.embedded import services as embedded
from streams.identity import free_port
from web.console.app import PATH

CUSTOMERS, ROUNDS = 1_000_000, 20
#: One customer in so many has HEAVY times as much as the others.
HEAVY_EVERY, HEAVY = 100, 10
#: The newest moment, and days of the year before it.
NOW, DAYS = "timestamptz '2026-06-01T12:00:00Z'", 365
#: Predictions that were really made; customers share them.
PREDICTED = 200

CAMPAIGN = Path(__file__).parents[1] / "cli" / "demo_data" / "campaign.yaml"

#: Of customer `c`, row `k`: an id, a moment, which is later for smaller k, and draws from 0 up to 1.
ID = "'48' || lpad(c::text, 9, '0')"
AT = "{now} - make_interval(secs => ({days} * 86400.0 * (k - 1 + {draw}) / {most}))"
CAUSE = {"revision": "1", "cause_source": "'cdr'", "cause_event": "'event-' || c || '-' || k"}
PLACE = {"partition": "c % 12", "recorded_at": NOW}

PAGES = {
    "overview": "/", "customers": "/customers/", "customers found": "/customers/?search={part}",
    "customers not found": "/customers/?search=nobody",
    "customer": "/customers/{id}/", "why not": "/customers/{id}/why", "points": "/customers/{id}/points",
    "predictions": "/customers/{id}/predictions", "timeline": "/customers/{id}/timeline",
    "decisions": "/customers/{id}/decisions", "missions": "/missions/", "mission": "/missions/1/",
    "campaigns": "/campaigns/", "campaign": "/campaigns/100/", "spoken to": "/campaigns/100/customers",
    "offers": "/offers/", "policy": "/policy/",
    "badges": "/badges/", "holders": "/badges/1/1/", "holders, later": "/badges/1/1/?cursor={id}",
    "leaders by points": "/leaderboards/?by=points", "leaders by balance": "/leaderboards/?by=balance",
    "leaders by badges": "/leaderboards/?by=badges", "leaders by missions": "/leaderboards/?by=missions",
    "leaders by loyalty": "/leaderboards/?by=loyalty", "products": "/products/", "drafts": "/drafts/",
    "sources": "/sources/", "source now": "/sources/custom/now",
    "notifications": "/notifications/", "health": "/pipeline/health",
    "dead letters": "/dead-letters/", "models": "/models/", "pipeline": "/pipeline/",
    "people": "/people/", "audit": "/people/audit",
}  # fmt: skip


def _draw(salt: str) -> str:
    """SQL of a number from 0 up to 1 that is the customer's and the row's."""
    return f"(abs(hashint8extended(c::bigint * 1000003 + k, {sum(map(ord, salt))})) % 1000003 / 1000003.0)"


def _uuid(kind: str) -> str:
    return f"md5('{kind} ' || c || ' ' || k)::uuid"


def _at(most: int, days: int = DAYS) -> str:
    return AT.format(now=NOW, days=days, draw=_draw("at"), most=most)


def _effect(kind: str, most: int) -> dict[str, str]:
    """What every effect's row has."""
    at = _at(most)
    return {
        "customer_id": ID, "occurred_at": at, "effect_id": _uuid(kind), "day": f"({at})::date",
        **CAUSE, **PLACE, "log_offset": "c * 100 + k",
    }  # fmt: skip


#: Levels of the seed's badges and numbers of its missions, dealt to rows.
NUMBER, BADGE, LEVEL = "(c + k * 7) % 29 + 1", "(c + k * 5) % 12 + 1", "(c / 12 + k) % 4 + 1"
LEVEL_NAME = f"(array['bronze', 'silver', 'gold', 'platinum'])[{LEVEL}]"
STATUS = "case when k = 1 then 'active' else (array['completed', 'expired', 'replaced'])[(c + k) % 3 + 1] end"
CONDITIONS = (
    """'[{"condition": "calls_30_days >= 5", "seen": 12.0, "holds": true}, """
    """{"condition": "tenure_days >= 30", "seen": 214.0, "holds": true}]'::json"""
)
SCORES = {name: f"round((100 * {_draw(name)})::numeric, 2)" for name in schema.SCORES}


def tables() -> dict[str, tuple[int, dict[str, str]]]:
    """By table: rows of most customers, and the SQL of each column."""
    one = {"customer_id": ID}
    started = _at(8)
    return {
        "customers": (1, one | PLACE | {
            "hash": "sha256((c::text)::bytea)", "state": "case when c % 50 = 7 then 'ended' else 'open' end",
            "first_seen": f"{NOW} - interval '1 year'", "last_seen": _at(1, 20),
            "recent": "sha256((c::text)::bytea) || sha256((c::text)::bytea)",
        }),
        "scores": (1, one | SCORES | PLACE | {"as_of": _at(1, 3), "reason": "'moved'", "revision": "1"}),
        "score_history": (20, one | SCORES | PLACE | {"day": f"({NOW})::date - (k * 3)::int", "as_of": NOW}),
        "missions": (8, one | PLACE | {
            "mission_id": _uuid("mission"), "number": NUMBER, "name": f"'Mission ' || ({NUMBER})",
            "category": "'engagement'", "status": STATUS, "reason": "''", "progress": "3", "target": "10",
            "tenths": "3", "started_at": started, "ends_at": f"{started} + interval '30 days'",
            "changed_at": f"{started} + interval '20 days'", "day": f"({started})::date", "revision": "1",
        }),
        "badges": (5, _effect("badge", 5) | {
            "number": BADGE, "name": f"'Badge ' || ({BADGE})", "level": LEVEL, "level_name": LEVEL_NAME,
            "reason": "'earned'",
        }),
        "ledger": (12, _effect("grant", 12) | {
            "grant_id": _uuid("grant"), "kind": "case k % 6 when 0 then 'redeemed' when 1 then 'offer' "
            "else 'points' end", "rule": f"'mission:' || ({NUMBER})",
            "points": "case k % 6 when 0 then -40 when 1 then 0 else 50 end",
            "offer": "case k % 6 when 1 then 1 else -1 end", "balance": "300", "month": "684", "repeat": "0",
        }),
        "balances": (1, one | PLACE | {"balance": f"(2000 * {_draw('balance')})::bigint", "as_of": NOW}),
        "tiers": (1, one | PLACE | {"level": "2", "name": "'silver'", "since": _at(1, 100)}),
        "decisions": (15, _effect("decision", 15) | {
            "kind": "case when k % 3 = 0 then 'badge' else 'mission' end",
            "decision": "case when k % 3 = 0 then 'awarded' else 'given' end",
            "rule": f"case when k % 3 = 0 then 'badge:' || ({BADGE}) || ':' || ({LEVEL}) "
            f"else 'mission:' || ({NUMBER}) end", "name": "'Weekend Talker'", "control": "false",
            "conditions": CONDITIONS,
        }),
        "triggers": (2, one | PLACE | {
            "trigger_id": _uuid("trigger"), "campaign": "100", "name": "'Extra credit'",
            "arm": "case when (c + k) % 10 < 3 then 'control' else 'treatment' end", "cost": "60",
            "triggered_at": _at(2), "day": f"({_at(2)})::date",
            "delivered_at": "case when (c + k) % 10 >= 3 then " + _at(2) + " end",
            "converted_at": "case when (c + k) % 7 = 0 then " + _at(2) + " end",
            "converted_by": "case when (c + k) % 7 = 0 then 'event' end",
            "body": """'{"message": "Hello", "name": "Extra credit"}'::json""",
        }),
        "events": (8, one | PLACE | {
            "source": "(array['cdr', 'billing', 'crm'])[(c + k) % 3 + 1]", "event_id": "c || '-' || k",
            "event_type": "'recharge'", "value": "20", "units": "2000", "occurred_at": _at(8, 90),
            "received_at": NOW, "attributes": "'{}'::json", "day": f"({_at(8, 90)})::date",
            "log_offset": "c * 100 + k",
        }),
        "usage": (20, one | {"day": f"({NOW})::date - k::int", "partition": "c % 12"}
                  | dict.fromkeys(schema.USAGE, "k")),
    }  # fmt: skip


def fill(db: Connection, customers: int) -> dict[str, int]:
    """All tables; rows by table."""
    filled = {}
    for name, (most, columns) in tables().items():
        say(f"filling {name}")
        into = f"insert into projection.{name} ({', '.join(columns)}) select {', '.join(columns.values())}"
        rows = 0
        shares = [(1, most, 1), *([(most + 1, most * HEAVY, HEAVY_EVERY)] if most > 1 else [])]
        for first, last, every in shares:
            rows += db.execute(
                text(
                    f"{into} from generate_series({first}, {last}) as k, "
                    f"generate_series({every}, {customers}, {every}) as c on conflict do nothing"
                )
            ).rowcount
        filled[name] = rows
        db.commit()
    filled["predictions"] = _predictions(db, customers)
    _figures(db)
    db.execute(
        text(
            "insert into projection.offsets (topic, partition, topic_id, position, newest) "
            f"select 'customer-events', k, 'bench', 0, {NOW} from generate_series(0, 11) as k"
        )
    )
    db.commit()
    db.connection.driver_connection.autocommit = True  # type: ignore[union-attr]
    db.execute(text("vacuum analyze"))
    return filled


def _figures(db: Connection) -> None:
    """What the writer would have counted meanwhile."""
    for measure, number, detail, of in (
        ("missions", "number", "'given'", "missions"),
        ("missions", "number", "status", "missions where status <> 'active'"),
        ("badges", "number", "level_name", "badges"),
        ("events", "0", "event_type", "events"),
    ):
        db.execute(
            text(
                "insert into projection.figures (day, partition, measure, number, detail, value) "
                f"select day, partition, '{measure}', {number}, {detail}, count(*) from projection.{of} "
                "group by 1, 2, 3, 4, 5"
            )
        )
    db.execute(
        text(
            "insert into projection.figures (day, partition, measure, number, detail, value) "
            "select day, partition, 'points', 0, kind, sum(points) from projection.ledger "
            "where kind <> 'offer' group by 1, 2, 3, 4, 5"
        )
    )
    db.commit()


def _predictions(db: Connection, customers: int) -> int:
    """Those of a few simulated customers, by the models that come along, for everybody."""
    content = Content(game=seed().onto(Game(), 2))
    cause = Cause("khaywe", "refresh:2026-06-01T00:00:00.000Z")
    asks = [Ask(b"%d" % n, INLINE | DAILY, 1_780_315_200_000, 1, cause) for n in range(PREDICTED)]
    made = Serving().answer(asks, simulate(PREDICTED, 1)[0].rows, content)
    db.execute(text("create temporary table made (n integer, set text, record json)"))
    for effect in made.effects:
        record: dict[str, Any] = msgspec.json.decode(effect.value or b"{}")
        db.execute(
            text("insert into made values (:n, :set, :record)"),
            {"n": int(record["customer_id"]), "set": record["set"], "record": json.dumps(record)},
        )
    found = db.execute(
        text(
            "insert into projection.predictions (customer_id, set, as_of, models, feature_set, features, "
            f"revision, partition, recorded_at) select {ID}, set, {NOW}, record->'models', "
            f"(record->>'feature_set')::int, record->'features', 1, c % 12, {NOW} "
            f"from made, generate_series(1, {customers}) as c where c % {PREDICTED} = n"
        )
    )
    db.commit()
    return found.rowcount


def _asked(customers: int) -> Iterator[dict[str, str]]:
    """Customers to ask for: every tenth has much."""
    for n in range(ROUNDS):
        c = 1 + (customers - HEAVY_EVERY) * n // ROUNDS
        c += -c % HEAVY_EVERY if n % 10 == 9 else 0
        yield {"id": f"48{c:09d}", "part": f"{c:09d}"[-6:]}


def measure(customers: int = CUSTOMERS) -> dict[str, Any]:
    """One run in a home of its own; by page: median, p95 and the first, in ms."""
    home = Path(tempfile.mkdtemp(prefix="khaywe-bench-"))
    settings = Settings(_env_file=None, home=home, clock="event", partitions=PARTITIONS)
    try:
        embedded.up(settings, lambda what, share: None)
        topics.create(settings)
        service = CatalogService(settings.database_url(), settings)
        service.ensure_first_revision()
        service.load_game(read([CAMPAIGN]), "a campaign")
        service.publish_outbox(Producer(settings.producer_config()))
        service.close()
        schema.ensure(connect(settings.database_url()))
        started = perf_counter()
        engine = create_engine(settings.database_url())
        with engine.connect() as db:
            rows = fill(db, customers)
        with engine.connect() as db:
            size = db.execute(text("select pg_database_size(current_database())")).scalar_one()
        engine.dispose()
        say(f"{sum(rows.values()):,} rows in {perf_counter() - started:.0f} s")
        with ExitStack() as running:
            pages = _pages(settings, customers, running)
        return {"customers": customers, "rows": rows, "database_bytes": size, "pages": pages}
    finally:
        embedded.down(settings, lambda what, share: None)
        shutil.rmtree(home, ignore_errors=True)


def _pages(settings: Settings, customers: int, running: ExitStack) -> dict[str, dict[str, float]]:
    port = free_port("127.0.0.1", 0)
    key, _ = serve(settings, port, "admin", running)
    found = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}{PATH}", timeout=600) as http:
        assert http.post("/login", data={"key": key}).status_code == 303
        for name, path in PAGES.items():
            took = []
            for asked in _asked(customers):
                started = perf_counter()
                answer = http.get(path.format(**asked))
                took.append((perf_counter() - started) * 1000)
                if answer.status_code != 200:
                    raise RuntimeError(f"{path}: {answer.status_code} {answer.text[-2000:]}")
            median, p95 = np.percentile(took, [50, 95])
            found[name] = {
                "median_ms": round(float(median), 1), "p95_ms": round(float(p95), 1),
                "first_ms": round(took[0], 1), "bytes": len(answer.content),
            }  # fmt: skip
            say(f"{name}: {median:.1f} ms, p95 {p95:.1f} ms")
    return found


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:])), indent=2))
