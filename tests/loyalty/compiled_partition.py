"""A partition folded by the engine as a worker would: batches, commits, a cold store, crashes.

It has the interface of `tests.reference.streams.Fold`, so that the same logs run through both.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from config.topics import CUSTOMER_EVENTS
from loyalty.asking import Ask
from loyalty.emitter import MANY
from loyalty.engine import Engine
from loyalty.log import joined
from loyalty.packing import decode
from loyalty.row import plain
from loyalty.spans import Spans
from loyalty.state import State
from tests.reference.records import CONTENTS
from tests.reference.streams import Value, plain_forwards

ERASED = b"s\1erased\0x"  # and the hash of a customer's id


class Store:
    """A cold store in a dict."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}

    def rows(self, ids: Sequence[bytes]) -> list[bytes | None]:
        return [self.content.get(b"c" + id) for id in ids]

    def side(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.content.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, value) for key, value in sorted(self.content.items()) if key.startswith(prefix))

    def write(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        for key, value in zip(keys, values, strict=True):
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value


class Unswept(Engine):
    """An engine that keeps every side entry."""

    def _sweep(self, found: Any, ids: Spans) -> None:
        pass


class CompiledPartition:
    """`sizes`: records of each batch; `ends`: what follows each transaction, "", "flush" or "crash".

    Both go round and round.  Without `sweeps` no side entry is ever forgotten, as in the reference.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (5_000,),
        chunk: int = 5_000,
        ends: Sequence[str] = ("",),
        max_rows: int = 1_000_000,
        sweeps: bool = False,
        contents: Mapping[int, Any] = CONTENTS,
        partition: int = 0,
    ) -> None:
        self.chunk, self.max_rows, self.sweeps = chunk, max_rows, sweeps
        self.sizes, self.ends = cycle(sizes), cycle(ends)
        self.many = cycle((1, MANY))  # effects are written together and one by one
        self.contents, self.partition = contents, partition
        self.changelog = Store()
        self.cold = Store()
        self.forwards: list[dict[str, Any]] = []
        self.asks: list[dict[str, Any]] = []
        self.dead: list[tuple[int, str]] = []
        self.messages: list[str] = []
        self.counts: Counter[str] = Counter()
        self.transactions = 0
        self._start()

    def _start(self) -> None:
        """Take the partition over: what was committed, the cold store as far as it got."""
        self.cold.content = dict(self.changelog.content)
        self.state = State(self.cold, self.max_rows)
        rows = {key[1:]: row for key, row in self.changelog.content.items() if key[:1] == b"c"}
        self.state.load_many(list(rows), list(rows.values()))
        if b"p" in self.changelog.content:
            self.state.load_partition(self.changelog.content[b"p"])
        kind = Engine if self.sweeps else Unswept
        self.engine = kind(self.partition, self.state, self.contents.__getitem__, self.chunk)

    def fold(self, records: Sequence[tuple[int, Value]]) -> list[dict[str, Any]]:
        effects: list[dict[str, Any]] = []
        waiting = [(offset, value) for offset, value in records if not isinstance(value, dict)]
        while waiting:
            batch = waiting[: next(self.sizes)]
            position = batch[0][0]
            self.engine.emitter.many = next(self.many)
            for outcome in self.engine.fold(joined(batch), batch[-1][0] + 1):
                assert position <= outcome.position
                position = outcome.position
                effects.extend(_plain(effect) for effect in outcome.effects)
                self.forwards.extend(
                    {"topic": CUSTOMER_EVENTS, "key": key.decode(), "value": value}
                    for key, value in outcome.forwards
                )
                self.asks.extend(_ask(*asked) for asked in zip(outcome.asks, outcome.asked, strict=True))
                self.dead.extend((offset, reason) for offset, reason, _ in outcome.dead)
                self.messages.extend(message for _, _, message in outcome.dead)
                self.counts.update(outcome.counts)
                changes = self.state.changes()
                assert len(set(changes.keys)) == len(changes.keys)
                self.changelog.write(changes.keys, changes.values)
                self.state.committed()
                self.transactions += 1
                end = next(self.ends)
                if end == "crash":
                    self._start()
                    break
                if end == "flush":
                    pending = self.state.pending()
                    self.cold.write(pending.keys, pending.values)
                    self.state.flushed()
            waiting = [record for record in waiting if record[0] >= position]
        return effects

    # What stands in the changelog.

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """customer_id -> row as plain values."""
        found = self.changelog.content.items()
        return {key[1:].decode(): decode(row) for key, row in found if key[:1] == b"c"}

    @property
    def side(self) -> dict[str, dict[str, Any]]:
        """customer_id -> its side entries, in the shape of ReferenceFold.side."""
        side: dict[str, dict[str, Any]] = {}
        for key, value in self.changelog.content.items():
            if key[:1] == b"s" and not key.startswith(ERASED):
                customer, entry = key[1:].split(b"\0", 1)
                kinds = side.setdefault(customer.decode(), {})
                kind, sub = entry[:1].decode(), entry[1:]
                match kind:
                    case "e":
                        time = int.from_bytes(value, "little", signed=True)
                        kinds.setdefault(kind, {})[int.from_bytes(sub, "big")] = time
                    case "m":
                        kinds.setdefault(kind, {})[int.from_bytes(sub, "big")] = json.loads(value)
                    case "g":
                        kinds.setdefault(kind, {})[sub.hex()] = json.loads(value)
                    case "l":
                        kinds[kind] = value.decode()
                    case _:
                        kinds[kind] = json.loads(value)
        return side

    @property
    def erased(self) -> set[str]:
        """Hashes of the erased."""
        return {key[len(ERASED) :].hex() for key in self.changelog.content if key.startswith(ERASED)}

    @property
    def partition_row(self) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(self.changelog.content.get(b"p", b"{}"))
        row.pop("owed", None)
        return {"tick": 0, "tick_done": True, "revision": 0, "command": "", "command_place": ""} | row

    @property
    def owed(self) -> dict[int, int]:
        """Points in lots of open customers, by the month that ends them."""
        row = json.loads(self.changelog.content.get(b"p", b"{}"))
        return {int(month): points for month, points in row.get("owed", {}).items()}

    @property
    def plain_forwards(self) -> list[dict[str, Any]]:
        return plain_forwards(self.forwards, decode_row)


def decode_row(text: str) -> dict[str, Any]:
    return decode(b64decode(text))


def _ask(ask: Ask, row: np.void) -> dict[str, Any]:
    """An ask in the shape of ReferenceFold.asks."""
    return {
        "customer_id": ask.id.decode(),
        "sets": ask.sets,
        "as_of": ask.as_of,
        "revision": ask.revision,
        "cause": {"source": ask.cause.source, "event_id": ask.cause.event_id},
        "row": plain(row),
    }


def _plain(effect: Any) -> dict[str, Any]:
    if effect.value is None:
        return {"topic": effect.topic, "key": effect.key.decode(), "value": None}
    value = json.loads(effect.value)
    headers = dict(effect.headers)
    assert headers == {
        "ce_id": (value.get("effect_id") or value["customer_hash"]).encode(),
        "ce_source": b"khaywe",
        "ce_type": f"khaywe.{effect.topic}.v1".encode(),
        "ce_specversion": b"1.0",
        "content-type": b"application/json",
    }
    assert json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() == effect.value
    return {"topic": effect.topic, "key": effect.key.decode(), "value": value}
