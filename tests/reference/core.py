"""What every part of the reference fold stands on: state, content, effects, forwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from hashlib import blake2b
from typing import Any

from config.topics import BEHAVIOR_SCORES, CUSTOMER_EVENTS, DECISIONS
from tests.reference.customer import Customer
from tests.reference.model import (
    DAY_MS,
    OPEN,
    UNIT_OF,
    USAGE,
    Cause,
    Record,
    Undecodable,
    hash64,
    iso,
    local_day,
    mix,
)
from tests.reference.scores import SCORES, components, hundredths

Effect = dict[str, Any]


def digest(*parts: str) -> str:
    return blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def hashed(customer_id: str) -> str:
    """What stays of an erased customer."""
    return digest(customer_id)


def no_packed_rows(text: str) -> dict[str, Any]:
    """Rows carried by the reference itself are dicts; the kernel's need its decoder."""
    raise Undecodable("a packed row, and no decoder for it")


class Core:
    """One partition.  `contents`: revision -> content; `decode_row`: the kernel's packed row -> snapshot."""

    def __init__(
        self,
        partition: int,
        contents: Mapping[int, Any],
        decode_row: Callable[[str], dict[str, Any]] = no_packed_rows,
    ) -> None:
        self.partition = partition
        self.contents = contents
        self.decode_row = decode_row
        self.customers: dict[str, Customer] = {}
        self.accounts: dict[str, dict[str, int]] = {}  # customer id of an account -> side entry a
        self.erased: set[str] = set()  # hex hashes of erased customers
        self.tick = 0
        self.revision = 0
        self.forwards: list[Effect] = []
        self.asks: list[dict[str, Any]] = []  # each with the row as it was
        self.dead: list[tuple[int, str]] = []  # offset, reason
        self.counts: Counter[str] = Counter()
        self._effects: list[Effect] = []
        self._backfill = False  # whether the record being folded is history

    # Content and time.

    @property
    def content(self) -> Any:
        return self.contents[self.revision]

    @property
    def game(self) -> Any:
        return self.content.game

    @property
    def decimals(self) -> int:
        return int(self.content.decisions.currency_decimals)

    def _day(self, ms: int) -> int:
        return local_day(ms, self.content.decisions.timezone)

    def _advance(self, c: Customer) -> None:
        c.advance(self._day(c.as_of))

    def _is_duplicate(self, c: Customer, record: Record, at: int) -> bool:
        if record.event_type in USAGE:
            return record.hash in c.hashes
        if record.hash not in c.entries:
            return False
        days = 90 if UNIT_OF.get(record.event_type) == "currency" else 7
        return max(c.as_of, at) - c.entries[record.hash] <= days * DAY_MS

    def _remember(self, c: Customer, event_hash: int) -> None:
        if c.remember(event_hash):
            self.counts["dedupe_overflow"] += 1

    def _opened(self) -> list[Customer]:
        return [c for c in self.customers.values() if c.state == OPEN]

    def _is_erased(self, customer_id: str) -> bool:
        return hashed(customer_id) in self.erased

    # Scores.

    def components(self, c: Customer) -> dict[str, dict[str, tuple[float, float]]]:
        """Score -> component -> (measure, points), as of the row's time."""
        return components(c, self.content.policy, self.decimals, self._day)

    def _scores(self, c: Customer) -> list[int]:
        return hundredths(self.components(c))

    def _publish_moved(self, c: Customer, cause: Cause) -> None:
        policy, new, old = self.content.policy, self._scores(c), c.published
        if any(abs(a - b) >= policy.publish_step * 100 for a, b in zip(new, old, strict=True)):
            self._publish(c, "moved", cause)
        elif any(_bands(a, policy.bands) != _bands(b, policy.bands) for a, b in zip(new, old, strict=True)):
            self._publish(c, "band", cause)

    def _publish(self, c: Customer, reason: str, cause: Cause) -> None:
        c.published = self._scores(c)
        members = {
            "as_of": iso(c.as_of),
            "reason": reason,
            "scores": {name: of / 100 for name, of in zip(SCORES, c.published, strict=True)},
        }
        self._effect(BEHAVIOR_SCORES, c, "scores", cause, members)

    # Effects and forwards.

    def _head(self, rule: str, customer_id: str, at: int, cause: Cause, ordinal: int = 0) -> dict[str, Any]:
        return {
            "effect_id": digest(
                customer_id, rule, str(self.revision), cause.source, cause.event_id, str(ordinal)
            ),
            "customer_id": customer_id,
            "occurred_at": iso(at),
            "revision": self.revision,
            "cause": {"source": cause.source, "event_id": cause.event_id},
        }

    def _effect(
        self, topic: str, c: Customer, rule: str, cause: Cause, members: dict[str, Any], ordinal: int = 0
    ) -> None:
        value = self._head(rule, c.customer_id, c.as_of, cause, ordinal) | members
        self._effects.append({"topic": topic, "key": c.customer_id, "value": value})

    def _decide(
        self, c: Customer, cause: Cause, effect_rule: str, kind: str, decision: str, rule: str, name: str,
        conditions: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        """Say why.  `effect_rule`: that of the effect which the decision is about."""
        members = {
            "kind": kind,
            "decision": decision,
            "rule": rule,
            "name": name,
            "control": self._control(c),
            "conditions": conditions,
        }
        self._effect(DECISIONS, c, f"decision:{effect_rule}", cause, members)

    def _forward(self, value: dict[str, Any]) -> None:
        forward = {"topic": CUSTOMER_EVENTS, "key": value["customer_id"], "value": deepcopy(value)}
        self.forwards.append(forward)

    # The game's customers.

    def _control(self, c: Customer) -> bool:
        """Whether a customer is in the universal control group."""
        decisions = self.content.decisions
        drawn = mix(hash64(c.customer_id.encode()) ^ hash64(decisions.control_salt.encode())) >> 11
        return bool(decisions.control_share > 0 and drawn * 2.0**-53 < decisions.control_share)

    @property
    def _has_game(self) -> bool:
        """Whether this record can do anything in the game, but for what the customer says."""
        active = any(each.active for each in (*self.game.templates, *self.game.badges))
        return (active or bool(self.game.earning)) and not self._backfill


def _bands(score: int, bands: Any) -> int:
    return sum(score >= band * 100 for band in bands)
