"""Some customers' rows as they stand now, for whoever asks what a change of the rules would do.

Which customers: those that the projection knows, in the order of a hash of their ids, so that it is always
the same ones.  Their rows come from the workers; scores and conditions are the fold's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from catalog.content import Content
from loyalty.row import OPEN, ROW
from loyalty.survey import Survey, look
from loyalty.upgrade import current_many
from projection import schema
from web.api.parts import Parts
from web.ask_worker import stored_rows

#: Customers of a sample: a share of half of them is known to about 2 %.
MOST = 3_000
#: Seconds for which a sample is looked at again: somebody is writing meanwhile.
KEPT = 60.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of open customers, `total` of whom there are, as they were at `at`."""

    rows: NDArray[np.void]
    total: int
    at: datetime

    def __len__(self) -> int:
        return len(self.rows)

    def of_all(self, count: int) -> int:
        """How many of all customers so many of the sample stand for."""
        return round(count * max(self.total, len(self)) / len(self)) if len(self) else 0


def sample(parts: Parts) -> Sample:
    """At most MOST customers, not older than KEPT.  Raises NoAnswer where no worker answers."""
    return parts.lately(Sample, _taken, KEPT)


def ids(parts: Parts, most: int) -> list[str]:
    """Open customers, in the order of the hash of their ids."""
    c = schema.customers.c
    with parts.store.session() as session:
        found = session.scalars(select(c.customer_id).where(c.state == "open").order_by(c.hash).limit(most))
        return list(found)


def _taken(parts: Parts) -> Sample:
    c = schema.customers.c
    with parts.store.session() as session:
        total = session.scalar(select(func.count()).where(c.state == "open")) or 0
    wanted = ids(parts, MOST)
    found = [
        (id, row)
        for id, row in zip(wanted, stored_rows(parts.settings, wanted), strict=True)
        if row is not None
    ]
    rows = current_many([id.encode() for id, _ in found], [row for _, row in found]) if found else _NONE
    return Sample(rows[rows["state"] == OPEN], total, datetime.now(UTC))


_NONE = np.zeros(0, ROW)


def survey(found: Sample, content: Content) -> Survey:
    """The sample by the rules of a revision's content."""
    return look(found.rows, content)
