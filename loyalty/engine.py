"""The fold of one partition: records in, changed rows and effects out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """A record to produce."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Outcome:
    """What one transaction commits, besides the changes of the state."""

    position: int
    effects: list[Effect] = field(default_factory=list)
    forwards: list[tuple[bytes, bytes]] = field(default_factory=list)
    dead: list[tuple[int, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Engine:
    """One partition's fold over its state."""

    def __init__(
        self, partition: int, state: Any, contents: Callable[[int], Any], chunk: int = 5_000
    ) -> None:
        self.partition, self.state, self.contents, self.chunk = partition, state, contents, chunk

    def fold(self, records: Sequence[tuple[int, bytes | None]], end: int) -> Iterator[Outcome]:
        """Fold records (offset, value) in log order; `end` is the position after them."""
        raise NotImplementedError
