"""Health at a glance, and what workers measured lately: transactions, take-overs, restores.

Workers are asked for `/metrics`, as Prometheus asks them.  Rates and times are of the last minute, as far as
this process has looked; else since the worker's start.
"""

from __future__ import annotations

import time
import urllib.request
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, select

from agents.polling import PREFIX, poll_states
from catalog.product_models import ProductSyncRow
from config.errors import KhayweError
from outwards.models import SubscriptionRow
from web.api import notifications
from web.api.parts import Parts
from web.ask_worker import ANSWER_SECONDS, ask, web_url
from web.console import arriving
from web.console.rendering import say
from web.keys import shown

#: Seconds between two looks; all who watch share one.
LOOK = 2.0
#: Looks back for times of transactions.
LATELY = 60.0
#: Records behind, and seconds of a transaction, above which something is not as it should be.
BEHIND, SLOW = 10_000, 5.0
PREFIX_APP = "khaywe-"

#: A metric's name, labels -> value.
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(slots=True)
class Watched:
    """Metrics of each worker at several moments."""

    lock: Lock = field(default_factory=Lock)
    at: float = -1e9
    seen: dict[str, deque[tuple[float, Samples]]] = field(default_factory=dict)
    tables: list[dict[str, Any]] = field(default_factory=list)
    fault: str = ""

    def look(self, parts: Parts) -> None:
        """Ask every worker that owns customers, unless somebody has just asked."""
        with self.lock:
            if time.monotonic() - self.at < LOOK:
                return
            try:
                first = web_url(parts.settings)
                urls = [
                    url.rstrip("/")
                    for url, owns in ask(parts.settings, first, "/tables")["workers"].items()
                    if owns
                ]
                self.tables, seen = [], {}
                for url in sorted(urls) or [first]:
                    self.tables.append(ask(parts.settings, url, "/tables"))
                    name = self.tables[-1]["worker"]
                    seen[name] = self.seen.get(name, deque())
                    seen[name].append((time.monotonic(), _samples(parts, url)))
                    while len(seen[name]) > 2 and time.monotonic() - seen[name][0][0] > LATELY:
                        seen[name].popleft()
                self.seen, self.fault = seen, ""
            except (KhayweError, OSError, ValueError) as error:
                self.tables, self.fault = [], str(error)
            self.at = time.monotonic()


def _samples(parts: Parts, url: str) -> Samples:
    question = urllib.request.Request(f"{url}/metrics", headers=shown(parts.settings))
    with urllib.request.urlopen(question, timeout=ANSWER_SECONDS) as answer:
        text = answer.read().decode()
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("khaywe")
        for each in family.samples
    }


def watched(parts: Parts) -> Watched:
    """The workers' metrics, a moment old at most."""
    found: Watched = parts.kept.setdefault(Watched, Watched())
    found.look(parts)
    return found


def transactions(found: Watched) -> list[dict[str, Any]]:
    """By worker and app: `count`, `mean`, `p95` (seconds), `records`, `aborts`, `partitions`, `committed`."""
    rows = []
    for worker, looks in found.seen.items():
        now = looks[-1][1]
        apps = sorted(
            {dict(labels)["app"] for name, labels in now if name == "khaywe_transaction_seconds_count"}
        )
        for app in apps:
            lately = len(looks) > 1 and _grown(looks, "khaywe_transaction_seconds_count", app) > 0
            before = looks[0][1] if lately else {}
            rows.append(
                {"worker": worker, "app": app.removeprefix(PREFIX_APP), "lately": lately}
                | _times(before, now, app)
            )
    return rows


def _grown(looks: deque[tuple[float, Samples]], name: str, app: str) -> float:
    key = (name, (("app", app),))
    return looks[-1][1].get(key, 0) - looks[0][1].get(key, 0)


def _times(before: Samples, now: Samples, app: str) -> dict[str, Any]:
    mine = (("app", app),)

    def grown(name: str, labels: Any = mine) -> float:
        return now.get((name, labels), 0) - before.get((name, labels), 0)

    count = grown("khaywe_transaction_seconds_count")
    bounds = sorted(
        (float(dict(labels)["le"]), labels)
        for name, labels in now
        if name == "khaywe_transaction_seconds_bucket" and dict(labels)["app"] == app
    )
    buckets = [(bound, grown("khaywe_transaction_seconds_bucket", labels)) for bound, labels in bounds]
    batches = grown("khaywe_batch_records_count")
    committed = now.get(("khaywe_last_commit_timestamp_seconds", mine))
    return {
        "count": int(count), "mean": grown("khaywe_transaction_seconds_sum") / count if count else None,
        "p95": quantile(buckets, 0.95),
        "records": grown("khaywe_batch_records_sum") / batches if batches else None,
        "aborts": int(now.get(("khaywe_transaction_aborts_total", mine), 0)),
        "partitions": int(now.get(("khaywe_partitions", mine), 0)),
        "takeovers": int(now.get(("khaywe_takeovers_total", mine), 0)),
        "takeover": now.get(("khaywe_takeover_seconds", mine)),
        "committed": datetime.fromtimestamp(committed, UTC) if committed else None,
    }  # fmt: skip


def quantile(buckets: list[tuple[float, float]], share: float) -> float | None:
    """Of a histogram's cumulative (bound, count), ascending; within a bucket as if all were spread evenly.

    None where nothing was counted; above the last finite bound, that bound (as Prometheus has it).
    """
    total = buckets[-1][1] if buckets else 0
    if not total:
        return None
    below, low = 0.0, 0.0
    for bound, count in buckets:
        if count >= share * total:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (share * total - below) / (count - below) if count > below else bound
        below, low = count, bound
    return low


def restores(found: Watched) -> list[dict[str, Any]]:
    """By worker and partition: `rows`, and changelog offsets `done` and `needed` of the last restore."""
    rows = []
    for worker, looks in found.seen.items():
        by: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for (name, labels), value in looks[-1][1].items():
            if name in _RESTORES:
                by[dict(labels)["partition"]][_RESTORES[name]] = value
        for partition in sorted(by, key=int):
            rows.append(
                {"worker": worker, "partition": int(partition), "done": 0, "needed": 0, "rows": 0}
                | by[partition]
            )
    return rows


_RESTORES = {
    "khaywe_restore_records": "done", "khaywe_restore_records_total_expected": "needed",
    "khaywe_customer_rows": "rows",
}  # fmt: skip


def checks(parts: Parts, lag: list[dict[str, Any]], lag_fault: str, behind: int) -> list[dict[str, Any]]:
    """What is well and what is not: `key`, `state` (good, warn, bad), `words`, `target`."""
    found: list[dict[str, Any]] = []

    def tell(key: str, state: str, target: str, words: str) -> None:
        found.append({"key": key, "state": state, "target": target, "words": words})

    tell("kafka", "bad" if lag_fault else "good", "/pipeline/", lag_fault or say("health.answers"))
    workers = watched(parts)
    ready = sum(bool(each["ready"]) for each in workers.tables)
    whole = ready == len(workers.tables) and ready > 0
    words = say("pipeline.ready", n=f"{ready} / {len(workers.tables)}")
    tell(
        "workers",
        "good" if whole else "bad" if not ready else "warn",
        "/pipeline/#workers",
        workers.fault or words,
    )
    for each in lag:
        late = each["behind"] > BEHIND
        words = (
            say("pipeline.deserted") if each["deserted"] else say("health.behind", n=f"{each['behind']:,}")
        )
        tell(
            each["app"],
            "bad" if each["deserted"] else "warn" if late else "good",
            f"/pipeline/#{each['app']}",
            words,
        )
    tell(
        "projection",
        "warn" if behind > BEHIND else "good",
        "/pipeline/#projection",
        say("health.behind", n=f"{behind:,}"),
    )
    slow = max((each["p95"] or 0 for each in transactions(workers) if each["lately"]), default=None)
    tell(
        "transactions",
        "warn" if slow is not None and slow > SLOW else "good",
        "/pipeline/#transactions",
        say("health.p95", seconds=f"{slow:.2f}") if slow is not None else say("health.quiet"),
    )
    letters, unread = arriving.letters_by_source(parts)
    count = letters.total()
    tell(
        "letters",
        "warn" if count or unread else "good",
        "/dead-letters/",
        unread or say("health.letters", n=f"{count:,}"),
    )
    polls = [each.name.removeprefix(PREFIX) for each in poll_states(parts.settings) if each.failures]
    tell(
        "polls",
        "warn" if polls else "good",
        "/sources/",
        say("health.failing", names=", ".join(polls)) if polls else say("health.none_failing"),
    )
    notifications.subscriptions(parts)  # its tables are there
    with parts.store.session() as session:
        newest = select(func.max(ProductSyncRow.id)).group_by(ProductSyncRow.external_system)
        failed = session.scalars(
            select(ProductSyncRow.external_system).where(
                ProductSyncRow.id.in_(newest), ProductSyncRow.status == "failed"
            )
        ).all()
        late, off = session.execute(
            select(
                func.count().filter(
                    SubscriptionRow.failing_since.is_not(None), SubscriptionRow.suspended_at.is_(None)
                ),
                func.count().filter(SubscriptionRow.suspended_at.is_not(None)),
            ).where(SubscriptionRow.active)
        ).one()
    tell(
        "syncs",
        "warn" if failed else "good",
        "/products/",
        say("health.failing", names=", ".join(failed)) if failed else say("health.none_failing"),
    )
    state = "bad" if off else "warn" if late else "good"
    tell(
        "notifications",
        state,
        "/notifications/",
        say("health.notifications", failing=late, suspended=off)
        if off or late
        else say("health.none_failing"),
    )
    return found
