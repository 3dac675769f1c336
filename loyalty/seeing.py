"""What the comparisons of conditions saw, as decisions tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty import conditions
from loyalty.conditions import Kind
from loyalty.effects import plain
from loyalty.spans import Texts
from loyalty.wording import TESTS, Condition
from loyalty.writing import Page, floats

Words = dict[str, Any]  # of a profile

_TRUE, _FALSE, _OTHERS = 0, 1, [b"true", b"false"]


def saw(
    known: Sequence[Condition], which: NDArray[np.int64], features: NDArray[np.float64],
    rows: NDArray[np.int64], words: Callable[[int], Words],
) -> Texts:  # fmt: skip
    """As `Condition.seen` of many: each a condition by index, and its row of features, -1 none.

    `words`: those of the profile of one of the many.
    """
    parts = [part for condition in known for part in condition.parts]
    sizes = np.array([len(condition.parts) for condition in known], np.int64)
    counts = np.where(rows >= 0, sizes[which], 0)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        return Texts.of([b""] * len(which))
    whose = np.repeat(np.arange(len(which)), counts)
    place = np.arange(total) - np.repeat(ends - counts, counts)
    part = np.repeat((np.cumsum(sizes) - sizes)[which], counts) + place
    values = features[rows[whose], np.array([each.feature for each in parts])[part]]
    holds = np.zeros(total, np.bool_)
    others, other = list(_OTHERS), np.full(total, -1)  # what is no number
    for n, each in enumerate(parts):
        mine = np.flatnonzero(part == n)
        compare = TESTS.get(each.wanted.operator)
        if compare is not None:
            holds[mine] = compare(values[mine], conditions.number(each.wanted.literals[0]))
        else:
            holds[mine] = [each.test(value) for value in values[mine].tolist()]
        if each.kind is Kind.NUMBER:
            continue
        for at in mine[~np.isnan(values[mine])].tolist():
            if each.kind is Kind.FLAG:
                other[at] = _TRUE if values[at] == 1 else _FALSE
            else:
                word = words(int(whose[at])).get(each.name)
                other[at] = len(others)
                others.append(b"null" if word is None else plain(word).encode())
    page = Page(total)
    page.pick(Texts.of([b"", b","]), np.minimum(place, 1))
    page.pick(Texts.of([each.text.encode() for each in parts]), part)
    page.skip(-1 - other, 1)
    page.pick(floats(values))
    page.skip(other, 1)
    page.pick(Texts.of(others), np.maximum(other, 0))
    page.text(b',"holds":')
    page.value(holds)
    page.text(b"}")
    written = page.written()
    return Texts(written.data, written.places[np.concatenate(([0], ends))])
