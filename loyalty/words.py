"""What filters look at in events: attributes and sources as numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.columns import WORDS
from loyalty.conditions import Kind
from loyalty.decode import Batch
from loyalty.hashing import word_hash
from loyalty.profile import truth, word
from loyalty.rules import Rules


def event_words(batch: Batch, start: int, events: NDArray[np.void], rules: Rules) -> NDArray[np.float64]:
    """A row of WORDS for each event that some rule may read, its number in the event's `words`."""
    events["words"] = -1
    if not rules.words:
        return np.empty((0, WORDS))
    wanted = (np.uint64(rules.reading) >> np.minimum(events["kind"], 63).astype(np.uint64)) & np.uint64(1)
    chosen = np.flatnonzero(wanted).tolist()
    events["words"][chosen] = np.arange(len(chosen))
    table = np.full((len(chosen), WORDS), np.nan)
    for n, i in enumerate(chosen):
        record = batch.records[start + i]
        for (name, kind), column in rules.words.items():
            value = record.source if name == "source" else record.attributes.get(name)
            if value is not None:
                table[n, column] = _number(value, kind)
    return table


def _number(value: Any, kind: Kind) -> float:
    """An attribute as a filter compares it: a word's hash, a number, yes as 1; NaN for what is none."""
    if kind is Kind.WORD:
        text = word(value)
        return math.nan if text is None else float(word_hash(text))
    if kind is Kind.FLAG:
        yes = truth(value)
        return math.nan if yes is None else float(yes)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
