"""What models said of a customer, as `predictions` has it, and why: for `khaywe customer` and the demo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.text import Text

from agents.history import newest
from agents.tail import Tail
from cli import ui
from cli.timeline import Names
from config import topics
from config.settings import Settings
from loyalty.asking import INLINE, SETS
from ml.recorded import Recorded, Told
from ml.registry import SHIPPED, Registry
from ml.serving import FEATURE_SET

_CHUNK = 1_000

Foretold = tuple[dict[str, Any], list[Told]]


def foretold(config: Settings, customer_id: str) -> list[Foretold]:
    """The newest record of each set of models, with why.  Raises KafkaAway, NoTopic."""
    explainer = Recorded(Registry(config.models or SHIPPED))
    return [
        (record, explainer.tell(record))
        for name in SETS.values()
        for record in newest(config, topics.PREDICTIONS, f"{customer_id}:{name}", 1)
    ]


def served(config: Settings) -> Iterator[NDArray[np.float32]]:
    """Features of the records of the inline set, oldest first, some at a time.  Raises KafkaAway, NoTopic."""
    tail = Tail(config, topics.PREDICTIONS)
    decode = msgspec.json.Decoder(_Seen).decode
    found: list[list[float]] = []
    try:
        for record in tail.to_end():
            key, value = record.key() or b"", record.value()
            if value is None or not key.endswith(f":{SETS[INLINE]}".encode()):
                continue
            seen = decode(value)
            if seen.feature_set == FEATURE_SET:
                found.append(seen.features)
            if len(found) == _CHUNK:
                yield np.array(found, np.float32)
                found = []
    finally:
        tail.close()
    if found:
        yield np.array(found, np.float32)


class _Seen(msgspec.Struct):
    features: list[float]
    feature_set: int


def prediction_table(record: dict[str, Any], told: Sequence[Told], names: Names) -> Group:
    """A set of models: what each said, and why."""
    head = Text.assemble(
        (f"{record['customer_id']}, {record['set']}", "bold"),
        f"  as of {record['occurred_at']}, because of {record['cause']['event_id']}",
    )
    table = ui.grid("model", "said", "why")
    for each in told:
        table.add_row(each.model, said(each.outputs, names), each.text)
    return Group(head, table, Text())


def said(outputs: dict[str, Any], names: Names) -> str:
    """A model's outputs in a few words."""
    levels = ("risk_level", "segment", "engagement_level", "product_kind")
    words = [str(outputs[key]) for key in levels if key in outputs]
    if "offers" in outputs:
        words += [
            f"{names.offers.get(best['offer_id'], best['offer_id'])}, {best['probability']:.1%}, "
            f"worth {best['expected_value']:,.2f}"
            for best in outputs["offers"][:1]
        ] or ["nothing to offer"]
    elif "probability" in outputs:
        words.append(f"{outputs['probability']:.1%}")
    elif "amount" in outputs:
        words.append(f"{outputs['amount']:,.2f}")
    return ", ".join(words) + (" (too little history)" if outputs["insufficient_history"] else "")
