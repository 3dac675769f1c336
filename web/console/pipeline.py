"""The pipeline's health: at a glance, lag by partition, workers and what they own, times, restores, lists."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from agents.lag import TITLES, Pipeline, hops
from agents.places import ends
from agents.tail import KafkaAway
from config.errors import KhayweError
from projection import queries, schema
from streams.batches import Partition
from web.api.doors import Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.console import health as measured
from web.console.rendering import page

router = APIRouter()
#: Seconds between two looks; all who watch share one.
LOOK = 2.0


@dataclass(slots=True)
class Looked:
    """How far apps and lists were behind a moment ago."""

    lock: Lock = field(default_factory=Lock)
    at: float = -1e9
    lag: list[dict[str, Any]] = field(default_factory=list)
    lag_fault: str = ""
    positions: list[dict[str, Any]] = field(default_factory=list)
    fresh: dict[str, Any] = field(default_factory=dict)

    def look(self, parts: Parts) -> None:
        """Ask Kafka and PostgreSQL, unless somebody has just asked."""
        with self.lock:
            if time.monotonic() - self.at < LOOK:
                return
            self.lag, self.lag_fault = _lag(parts)
            self.positions, self.fresh = _positions(parts)
            self.at = time.monotonic()

    @property
    def behind(self) -> int:
        """Offsets that the lists have still to take."""
        return sum(each["behind"] or 0 for each in self.positions)


def _looked(parts: Parts) -> Looked:
    found: Looked = parts.kept.setdefault(Looked, Looked())
    found.look(parts)
    return found


@router.get("/pipeline/")
def pipeline(request: Request, parts: P, caller: Reader) -> Response:
    """All of it; the part that moves is asked for again every few seconds."""
    template = "part_pipeline.html" if "hx-request" in request.headers else "pipeline.html"
    looked, workers = _looked(parts), measured.watched(parts)
    return page(
        request, template, lag=looked.lag, lag_fault=looked.lag_fault, workers=workers.tables,
        worker_fault=workers.fault, positions=looked.positions, fresh=looked.fresh, behind=looked.behind,
        revision=parts.content().revision, transactions=measured.transactions(workers),
        restores=measured.restores(workers), checks=_checks(parts, looked),
    )  # fmt: skip


@router.get("/pipeline/health")
def health(request: Request, parts: P, caller: Reader) -> Response:
    """What is well and what is not, alone: the overview asks for it."""
    template = "part_health.html" if "hx-request" in request.headers else "health.html"
    return page(request, template, checks=_checks(parts, _looked(parts)))


def _checks(parts: Parts, looked: Looked) -> list[dict[str, Any]]:
    return measured.checks(parts, looked.lag, looked.lag_fault, looked.behind)


def _lag(parts: Parts) -> tuple[list[dict[str, Any]], str]:
    """By app: how far behind, and its places; and why nobody can say."""
    asked = Pipeline(
        parts.settings, hops(sorted(each.topic for each in parts.content().sources if each.is_active))
    )
    try:
        found = asked.look()
        apps = []
        for app in TITLES:
            places: defaultdict[str, list[Any]] = defaultdict(list)
            for place in found.places:
                if place.app == app:
                    places[place.topic].append(place)
            apps.append(
                {
                    "app": app, "behind": found.behind(app), "deserted": asked.deserted(app),
                    "topics": dict(places),
                }
            )  # fmt: skip
        return apps, ""
    except KhayweError as error:
        return [], str(error)
    finally:
        asked.close()


def _positions(parts: Parts) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Where lists stand, by partition, with how far `behind` (None where Kafka does not say); how fresh."""
    with reading(parts) as session:
        o = schema.offsets.c
        rows = session.execute(
            select(o.topic, o.partition, o.position, o.moved_at, o.newest).order_by(o.topic, o.partition)
        ).mappings()
        found = [dict(each) for each in rows]
        fresh = queries.freshness(session)
    places = {Partition(each["topic"], each["partition"]): each for each in found}
    try:
        known = ends(AdminClient(parts.settings.kafka_config(log_level=2)), places) if places else {}
    except (KafkaException, KafkaAway):
        known = {}
    for place, each in places.items():
        each["end"] = known.get(place)
        each["behind"] = max(0, known[place] - each["position"]) if place in known else None
    return found, fresh
