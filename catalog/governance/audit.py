"""The audit log: every change that came by the API or the command line, with before and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.governance.models import AuditRow


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user, its role, and how it came in (`key:<id>`, `oidc`, `signature`, `cli`)."""

    user: str
    role: str
    via: str


def record(
    session: Session, caller: Caller, action: str, resource: str, before: Any = None, after: Any = None
) -> None:
    """Note a change in its own transaction; `before` and `after` are what JSON can say, without secrets."""
    session.add(
        AuditRow(
            user=caller.user, role=caller.role, via=caller.via, action=action, resource=resource,
            before=before, after=after,
        )
    )  # fmt: skip


def entries(
    session: Session, below: int | None, limit: int, user: str | None = None, resource: str | None = None,
    action: str | None = None, since: datetime | None = None, until: datetime | None = None,
) -> list[AuditRow]:  # fmt: skip
    """The newest first; of a user, of resources whose path begins so, from `since` to before `until`."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if below is not None:
        query = query.where(AuditRow.id < below)
    if user is not None:
        query = query.where(AuditRow.user == user)
    if resource is not None:
        query = query.where(AuditRow.resource.startswith(resource, autoescape=True))
    if action is not None:
        query = query.where(AuditRow.action == action)
    if since is not None:
        query = query.where(AuditRow.at >= since)
    if until is not None:
        query = query.where(AuditRow.at < until)
    return list(session.scalars(query))


def actions(session: Session) -> list[str]:
    """What was ever done, by name."""
    return list(session.scalars(select(AuditRow.action).distinct().order_by(AuditRow.action)))
