"""What a transaction tells: effects one by one, or those of a whole pass in columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loyalty.effects import Effect
from loyalty.spans import Spans


class Columns(NamedTuple):
    """Effects of a topic; `ranks`, ascending, are their places among those of the other topics of a pass."""

    topic: str
    ranks: NDArray[np.int64]
    keys: Spans
    values: Spans
    ids: Spans

    @classmethod
    def of(cls, ranks: Sequence[int], effects: Sequence[Effect]) -> Columns:
        """Effects of a topic; no tombstones."""
        return cls(
            effects[0].topic, np.array(ranks, np.int64), Spans.of([each.key for each in effects]),
            Spans.of([each.value or b"" for each in effects]), Spans.of([each.id for each in effects]),
        )  # fmt: skip

    @classmethod
    def merged(cls, parts: Sequence[Columns]) -> Columns:
        """All of a topic, in their order; of two of the same rank the one of the earlier part first."""
        if len(parts) == 1:
            return parts[0]
        ranks = np.concatenate([part.ranks for part in parts])
        order = np.argsort(ranks, kind="stable")
        keys, values, ids = (
            Spans.concatenated(column).take(order)
            for column in zip(*((part.keys, part.values, part.ids) for part in parts), strict=True)
        )
        return cls(parts[0].topic, ranks[order], keys, values, ids)

    def effects(self) -> list[tuple[int, Effect]]:
        """Each with its rank."""
        columns = zip(self.keys.all(), self.values.all(), self.ids.all(), strict=True)
        return [(rank, Effect(self.topic, *each)) for rank, each in zip(self.ranks, columns, strict=True)]


class Run(NamedTuple):
    """Effects of a topic in their order; without ids where they are tombstones."""

    topic: str
    keys: Sequence[bytes]
    values: Sequence[bytes | None]
    ids: Sequence[bytes]


class Told:
    """Effects in their order."""

    def __init__(self, effects: Iterable[Effect] = ()) -> None:
        self._parts: list[list[Effect] | list[Columns]] = []
        self._last: list[Effect] = []
        self.extend(effects)

    def append(self, effect: Effect) -> None:
        """One more."""
        if not self._last:
            self._parts.append(self._last)
        self._last.append(effect)

    def extend(self, effects: Iterable[Effect]) -> None:
        """Some more."""
        for effect in effects:
            self.append(effect)

    def add(self, columns: list[Columns]) -> None:
        """Those of a pass, each topic once."""
        self._parts.append(columns)
        self._last = []

    def __len__(self) -> int:
        return sum(
            len(each.ranks) if isinstance(each, Columns) else 1 for part in self._parts for each in part
        )

    def __iter__(self) -> Iterator[Effect]:
        for part in self._parts:
            columns = [each for each in part if isinstance(each, Columns)]
            ranked = [pair for each in columns for pair in each.effects()]
            yield from (effect for _, effect in sorted(ranked, key=lambda pair: pair[0]))
            yield from (each for each in part if isinstance(each, Effect))

    def runs(self) -> Iterator[Run]:
        """All of them; what is said of a topic is in its order."""
        for part in self._parts:
            by_topic: defaultdict[str, list[Effect]] = defaultdict(list)
            for each in part:
                if isinstance(each, Columns):
                    yield Run(each.topic, each.keys, each.values, each.ids)
                else:
                    by_topic[each.topic].append(each)
            for topic, effects in by_topic.items():
                for named, group in groupby(effects, lambda effect: bool(effect.id)):
                    run = list(group)
                    keys, values = [effect.key for effect in run], [effect.value for effect in run]
                    yield Run(topic, keys, values, [effect.id for effect in run] if named else [])
