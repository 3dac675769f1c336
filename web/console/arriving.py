"""What comes from data sources now: how fast, the last records and what became of them, and how it is sent.

Rates are counted at the ends of the raw topics, as Kafka has them; nothing waits for a worker.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.responses import RedirectResponse

from agents.dead_letters import Letter, read
from agents.polling import PREFIX, poll_states
from agents.tail import KafkaAway, NoTopic
from agents.trial import Trial
from catalog.governance.rules import tag
from config.errors import KhayweError
from streams.batches import Partition
from streams.positions import log_offsets
from web.api import letters
from web.api import sources as governed
from web.api.doors import PREFIX as API
from web.api.doors import Admin, Reader
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.api.webhooks import SIGNATURE, TIMESTAMP
from web.console import connecting
from web.console.gate import form_of
from web.console.letters import text_of
from web.console.rendering import page, say

router = APIRouter()

#: Seconds between two looks; all who watch share one.
LOOK = 2.0
#: Looks back for records a second.
RATE_SECONDS = 60.0
#: Seconds for which dead letters stay counted: all of them are read for it.
COUNTED_SECONDS = 20.0
ASK_SECONDS = 5.0
SHOWN = 20
WEBHOOK = "webhook"
Name = Annotated[str, Path(max_length=63)]


@dataclass(slots=True)
class Arrivals:
    """Ends of raw topics at several moments, and when each had its newest record."""

    lock: Lock = field(default_factory=Lock)
    admin: AdminClient | None = None
    at: float = -1e9
    #: Moment, offsets of all partitions by topic.
    seen: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)
    newest: dict[str, datetime] = field(default_factory=dict)
    away: str = ""
    counted: tuple[float, Counter[str], str] = (-1e9, Counter(), "")

    def look(self, parts: Parts) -> None:
        """Ask Kafka, unless somebody has just asked."""
        with self.lock:
            if time.monotonic() - self.at < LOOK:
                return
            if self.admin is None:
                self.admin = AdminClient(parts.settings.kafka_config(log_level=2))
            try:
                self._ask(self.admin, {each.topic for each in parts.content().sources})
                self.away = ""
            except KafkaException as error:
                self.away = str(KafkaAway(parts.settings, error.args[0].str()))
            self.at = time.monotonic()

    def _ask(self, admin: AdminClient, wanted: set[str]) -> None:
        found = admin.list_topics(timeout=ASK_SECONDS).topics
        places = [Partition(name, p) for name in wanted if name in found for p in found[name].partitions]
        if not places:
            return
        latest, newest = OffsetSpec.latest(), OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
        level = IsolationLevel.READ_UNCOMMITTED
        offsets: Counter[str] = Counter()
        for place, end in log_offsets(admin, places, latest, level, ASK_SECONDS).items():
            offsets[place.topic] += end
        self.newest = {}
        asked = {TopicPartition(*place): newest for place in places}
        answers = admin.list_offsets(asked, isolation_level=level, request_timeout=ASK_SECONDS)
        for at, answer in answers.items():
            written = answer.result().timestamp
            if written > 0:
                moment = datetime.fromtimestamp(written / 1000, UTC)
                self.newest[at.topic] = max(moment, self.newest.get(at.topic, moment))
        now = time.monotonic()
        self.seen.append((now, dict(offsets)))
        while len(self.seen) > 2 and now - self.seen[0][0] > RATE_SECONDS:
            self.seen.popleft()

    def rate(self, topic: str) -> float | None:
        """Records a second lately; None after one look."""
        known = [(at, ends[topic]) for at, ends in self.seen if topic in ends]
        if len(known) < 2:
            return None
        (began, first), (ended, last) = known[0], known[-1]
        return max(0, last - first) / (ended - began)

    def letters(self, parts: Parts) -> tuple[Counter[str], str]:
        """Dead letters that were not mapped again, by source; and why that cannot be said."""
        with self.lock:
            if time.monotonic() - self.counted[0] > COUNTED_SECONDS:
                self.counted = (time.monotonic(), *_counted(parts))
            return self.counted[1:]


def _counted(parts: Parts) -> tuple[Counter[str], str]:
    found: dict[str, str] = {}
    try:
        for entry in read(parts.settings):
            if isinstance(entry, Letter):
                found[entry.id] = entry.source
            else:
                found.pop(entry.replayed, None)
    except (KafkaAway, NoTopic) as error:
        return Counter(), str(error)
    return Counter(found.values()), ""


def _arrivals(parts: Parts) -> Arrivals:
    found: Arrivals = parts.kept.setdefault(Arrivals, Arrivals())
    return found


def look(parts: Parts) -> tuple[dict[str, dict[str, Any]], str]:
    """By source: `rate` and `last`, when its raw topic got its newest record; why Kafka cannot say."""
    arrivals = _arrivals(parts)
    arrivals.look(parts)
    return {
        each.name: {"rate": arrivals.rate(each.topic), "last": arrivals.newest.get(each.topic)}
        for each in parts.content().sources
    }, arrivals.away


def letters_by_source(parts: Parts) -> tuple[Counter[str], str]:
    """Dead letters that were not mapped again, by source, a moment ago; and why that cannot be said."""
    return _arrivals(parts).letters(parts)


@router.get("/sources/{name}/now")
def now(
    request: Request, parts: P, caller: Reader, name: Name,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:  # fmt: skip
    """Rate, last records and what becomes of them, polls, dead letters; how records are sent by webhook."""
    source = governed.plain(governed._find(parts, name))
    arriving, away = look(parts)
    polled = source["connection_config"].get("poll")
    shown = {"source": source, "now": arriving[name], "away": away, "polled": polled, "base": tag(source)}
    interval = source["connection_config"].get("interval", 300)
    shown["interval"] = connecting.spoken(interval) if isinstance(interval, int) else interval
    shown["poll"] = (
        next((each for each in poll_states(parts.settings) if each.name == PREFIX + name), None)
        if polled
        else None
    )
    if "hx-request" in request.headers:
        return page(request, "part_source_now.html", **shown)
    records, why = _records(parts, source)
    box = letters.dead_letters(parts, caller, name, None, False, SHOWN, cursor)
    for each in box.items:
        each["text"] = text_of(each.get("value"))
    return page(
        request, "source_now.html", **shown, records=records, why=why, letters=box.items, next=box.next,
        flat=connecting.flat(polled), signed=f"{name}.{WEBHOOK}" in parts.vault.names(f"{name}."),
        webhook=f"{request.url.scheme}://{request.url.netloc}{API}/webhooks/customer-event",
        headers=(SIGNATURE, TIMESTAMP),
    )  # fmt: skip


def _records(parts: Parts, source: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The newest records of the raw topic with what becomes of each, the newest first; why there are none."""
    trial = Trial(governed._find(parts, source["name"]), parts.content().decisions)
    try:
        found = governed._newest(parts, source["topic"])
        tried = [trial.bytes(n, value).plain() for n, value in enumerate(found, 1)]
    except KhayweError as error:
        return [], str(error)
    texts = [value.decode("utf-8", "replace")[:4000] for value in found]
    return [each | {"text": text} for each, text in zip(tried, texts, strict=True)][::-1], ""


@router.post("/sources/{name}/secret")
def secret(request: Request, parts: P, caller: Admin, name: Name) -> Response:
    """The secret that signs what is sent by webhook; nobody is shown it again."""
    try:
        given = governed.SecretValue(value=form_of(request).get("value", ""))
    except ValidationError:
        raise Problem(422, say("sources.no_secret")) from None
    governed.put_secret(parts, caller, name, WEBHOOK, given)
    return RedirectResponse(f"{request.scope['root_path']}/sources/{name}/now#webhook", 303)


@router.post("/sources/{name}/unsigned")
def unsigned(request: Request, parts: P, caller: Admin, name: Name) -> Response:
    """What is sent by webhook needs a key of the API again, and no signature."""
    governed.remove_secret(parts, caller, name, WEBHOOK)
    return RedirectResponse(f"{request.scope['root_path']}/sources/{name}/now#webhook", 303)
