"""Drafts of the rules: edited by one, approved by another person, published as one revision.

draft -> approved -> published, or withdrawn.  An edit of an approved draft makes it a draft again.  What an
edit replaces is remembered by its tag: if somebody publishes a change of the same entry first, publishing
this one is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.content import Content
from catalog.differences import differences
from catalog.draft import DraftError
from catalog.governance.audit import Caller, record
from catalog.governance.models import DraftRow
from catalog.governance.people import Stale
from catalog.governance.rules import Edit, draft_of, key_of, standing, tag, unfit
from catalog.governance.store import Store
from catalog.service import CatalogError, CatalogService, NoSuch, Taken, Unfit

DRAFT, APPROVED, PUBLISHED, WITHDRAWN = STATUSES = ("draft", "approved", "published", "withdrawn")
#: Attempts to publish while others make revisions (of data sources) at the same time.
ATTEMPTS = 5


class SamePerson(CatalogError):
    """Who edited a draft cannot approve it."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """All drafts."""

    store: Store
    catalog: CatalogService

    def page(self, below: int | None, limit: int, status: str | None = None) -> list[DraftRow]:
        """The newest first."""
        query = select(DraftRow).order_by(DraftRow.id.desc()).limit(limit)
        if below is not None:
            query = query.where(DraftRow.id < below)
        if status is not None:
            query = query.where(DraftRow.status == status)
        with self.store.session() as session:
            return list(session.scalars(query))

    def get(self, id: int) -> DraftRow:
        """One of them.  Raises NoSuch."""
        with self.store.session() as session:
            return _row(session, id)

    def add(self, edits: list[Edit], caller: Caller, note: str = "", to: int | None = None) -> DraftRow:
        """Put edits into a new draft, or into one that is not published yet.

        An edit of the same entry is replaced.  Raises Unfit, NoSuch, Taken.
        """
        with self.store.session() as session:
            if to is None:
                row = DraftRow(status=DRAFT, note=note, edits=[], authors=[])
                session.add(row)
                before = None
            else:
                row = _row(session, to, lock=True)
                _must_be(row, DRAFT, APPROVED)
                before = plain(row)
                row.version += 1
                row.note = note or row.note
            kept = {key_of(edit): edit for edit in row.edits}
            for edit in edits:
                kept.pop(key_of(edit), None)  # the last one stands at the end: its faults are told as such
                kept[key_of(edit)] = edit
            row.edits = list(kept.values())
            row.status, row.approved_by, row.approved_at = DRAFT, None, None
            row.authors = sorted({*row.authors, caller.user})
            self.content(row)
            session.flush()
            session.refresh(row)
            record(session, caller, "edit", f"drafts/{row.id}", before, plain(row))
            return row

    def content(self, row: DraftRow, onto: Content | None = None) -> Content:
        """What the catalog would be with it.  Raises Unfit."""
        latest = onto or self.catalog.latest()
        try:
            draft, policy, predictions = draft_of(row.edits)
            game = self.catalog.draft_game(draft)
        except DraftError as error:
            raise unfit(error, row.edits) from None
        return msgspec.structs.replace(
            latest,
            game=game,
            policy=policy or latest.policy,
            predictions=predictions or latest.predictions,
        )

    def approve(self, id: int, version: int, caller: Caller) -> DraftRow:
        """Agree with a draft of others.  Raises NoSuch, Stale, Taken, SamePerson, Unfit."""

        def agree(row: DraftRow, session: Session) -> None:
            _must_be(row, DRAFT)
            if caller.user in row.authors:
                raise SamePerson(
                    f"{caller.user} edited draft {id} and cannot approve it",
                    hint="a second person with the role approver does that",
                )
            self.content(row)
            row.status, row.approved_by, row.approved_at = APPROVED, caller.user, datetime.now(UTC)

        return self._move(id, version, caller, "approve", agree)

    def withdraw(self, id: int, version: int, caller: Caller) -> DraftRow:
        """Give a draft up.  Raises NoSuch, Stale, Taken."""

        def give_up(row: DraftRow, session: Session) -> None:
            _must_be(row, DRAFT, APPROVED)
            row.status = WITHDRAWN

        return self._move(id, version, caller, "withdraw", give_up)

    def publish(self, id: int, version: int, caller: Caller) -> DraftRow:
        """Make an approved draft a revision.  Raises NoSuch, Stale, Taken, Unfit.

        Where the process dies between both, publishing again finds nothing left to change.
        """

        def make(row: DraftRow, session: Session) -> None:
            _must_be(row, APPROVED)
            row.revision = self._revise(row, caller)
            row.status, row.published_by, row.published_at = PUBLISHED, caller.user, datetime.now(UTC)

        return self._move(id, version, caller, "publish", make)

    def _revise(self, row: DraftRow, caller: Caller) -> int:
        for attempt in range(ATTEMPTS):
            latest = self.catalog.latest()
            for edit in row.edits:
                _, name = key_of(edit)
                now = standing(latest, edit["section"], name)
                if edit["base"] is None and now is None:
                    continue
                if now is None or (edit["base"] != tag(now) and now != edit["entry"]):
                    raise Stale(
                        f"{edit['section']} {name or ''} was changed since draft {row.id} was made",
                        hint="look at it as it stands now, and edit it anew",
                    )
            try:
                draft, policy, predictions = draft_of(row.edits)
                note = row.note or f"draft {row.id}"
                catalog = self.catalog.by(caller.user)
                return catalog.load_game(draft, note, policy, latest.revision, predictions)
            except DraftError as error:
                raise unfit(error, row.edits) from None
            except Taken:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _move(
        self, id: int, version: int, caller: Caller, action: str, step: Callable[[DraftRow, Session], None]
    ) -> DraftRow:
        with self.store.session() as session:
            row = _row(session, id, lock=True)
            if row.version != version:
                raise Stale(f"draft {id} was changed meanwhile")
            before = plain(row)
            step(row, session)
            row.version += 1
            session.flush()
            record(session, caller, action, f"drafts/{id}", before, plain(row))
            return row

    def changes(self, row: DraftRow) -> list[dict[str, Any]]:
        """What differs from the newest revision, or why it cannot be said."""
        latest = self.catalog.latest()
        try:
            return [each.plain() for each in differences(latest, self.content(row, latest))]
        except Unfit:
            return []


def plain(row: DraftRow) -> dict[str, Any]:
    """A draft as JSON has it."""

    def time(at: datetime | None) -> str | None:
        return at.isoformat() if at is not None else None

    return {
        "id": row.id,
        "status": row.status,
        "note": row.note,
        "authors": row.authors,
        "edits": row.edits,
        "created_at": time(row.created_at),
        "approved_by": row.approved_by,
        "approved_at": time(row.approved_at),
        "published_by": row.published_by,
        "published_at": time(row.published_at),
        "revision": row.revision,
    }


def _row(session: Session, id: int, lock: bool = False) -> DraftRow:
    row = session.get(DraftRow, id, with_for_update=lock)
    if row is None:
        raise NoSuch(f"there is no draft {id}")
    return row


def _must_be(row: DraftRow, *statuses: str) -> None:
    if row.status not in statuses:
        raise Taken(f"draft {row.id} is {row.status}, not {' or '.join(statuses)}")
