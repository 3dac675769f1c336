"""Idempotency keys: a request sent twice is carried out once, and answered the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from catalog.governance.models import AnswerRow
from catalog.governance.store import Store
from catalog.service import Taken, Unfit

#: For so long a key is remembered.
KEPT = timedelta(hours=24)
#: After so long a request that never got an answer counts as lost with its process.
LOST = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers by user and key."""

    store: Store

    def begin(self, user: str, key: str, body: bytes) -> Any:
        """The answer that the key had; None where the request is new and is to be carried out now.

        Raises Unfit for a key of another request, Taken while the same one is under way.
        """
        digest = blake2b(body, digest_size=16).digest()
        now = datetime.now(UTC)
        with self.store.session() as session:
            session.execute(delete(AnswerRow).where(AnswerRow.at < now - KEPT))
            made = session.execute(
                insert(AnswerRow).values(user=user, key=key, request=digest, at=now).on_conflict_do_nothing()
            )
            if made.rowcount:  # type: ignore[attr-defined]
                return None
            row = session.get_one(AnswerRow, (user, key), with_for_update=True)
            if row.request != digest:
                raise Unfit(
                    "this", [("Idempotency-Key", "was used for another request: take a new one for each")]
                )
            if row.answer is None:
                if now - row.at < LOST:
                    raise Taken("the same request is under way", hint="ask again in a moment")
                row.at = now
            return row.answer

    def finish(self, user: str, key: str, answer: Any) -> None:
        """Keep the answer; None: the request failed and may be sent again."""
        with self.store.session() as session:
            row = session.get_one(AnswerRow, (user, key))
            if answer is None:
                session.delete(row)
            else:
                row.answer = answer
