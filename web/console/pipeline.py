"""The pipeline's health: lag by partition, workers and what they own, and how far lists are behind."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from agents.lag import TITLES, Pipeline, hops
from config.errors import KhayweError
from projection import queries, schema
from web.api.doors import Reader
from web.api.parts import P, Parts
from web.api.projected import reading
from web.ask_worker import ask, everywhere, web_url
from web.console.rendering import page

router = APIRouter()


@router.get("/pipeline/")
def pipeline(request: Request, parts: P, caller: Reader) -> Response:
    """All of it; the part that moves is asked for again every few seconds."""
    template = "part_pipeline.html" if "hx-request" in request.headers else "pipeline.html"
    lag, lag_fault = _lag(parts)
    workers, worker_fault = _workers(parts)
    with reading(parts) as session:
        o = schema.offsets.c
        rows = session.execute(
            select(o.topic, o.partition, o.position, o.moved_at, o.newest).order_by(o.topic, o.partition)
        ).mappings()
        positions = [dict(each) for each in rows]
        fresh = queries.freshness(session)
    return page(
        request, template, lag=lag, lag_fault=lag_fault, workers=workers, worker_fault=worker_fault,
        positions=positions, fresh=fresh, revision=parts.content().revision,
    )  # fmt: skip


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


def _workers(parts: Parts) -> tuple[list[dict[str, Any]], str]:
    """What each worker owns; and why nobody can say."""
    try:
        tables = everywhere(parts.settings, "/tables")
        if not tables:
            tables = [ask(parts.settings, web_url(parts.settings), "/tables")]
        return tables, ""
    except KhayweError as error:
        return [], str(error)
