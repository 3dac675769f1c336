"""What came of a run: every record once, rows and effects as two folds have them, SQL as the topics.

One fold is khaywe's own over the whole log from its beginning, never disturbed; the other is the plain
reference, which knows nothing of batches and bytes.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from dataclasses import dataclass, field

from agents.lag import Pipeline
from cli import lag
from config import topics
from loyalty.state import ROW_KEY
from tests.chaos.load import TOPIC
from tests.faults.pipeline import EFFECTS
from tests.projection import plain
from tests.projection.test_projector import Projected


@dataclass(slots=True)
class Verdict:
    """Counts of what was looked at and what was wrong with it; `wrong` says it in words."""

    records: int = 0
    lost: int = 0
    doubled: int = 0
    rows: int = 0
    effects: int = 0
    effects_lost: int = 0
    effects_doubled: int = 0
    sql_rows: int = 0
    behind: int = 0
    wrong: list[str] = field(default_factory=list)


def look(pipeline: Projected, sent: set[str]) -> Verdict:
    """Read everything back, committed.  Nothing may be under way."""
    found = Verdict()
    pipeline.sent = sent
    _records(pipeline, sent, found)
    _effects(pipeline, found)
    for check in (pipeline.check, pipeline.check_reference, lambda: _sql(pipeline, found)):
        try:
            check()
        except AssertionError as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            found.wrong.append(f"{where.name}, {where.line}: {error}"[:2_000])
    waiting = Pipeline(pipeline.settings, lag.hops(pipeline.settings))
    try:
        found.behind = waiting.look().total + pipeline.behind()
    finally:
        waiting.close()
    for name in ("lost", "doubled", "effects_lost", "effects_doubled", "behind"):
        if getattr(found, name):
            found.wrong.append(f"{name.replace('_', ' ')}: {getattr(found, name)}")
    return found


def _records(pipeline: Projected, sent: set[str], found: Verdict) -> None:
    raw = Counter(json.loads(m.value())["id"] for m in pipeline.committed(TOPIC))
    if raw != Counter(sent):
        found.wrong.append("the load itself is not once on the raw topic: the run says nothing")
    values = (json.loads(m.value()) for m in pipeline.committed(topics.CUSTOMER_EVENTS))
    events = Counter(value["event_id"] for value in values if value["source"] == "mixed")
    found.records = raw.total()
    found.lost, found.doubled = (raw - events).total(), (events - raw).total()
    dead = len(pipeline.committed(topics.DEAD_LETTERS))
    if dead:
        found.wrong.append(f"{dead} dead letters of records that are good")


def _effects(pipeline: Projected, found: Verdict) -> None:
    """Counted here; that they are the right ones is for the folds to say."""
    told = Counter(
        value["effect_id"]
        for topic in EFFECTS
        for value in (json.loads(m.value()) for m in pipeline.committed(topic))
        if value.get("partition", 0) is not None
    )
    due = pipeline.folded(pipeline.committed(topics.CUSTOMER_EVENTS))
    expected = Counter(
        json.loads(value)["effect_id"]
        for (topic, _, value), times in due.effects.items()
        if topic in EFFECTS and value is not None
        for _ in range(times)
    )
    found.effects = told.total()
    found.effects_lost, found.effects_doubled = (expected - told).total(), (told - expected).total()
    found.rows = sum(key[:1] == ROW_KEY for _, key in due.changelog)
    last = {(m.partition(), m.key()): m.value() for m in pipeline.committed(topics.CHANGELOG)}
    for key in sorted(last.keys() | due.changelog.keys()):
        if last.get(key) != due.changelog.get(key):
            found.wrong.append(f"changelog {key}: {last.get(key)!r} instead of {due.changelog.get(key)!r}")
            break


def _sql(pipeline: Projected, found: Verdict) -> None:
    tables = plain.found(pipeline.url)
    found.sql_rows = sum(rows.total() for rows in tables.values())
    plain.same(plain.expected(pipeline.records()), tables)
