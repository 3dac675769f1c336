"""Records of a file tried on a data source: the first outcome of each kind, and how often each came."""

from __future__ import annotations

from collections import Counter

from agents.trial import Outcome, Trial
from catalog.records import open_records
from cli.ingest import encoder, rows_of

#: What the count of records that became events is called.
FITS = "fits"


def try_file(trial: Trial, path: str) -> tuple[list[Outcome], Counter[str]]:
    """Try every record of a file, as `khaywe ingest` would send it.

    Gives the first outcome of each kind, and how often each kind came.  Raises KhayweError, OSError.
    """
    records = open_records(path)
    try:
        encode = encoder(trial.source, records.kind)
        firsts: dict[str, Outcome] = {}
        counts: Counter[str] = Counter()
        for row in rows_of(trial.source, records):
            outcome = trial.bytes(row.number, encode(row))
            kind = FITS if outcome.rejected is None else str(outcome.rejected.reason)
            firsts.setdefault(kind, outcome)
            counts[kind] += 1
    finally:
        records.close()
    return list(firsts.values()), counts
