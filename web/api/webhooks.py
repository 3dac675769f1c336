"""Events by HTTP: `webhooks/customer-event`, and `customer-events/normalize/`.

What comes in is mapped first, as the normaliser will map it; only what fits is written to the source's raw
topic, and answered once Kafka has it.  A list is one Kafka transaction.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from fastapi import Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from agents.source_reader import LARGEST_RECORD
from agents.trial import Trial
from catalog.content import Content, SourceContent
from catalog.governance.audit import Caller
from catalog.mapping import MapRecord, Rejected, compile_mapping
from catalog.schema import DataSource
from catalog.service import Unfit, content_of
from config.errors import KhayweError
from web.api.doors import SIGNATURE, Commander, guarded
from web.api.parts import P, Parts
from web.api.problems import Problem, of_khaywe
from web.api.sending import Raw

router = guarded("events")

#: Seconds a signature's time may differ from ours.
SIGNED_WITHIN = 300
#: Events of a list.
MOST = 1_000
TIMESTAMP = "X-Khaywe-Timestamp"

EVENT: dict[str, Any] = {
    "event_id": "r-1", "customer_id": "+15550001", "event_type": "recharge", "value": 20,
    "occurred_at": "2026-03-01T12:00:00Z", "attributes": {"channel": "app"},
}  # fmt: skip


class Refused(Exception):
    """400: what is wrong, and the field."""

    def __init__(self, error: str, field: str, status: int = 400) -> None:
        super().__init__(error)
        self.field = field
        self.status = status


class Mapper:
    """Compiled mappings of one revision."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self._compiled: dict[str, MapRecord] = {}

    def source(self, name: Any) -> SourceContent:
        """An active source of JSON.  Raises Refused."""
        found = self.content.source(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(each.name for each in self.content.sources)
            raise Refused(f"source: there is no data source {name!r}; there are {known}", "source")
        if not found.is_active:
            raise Refused(f"source: {name} is switched off", "source")
        if found.connection_config.get("format", "json") != "json":
            raise Refused(f"source: {name} takes no JSON, so no events by webhook", "source")
        return found

    def raw(self, source: SourceContent, event: Any, place: str, now: int) -> tuple[str, Raw]:
        """The event's id and its raw record.  Raises Refused."""
        if not isinstance(event, dict):
            raise Refused(f"{place}: must be an object", place)
        value = msgspec.json.encode(event)
        if len(value) > LARGEST_RECORD:
            raise Refused(f"{place}: has {len(value):,} bytes, above {LARGEST_RECORD:,}", place)
        map_record = self._compiled.get(source.name)
        if map_record is None:
            map_record = self._compiled[source.name] = compile_mapping(source, self.content.decisions)
        mapped = map_record(event, now, value)
        if isinstance(mapped, Rejected):
            raise Refused(f"{place}.{mapped.message}", f"{place}.{mapped.field}" if mapped.field else place)
        return mapped.event_id, Raw(source.topic, mapped.customer_id.encode(), value, now)


def mapper(parts: Parts) -> Mapper:
    """That of the newest revision."""
    content = parts.content()
    found: Mapper | None = parts.kept.get(Mapper)
    if found is None or found.content is not content:
        found = parts.kept[Mapper] = Mapper(content)
    return found


class Webhook(BaseModel):
    """An event of a source, or a list of events: all of them are taken, or none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"source": "custom", "event": EVENT}]})

    source: str = Field("custom", description="Name of the data source whose mapping reads the event.")
    event: dict[str, Any] | list[dict[str, Any]] = Field(description="The event, in the source's own fields.")


class Processed(BaseModel):
    """Kafka has it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "processed", "event_id": "r-1"}]})

    status: str
    event_id: str | None = None
    event_ids: list[str] | None = None


class WebhookError(BaseModel):
    """What is wrong, and the field."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"error": "event.customer_id: no customer id", "field": "event.customer_id"}]
        }
    )

    error: str
    field: str


@router.post(
    "/webhooks/customer-event",
    summary="Send events",
    response_model=Processed,
    responses={400: {"model": WebhookError}, 401: {"model": WebhookError}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Webhook"},
                            {"type": "array", "items": {"$ref": "#/components/schemas/Webhook"}},
                        ]
                    },
                    "example": {"source": "custom", "event": EVENT},
                }
            },
        },
        "x-roles": ["admin", "system"],
        "security": [{"APIKeyHeader": []}, {"HTTPBearer": []}],
    },
)
async def customer_event(
    parts: P,
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(description="The same request is carried out once within 24 hours.")
    ] = None,
    signature: Annotated[
        str | None,
        Header(
            alias=SIGNATURE,
            description="sha256=HEX: HMAC of `TIMESTAMP.BODY` with the source's secret `webhook`. Needed "
            "where the source has that secret; it stands in for a key.",
        ),
    ] = None,
    timestamp: Annotated[
        str | None, Header(alias=TIMESTAMP, description="Unix seconds, at most 5 minutes off.")
    ] = None,
) -> JSONResponse:
    """Answered once Kafka has it: `event_id`, of a list `event_ids`.

    The body is `{"source", "event"}`, where `event` may be a list, or a list of such bodies.  `source` is
    `custom` where nothing is said, which takes CustomerEvent's own fields.
    """
    body = await request.body()
    caller: Caller | None = request.state.caller
    if caller is not None and caller.role not in ("admin", "system"):
        raise Problem(403, f"the role {caller.role} may not do this", hint="it takes admin, system")

    def work() -> JSONResponse:
        return _received(parts, caller, body, idempotency_key, signature, timestamp)

    return await to_thread.run_sync(work)


def _received(
    parts: Parts, caller: Caller | None, body: bytes, key: str | None, signature: str | None, at: str | None
) -> JSONResponse:
    try:
        given, alone = _items(body)
        sources = sorted({str(source) for source, _, _ in given})
        user = _signed(parts, caller, sources, body, signature, at)
        if key is not None and not (key.isprintable() and 0 < len(key) <= 200):
            raise Refused("Idempotency-Key: must be 1 to 200 characters", "Idempotency-Key")
        answer = _once(parts, user, key, body, lambda: _taken(parts, given, alone))
    except Refused as refused:
        return JSONResponse({"error": str(refused), "field": refused.field}, refused.status)
    except Unfit as unfit:
        field, message = unfit.faults[0]
        return JSONResponse({"error": f"{field}: {message}", "field": field}, 400)
    except KhayweError as error:
        return of_khaywe(error)
    return JSONResponse(answer)


def _once(
    parts: Parts, user: str, key: str | None, body: bytes, work: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    if key is None:
        return work()
    answer: dict[str, Any] | None = parts.answers.begin(user, key, body)
    if answer is None:
        try:
            answer = work()
        finally:
            parts.answers.finish(user, key, answer)
    return answer


def _items(body: bytes) -> tuple[list[tuple[Any, Any, str]], bool]:
    """Source, event and where it stands, of each; whether it is one event and no list.  Raises Refused."""
    try:
        root = json.loads(body)
        msgspec.json.encode(root)
    except (ValueError, RecursionError) as error:
        raise Refused(f"body: no JSON: {error}", "body") from None
    found: list[tuple[Any, Any, str]] = []
    alone = isinstance(root, dict) and not isinstance(root.get("event"), list)
    for n, each in enumerate(root if isinstance(root, list) else [root]):
        place = f"[{n}]." if isinstance(root, list) else ""
        if not isinstance(each, dict):
            raise Refused(f"{place.rstrip('.') or 'body'}: must be an object", place.rstrip(".") or "body")
        unknown = sorted(each.keys() - {"source", "event"})
        if unknown:
            raise Refused(f"{place}{unknown[0]}: there is no such field", f"{place}{unknown[0]}")
        if "event" not in each:
            raise Refused(f"{place}event: is missing", f"{place}event")
        source, event = each.get("source", "custom"), each["event"]
        if isinstance(event, list):
            found += [(source, one, f"{place}event[{m}]") for m, one in enumerate(event)]
        else:
            found.append((source, event, f"{place}event"))
    if not found:
        raise Refused("event: the list is empty", "event")
    if len(found) > MOST:
        raise Refused(f"event: has {len(found):,} events, a request takes {MOST:,}", "event")
    return found, alone


def _signed(
    parts: Parts,
    caller: Caller | None,
    sources: list[str],
    body: bytes,
    signature: str | None,
    at: str | None,
) -> str:
    """Who sends: the caller, else the source that signed.  Raises Refused (401) for a wrong signature."""
    for source in sources:
        secret = parts.vault.get(f"{source}.webhook") if parts.content().source(source) is not None else None
        if secret is None and (caller is not None and signature is None):
            continue
        if secret is None:
            raise Refused(f"{SIGNATURE}: the source {source!r} has no secret `webhook`", SIGNATURE, 401)
        if signature is None:
            raise Refused(f"{SIGNATURE}: is missing: the source {source!r} wants one", SIGNATURE, 401)
        if at is None or not at.isdecimal() or abs(int(at) - time.time()) > SIGNED_WITHIN:
            raise Refused(f"{TIMESTAMP}: must be Unix seconds of now", TIMESTAMP, 401)
        wanted = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(f"sha256={wanted}".encode(), signature.encode()):
            raise Refused(f"{SIGNATURE}: does not fit the body", SIGNATURE, 401)
    return caller.user if caller is not None else f"source:{sources[0]}"


def _taken(parts: Parts, given: list[tuple[Any, Any, str]], alone: bool) -> dict[str, Any]:
    """Map all, then send all.  Raises Refused, KafkaAway."""
    now = time.time_ns() // 1_000_000
    found = mapper(parts)
    ids, records = [], []
    for source, event, place in given:
        try:
            event_id, record = found.raw(found.source(source), event, place, now)
        except Refused as refused:
            if refused.field == "source" and place != "event":
                raise Refused(f"{place}: {refused}", place) from None
            raise
        ids.append(event_id)
        records.append(record)
    if len(records) == 1:
        parts.sending.one(records[0])
    else:
        parts.sending.all_or_none(records)
    return {"status": "processed"} | ({"event_id": ids[0]} if alone else {"event_ids": ids})


class ToNormalize(BaseModel):
    """A raw record, and the data source that reads it: by name, or as it might be saved."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"source": "custom", "record": EVENT}]}
    )

    source: str | DataSource = "custom"
    record: dict[str, Any] | str
    publish: bool = Field(False, description="Also send it, where it fits; only of a saved source.")


@router.post("/customer-events/normalize/", summary="What becomes of a record")
def normalize(parts: P, caller: Commander, given: ToNormalize) -> dict[str, Any]:
    """The CustomerEvent that a record becomes, field by field; nothing is sent unless `publish` says so."""
    if isinstance(given.source, str):
        source = parts.catalog.source(given.source)
    else:
        source = content_of(given.source)
    text = given.record if isinstance(given.record, str) else json.dumps(given.record)
    outcome = Trial(source, parts.content().decisions).text(text)
    answer = outcome.plain() | {"published": False}
    if given.publish:
        if not isinstance(given.source, str) or not source.is_active:
            raise Problem(
                422, "publish: only to a saved source", [("publish", "only to a saved, active source")]
            )
        if outcome.rejected is not None or outcome.event is None:
            field = outcome.rejected.field if outcome.rejected is not None else "record"
            raise Problem(
                422, "the record does not fit", [(f"record.{field}", str(answer.get("message", "")))]
            )
        now = time.time_ns() // 1_000_000
        parts.sending.one(Raw(source.topic, str(outcome.event["customer_id"]).encode(), text.encode(), now))
        answer["published"] = True
    return answer
