"""Subscriptions of the operator's systems: settings, how they stand, dead letters sent once more."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from outwards.sending import LONGEST_CALLBACK
from outwards.store import migrate
from outwards.subscriptions import LONGEST_SECRET, SHORTEST_SECRET, Subscriptions, Wanted, state
from web.api import etags, paging
from web.api.doors import Machine, guarded
from web.api.etags import IfMatch
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts

router = guarded("notifications")

Secret = Annotated[str, Field(min_length=SHORTEST_SECRET, max_length=LONGEST_SECRET)]
_EXAMPLE: dict[str, Any] = {
    "callback": "https://crm.example.com/hooks/khaywe",
    "query": "eventType=MissionStateChangeEvent&status=completed,expired",
}
#: Letters asked for in one request.
MOST = 500


class Given(BaseModel):
    """What a subscription shall be."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_EXAMPLE | {"note": "missions into the CRM"}]}
    )

    callback: str = Field(max_length=LONGEST_CALLBACK, description="Where events are POSTed.")
    query: str = Field("", max_length=2000, description="What is told; docs/outwards.md has the names.")
    note: str = Field("", max_length=500)
    active: bool = True

    def wanted(self) -> Wanted:
        """As the room outwards has it."""
        return Wanted(self.callback, self.query, self.note, self.active)


class New(Given):
    """A subscription to be."""

    secret: Secret | None = Field(None, description="Signs what is sent.  Left out: one is made.")


class NewSecret(BaseModel):
    """Another secret."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})

    secret: Secret | None = None


class Letters(BaseModel):
    """Which dead letters; left out: all of the subscription."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [17]}]})

    ids: list[Annotated[int, Field(ge=1, lt=2**63)]] | None = Field(None, min_length=1, max_length=MOST)


def subscriptions(parts: Parts) -> Subscriptions:
    """Those of the app; their tables are brought up to date at the first use."""
    if Subscriptions not in parts.kept:
        migrate(parts.store)
        parts.kept[Subscriptions] = Subscriptions(parts.store, parts.vault, parts.settings)
    found: Subscriptions = parts.kept[Subscriptions]
    return found


@router.get("/notifications/", summary="List subscriptions")
def list_all(parts: P, caller: Machine, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """All of them, by id, and how they stand: delivering, failing, suspended, off."""
    rows = sorted((state(row) for row in subscriptions(parts).all()), key=lambda row: str(row["id"]))
    return paging.of_list(rows, "id", limit, cursor, str)


@router.post("/notifications/", status_code=201, summary="Subscribe")
def add(parts: P, caller: Machine, given: New, response: Response) -> dict[str, Any]:
    """Events from now on are POSTed to the callback.  The answer has the secret, this once."""
    row, secret = subscriptions(parts).add(given.wanted(), given.secret, caller)
    etags.show(response, row.version)
    return state(row) | {"secret": secret}


@router.get("/notifications/{id}/", summary="Show a subscription")
def show(parts: P, caller: Machine, id: str, response: Response) -> dict[str, Any]:
    """With what is being tried again, and the number of dead letters."""
    row = subscriptions(parts).get(id)
    tries, letters = subscriptions(parts).waiting(id)
    etags.show(response, row.version)
    trying = [
        {
            "event_id": t.event_id,
            "tries": t.tries,
            "since": t.first_at,
            "next_at": t.next_at,
            "error": t.error,
        }
        for t in tries
    ]
    return state(row) | {"trying": trying, "dead_letters": letters}


@router.put("/notifications/{id}/", summary="Change a subscription")
def change(
    parts: P, caller: Machine, id: str, given: Given, tag: IfMatch, response: Response
) -> dict[str, Any]:
    """Switched off, it keeps its place: what happens meanwhile is told once it is switched on again."""
    row = subscriptions(parts).change(id, etags.version(tag), given.wanted(), caller)
    etags.show(response, row.version)
    return state(row)


@router.delete("/notifications/{id}/", status_code=204, summary="End a subscription")
def remove(parts: P, caller: Machine, id: str) -> None:
    """With its dead letters."""
    subscriptions(parts).remove(id, caller)


@router.post("/notifications/{id}/secret/", summary="Give a subscription another secret")
def new_secret(parts: P, caller: Machine, id: str, given: NewSecret) -> dict[str, Any]:
    """It signs whatever is sent from now on.  The answer has it, this once."""
    return {"id": id, "secret": subscriptions(parts).new_secret(id, given.secret, caller)}


@router.post("/notifications/{id}/resume/", summary="Resume a suspended subscription")
def resume(parts: P, caller: Machine, id: str) -> dict[str, Any]:
    """It goes on where it stands; 409 where it is not suspended."""
    return state(subscriptions(parts).resume(id, caller))


@router.get("/notifications/{id}/dead-letters/", summary="List what was given up")
def letters(parts: P, caller: Machine, id: str, limit: Limit = 50, cursor: Cursor = None) -> Page:
    """The oldest first, as it was sent."""
    rows = subscriptions(parts).letters(id, paging.decode(cursor, int) or 0, limit + 1)
    names = ("id", "event_id", "event_type", "tries", "error", "first_at", "dead_at", "again")
    return paging.page(
        rows,
        limit,
        lambda row: row.id,
        lambda row: {name: getattr(row, name) for name in names} | {"body": row.body.decode()},
    )


@router.post("/notifications/{id}/dead-letters/send/", status_code=202, summary="Send dead letters again")
def send_again(parts: P, caller: Machine, id: str, given: Letters) -> dict[str, Any]:
    """One try each, soon; what is taken is a dead letter no longer."""
    return {"asked": subscriptions(parts).send_again(id, given.ids, caller)}
