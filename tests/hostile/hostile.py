"""Hostile records through the normaliser and both folds, and the books kept on each of them.

Raw records, good and mutated, go through the normaliser; what it lets through is mixed with mutated records
of the log and folded by the product and by the reference, which must agree on everything.  Nothing is lost:

    raw records   = events + dead letters
    commands      = forwarded + answered + dead letters
    log records   = taken + dead letters + ignored, each under a name of docs/semantics.md
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Any

from agents import dead_letters
from agents.commands import FORWARDED
from agents.dead_letters import Letter
from agents.normalizing import ZERO, NormalizerProcessor
from catalog.content import Content
from catalog.mapping import Reason
from config.settings import Settings
from loyalty.content import Decisions, ScoringPolicy
from loyalty.decode import UNDECODABLE, UNKNOWN_EVENT_TYPE, decode
from loyalty.log import joined
from streams.batches import Epoch, Partition, Poll, RecordBatch
from streams.records import Records
from tests.agents.records import Transaction, kafka_record
from tests.hostile.mutation import HUGE_EVERY, HUGE_FOR_ALL, Mutator
from tests.hostile.sources import Feed, feeds
from tests.loyalty.agreement import agree
from tests.loyalty.compiled_partition import CompiledPartition, decode_row
from tests.reference.fold import ReferenceFold
from tests.reference.model import SYSTEM, UNIT_OF, Undecodable, read
from tests.reference.records import CONTENTS
from tests.reference.streams import realistic, run_log
from tests.reference.streams_game import game_log

#: Records of a round: raw ones, commands, those of the log that are only read, those that are folded.
RAW, COMMANDS, READ, LOG = 3_000, 40, 1_500, 160
#: Events of the normaliser that are folded in a round: the reference takes its time.
FOLDED = 100
ROUND = RAW + COMMANDS + READ + LOG
ARRIVED = 1_577_923_200_000  # 2020-01-02
IGNORED = ("duplicates", "ignored_ended", "ignored_before_activation", "ignored_erased")
REASONS = frozenset(Reason) | {"invalid_command"}
WHOLE = Settings(_env_file=None, clock="event")


class Books:
    """What came in and what became of it, over all rounds."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.slowest = 0.0  # seconds of a round

    def lines(self) -> Iterator[str]:
        """The figures, for people."""
        for name, number in self.counts.items():
            yield f"{name:32} {number:>12,}"
        for reason, number in sorted(self.reasons.items()):
            yield f"  dead letter, {reason:32} {number:>10,}"
        yield f"slowest round of {ROUND} records, both folds: {self.slowest:.2f} s"


class Wild:
    """Rounds of hostile records by a seed."""

    def __init__(self, seed: int, huge_every: int = HUGE_EVERY) -> None:
        self._random = Random(seed)
        self._mutate = Mutator(self._random, huge_every)
        self._mutate_log = Mutator(self._random, huge_every, HUGE_FOR_ALL)
        self._feeds = feeds()
        self._offsets = count(10)
        self.books = Books()

    def run(self, records: int, done: Callable[[int], None]) -> None:
        """Rounds until so many records went in.  `done` hears of each round."""
        went = 0
        while went < records:
            started = time.perf_counter()
            self.round()
            self.books.slowest = max(self.books.slowest, time.perf_counter() - started)
            went += ROUND
            done(ROUND)

    def round(self) -> None:
        """One round.  Raises AssertionError where the books or the folds do not agree."""
        events = self._raw() + self._commands()
        batch = decode(joined(list(enumerate(events))))
        assert not batch.dead, batch.dead[0]  # what the normaliser writes, the fold can read
        log = self._log()
        self._read([value for segment in log for value in segment if value is not None])
        self._fold(log, self._random.sample(events, min(FOLDED, len(events))))

    # -- the normaliser -----------------------------------------------------------------------------------

    def _raw(self) -> list[bytes]:
        r = self._random
        work = _normalizer([feed.source for feed in self._feeds])
        batches = []
        for feed in self._feeds:
            values = [self._of(feed) for _ in range(RAW // len(self._feeds))]
            batches.append(self._batch(feed.source.topic, r.randrange(4), values))
        sent = Transaction()
        work.process(Poll(_epoch(), batches), sent)
        events = [each for each in sent.of("customer-events") if each.key is not None]
        letters = _letters(sent)
        sizes = {batch.source: len(batch.records) for batch in batches}
        assert len(events) + len(letters) == sum(sizes.values())
        assert sent.offsets == [{batch.source: batch.end for batch in batches}]
        self._check_letters(
            letters, {r for batch in batches for r in _places(batch)}, dead_letters.NORMALIZER
        )
        found = []
        for event in events:
            assert event.value is not None
            wire = json.loads(event.value)
            assert wire["customer_id"].encode() == event.key
            assert not wire["event_type"].startswith("_")
            found.append(event.value)
        self.books.counts["raw records"] += sum(sizes.values())
        self.books.counts["  events"] += len(events)
        self.books.counts["  dead letters (raw)"] += len(letters)
        return found

    def _of(self, feed: Feed) -> bytes | None:
        r = self._random
        good = r.choice(feed.good)
        if r.random() < 0.4:
            return good
        other = r.choice(r.choice(self._feeds).good)
        if feed.form == "json":
            return self._mutate.json(good, other)
        return self._mutate.csv(good, other) if feed.form == "csv" else self._mutate.binary(good, other)

    def _commands(self) -> list[bytes]:
        r = self._random
        values = []
        for n in range(COMMANDS):
            good = _command(r, n)
            values.append(self._mutate.json(good, _command(r, n)) if r.random() < 0.6 else good)
        batch = self._batch(ZERO.topic, 1, values)
        sent = Transaction()
        _normalizer([]).process(Poll(_epoch(), [batch]), sent)
        log = [each for each in sent.of("customer-events") if b'"_marker"' not in (each.value or b"")[:200]]
        one = [each.value for each in log if each.key is not None]
        every = [each.value for each in log if each.key is None and each.partition == 0]
        letters, results = _letters(sent), sent.of("command-results")
        assert sent.offsets == [{batch.source: batch.end}]
        # An unreadable one whose id can be read has a letter and an answer.
        both = len(one) + len(every) + len(results) + len(letters) - COMMANDS
        assert 0 <= both <= min(len(letters), len(results))
        self._check_letters(letters, _places(batch), dead_letters.NORMALIZER)
        self.books.counts["commands"] += COMMANDS
        self.books.counts["  forwarded"] += len(one) + len(every)
        self.books.counts["  answered at once"] += len(results) - both
        self.books.counts["  dead letters (commands)"] += len(letters)
        return [value for value in one + every if value is not None]

    def _check_letters(self, letters: list[Letter], places: set[tuple[str, int, int]], stage: str) -> None:
        """Each names its reason and its record, once."""
        for letter in letters:
            places.remove((letter.topic, letter.partition, letter.offset))
            assert letter.id == f"{letter.topic}/{letter.partition}/{letter.offset}"
            assert letter.stage == stage
            assert letter.reason in REASONS
            assert letter.message
            assert not letter.message.startswith("unexpected "), letter.message  # no case thought of
        self.books.reasons.update(letter.reason for letter in letters)

    def _batch(self, topic: str, partition: int, values: Sequence[bytes | None]) -> RecordBatch:
        """Consecutive records; now and then one whose Kafka timestamp is no time."""
        records: list[Any] = []
        begin = next(self._offsets)
        for n, value in enumerate(values):
            wild = self._random.random() < 0.003
            at = self._random.choice((-1, 0, 2**62, 4_102_444_800_000)) if wild else ARRIVED
            records.append(
                kafka_record(value, topic=topic, partition=partition, offset=begin + n, timestamp=at)
            )
        for _ in values:
            next(self._offsets)
        place = Partition(topic, partition)
        return RecordBatch(place, begin, begin + len(records), Records.of(place, records))

    # -- the fold -----------------------------------------------------------------------------------------

    def _read(self, goods: list[bytes]) -> None:
        """What is a record to the product is one to the reference, and the other way round."""
        r = self._random
        values = [self._mutate_log.json(r.choice(goods), r.choice(goods)) for _ in range(READ)]
        dead = {offset: reason for offset, reason, _ in decode(joined(list(enumerate(values)))).dead}
        for offset, value in enumerate(values):
            assert dead.get(offset) == _verdict(value), value
        self.books.counts["log records, read only"] += READ
        self.books.counts["  dead letters (read)"] += len(dead)
        self.books.reasons.update(dead.values())

    def _fold(self, segments: list[list[bytes | None]], events: list[bytes]) -> None:
        r = self._random
        records: int = sum(map(len, segments))
        own = len(events)
        for event in events:
            segments[r.randrange(len(segments))].append(event)
        ours = CompiledPartition(sizes=r.choice(((5_000,), (1,), (137, 3, 40))), contents=ANY_REVISION)
        theirs = Judge(0, ANY_REVISION, decode_row)
        effects, expected = run_log(ours, segments), run_log(theirs, segments)
        agree(ours, effects, theirs, expected)
        assert all(ours.messages)
        assert {reason for _, reason in ours.dead} <= {UNDECODABLE, UNKNOWN_EVENT_TYPE}
        books, counted = self.books.counts, theirs.verdicts
        assert sum(counted.values()) == theirs.applied
        assert theirs.applied == records + own + len(ours.forwards)
        books["log records"] += theirs.applied
        books["  sampled of the normaliser's"] += own
        books["  written by the fold itself"] += len(ours.forwards)
        books["  taken"] += counted["taken"]
        books["  dead letters (log)"] += counted["dead"]
        for name in IGNORED:
            books[f"  {name}"] += counted[name]
        books["  ignored, of an older time"] += counted["older"]
        books["effects compared"] += len(effects)
        self.books.reasons.update(reason for _, reason in ours.dead)

    def _log(self) -> list[list[bytes | None]]:
        """Good logs of games and links, a third of whose records are mutated."""
        r = self._random
        segments: list[list[bytes | None]] = []
        while sum(map(len, segments)) < LOG:
            if r.random() < 0.1:
                segments.append(list(realistic(r.randrange(2**31), customers=5, events=60, days=20)))
            else:
                segments += game_log(r).segments
        segments = _first(segments, LOG)
        flat = [value for segment in segments for value in segment if value is not None]
        return [
            [
                self._wrong(value, r.choice(flat)) if value is not None and r.random() < 0.33 else value
                for value in segment
            ]
            for segment in segments
        ]

    def _wrong(self, good: bytes, other: bytes) -> bytes | None:
        found = self._mutate_log.json(good, other)
        return found and _GRANT.sub(rb"\1", found)


#: A grant's id still to be put in: the driver reads such a record, so it must not be a bad one.
_GRANT = re.compile(rb"@([0-9]+)@")


def _verdict(value: bytes | None) -> str | None:
    """The reference's: why a record is a dead letter."""
    try:
        known = read(value, decode_row).event_type in UNIT_OF.keys() | SYSTEM
    except Undecodable:
        return UNDECODABLE
    return None if known else UNKNOWN_EVENT_TYPE


class Judge(ReferenceFold):
    """The reference, which says of every record what became of it."""

    verdicts: Counter[str]
    applied: int

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.verdicts, self.applied = Counter(), 0

    def apply(self, offset: int, value: Any) -> Any:
        dead, counts, self._older = len(self.dead), Counter(self.counts), False
        effects = super().apply(offset, value)
        self.applied += 1
        why = [name for name in IGNORED if self.counts[name] > counts[name]]
        if len(self.dead) > dead:
            self.verdicts["dead"] += 1
        elif why:
            self.verdicts[why[0]] += 1
        else:
            self.verdicts["older" if self._older else "taken"] += 1
        return effects

    def _tick(self, record: Any) -> None:
        tick = self.tick
        super()._tick(record)
        self._older = self.tick == tick

    def _marker(self, record: Any) -> None:
        revision = self.revision
        super()._marker(record)
        self._older = self.revision == revision


class _AnyRevision(dict[int, Any]):
    """Content of any revision: a marker of one that nobody wrote would be waited for."""

    def __missing__(self, revision: int) -> Any:
        return CONTENTS[sorted(CONTENTS)[revision % len(CONTENTS)]]


ANY_REVISION = _AnyRevision(CONTENTS)


class _Catalog:
    """A catalog of these sources."""

    def __init__(self, sources: list[Any]) -> None:
        self._content = Content(
            revision=1, created_at="", decisions=Decisions(), policy=ScoringPolicy(), sources=sources
        )

    def latest(self) -> Content:
        return self._content


def _normalizer(sources: list[Any]) -> NormalizerProcessor:
    found = NormalizerProcessor(WHOLE, _Catalog(sources))  # type: ignore[arg-type]
    found.take(_epoch())
    found._beside = None
    return found


def _epoch() -> Epoch:
    owned = frozenset({Partition(ZERO.topic, 1)})
    return Epoch("khaywe-normalizer", 1, "me", owned, positions=dict.fromkeys(owned, 0))


def _letters(sent: Transaction) -> list[Letter]:
    found = [dead_letters.decode(each.value or b"") for each in sent.of("dead-letters")]
    return [each for each in found if isinstance(each, Letter)]


def _places(batch: RecordBatch) -> set[tuple[str, int, int]]:
    return {(str(r.topic()), int(r.partition() or 0), int(r.offset() or 0)) for r in batch.records}


def _command(r: Random, n: int) -> bytes:
    said: dict[str, Any] = {
        "command_id": f"c{n}",
        "command": r.choice((*FORWARDED, *FORWARDED, "tick", "replay", "dance")),
        "arguments": {
            "points": r.choice((5, -3, 2**40, "5", None)),
            "template": 1,
            "grant_id": "g",
            "reason": "x",
        },
    }
    if r.random() < 0.8:
        said["customer_id"] = r.choice(("0017", "+18", "a", "b"))
    else:
        said["segment"] = r.choice(
            ("all", "risk >= 0 and calls_lifetime > 1", "risk >=", "x" * 3_000, "(" * 300)
        )
    if r.random() < 0.1:
        said["at"] = r.choice(("2020-01-03", "9999-12-31T23:59:59-14:00", "now", 5))
    return json.dumps(said).encode()


def _first(segments: list[list[bytes | None]], most: int) -> list[list[bytes | None]]:
    found = []
    for segment in segments:
        found.append(segment[:most])
        most -= len(found[-1])
        if not most:
            break
    return found
