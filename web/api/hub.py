"""The hub of TMF688: another system registers its callback, and what it wants to be told."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from outwards.models import SubscriptionRow
from outwards.sending import LONGEST_CALLBACK
from outwards.subscriptions import Wanted
from web.api.doors import PREFIX, Machine, guarded
from web.api.notifications import Secret, subscriptions
from web.api.parts import P

router = guarded("hub")


class Registration(BaseModel):
    """Members that TMF688 knows and khaywe does not (`@type` ...) are left aside."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "callback": "https://crm.example.com/listener",
                    "query": "eventType=ScoreCrossingEvent&score=risk&value=70&direction=up",
                }
            ]
        }
    )

    callback: str = Field(max_length=LONGEST_CALLBACK)
    query: str = Field("", max_length=2000)
    secret: Secret | None = Field(None, description="Signs what is sent.  Left out: one is made.")


def _plain(row: SubscriptionRow) -> dict[str, Any]:
    href = f"{PREFIX}/hub/{row.id}"
    return {"id": row.id, "href": href, "callback": row.callback, "query": row.query, "@type": "Hub"}


@router.get("/hub", summary="List registered listeners")
def listeners(parts: P, caller: Machine) -> list[dict[str, Any]]:
    """All subscriptions, the oldest first; there are at most a hundred."""
    return [_plain(row) for row in subscriptions(parts).all()]


@router.post("/hub", status_code=201, summary="Register a listener")
def register(parts: P, caller: Machine, given: Registration, response: Response) -> dict[str, Any]:
    """Events from now on are POSTed to the callback.  The answer has the secret, this once."""
    row, secret = subscriptions(parts).add(Wanted(given.callback, given.query), given.secret, caller)
    found = _plain(row)
    response.headers["Location"] = found["href"]
    return found | {"secret": secret}


@router.get("/hub/{id}", summary="Show a registered listener")
def listener(parts: P, caller: Machine, id: str) -> dict[str, Any]:
    """`notifications/{id}/` says how it stands."""
    return _plain(subscriptions(parts).get(id))


@router.delete("/hub/{id}", status_code=204, summary="Unregister a listener")
def unregister(parts: P, caller: Machine, id: str) -> None:
    """Nothing more is told, and its dead letters go."""
    subscriptions(parts).remove(id, caller)
