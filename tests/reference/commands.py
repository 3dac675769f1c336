"""Commands of the reference: checked, carried out at the partition's tick, answered."""

from __future__ import annotations

from typing import Any

from config.topics import BEHAVIOR_SCORES, COMMAND_RESULTS, ERASURES, PREDICTIONS
from loyalty.conditions import ConditionError, Node
from tests.reference import conditions
from tests.reference.core import hashed
from tests.reference.customer import U4, Customer
from tests.reference.model import NO, NONE, OPEN, YES, Cause, Record, iso
from tests.reference.moving import Moving
from tests.reference.predictions import DAILY, INLINE

COMMANDS = (
    "recalculate", "generate", "award", "adjust", "redeem", "predict", "repeat_grant", "opt_in", "opt_out",
    "erase",
)  # fmt: skip
FOR_ONE = ("adjust", "redeem", "repeat_grant", "erase")  # never for a segment


class Commands(Moving):
    """A refusal has a reason, what is done has none; only what is done is remembered."""

    def _command(self, record: Record) -> None:
        name = record.attributes.get("command")
        if name not in COMMANDS:
            self._result(record, "unknown_command")
        elif name == "predict" and not self.content.predictions.enabled:
            self._result(record, "no_model")
        elif not _arguments_fit(name, record.attributes.get("arguments")):
            self._result(record, "invalid_arguments")
        elif not record.customer_id:
            self._result(record, self._for_segment(name, record))
        else:
            self._for_customer(name, record)

    def _for_customer(self, name: str, record: Record) -> None:
        c = self.customers.get(record.customer_id) or Customer(record.customer_id)
        if self._is_erased(c.customer_id):
            self._result(record, "erased")
        elif c.state == NONE:
            self._result(record, "unknown_customer")
        elif c.state != OPEN and name != "erase":
            self._result(record, "closed")
        elif name == "erase":
            self._erase(c, record)
            self._result(record, "", customer_id="")
        elif self._is_duplicate(c, record, self.tick):
            self.counts["duplicates"] += 1
        else:
            reason = self._refusal(c, name, record.attributes)
            if not reason:
                if name != "repeat_grant":
                    self._move(c, self.tick)
                reason = self._act(c, name, record)
            if not reason:
                c.entries[record.hash] = c.as_of
            self._result(record, reason)

    def _for_segment(self, name: str, record: Record) -> str:
        segment = record.attributes.get("segment")
        if name in FOR_ONE or not isinstance(segment, str):
            return "unknown_segment"
        asked: Node | None = None
        if segment != "all":
            try:
                asked = conditions.condition(segment)
            except ConditionError:
                return "unknown_segment"
            if asked is None:
                return "unknown_segment"
        for c in sorted(self._opened(), key=lambda c: c.customer_id.encode()):
            self._move(c, self.tick)
            holds = conditions.holds(asked, conditions.of_features(self._features(c)))
            if holds and not self._refusal(c, name, record.attributes):
                self._act(c, name, record)
        return ""

    def _refusal(self, c: Customer, name: str, attributes: dict[str, Any]) -> str:
        """Why an open customer's command is refused before anything moves."""
        if name in ("generate", "award") and c.opted == NO:
            return "opted_out"
        if name in ("adjust", "redeem") and self._control(c):
            return "control"
        if name == "repeat_grant":
            grant = c.grants.get(attributes["arguments"]["grant_id"])
            if not grant or grant.kind != "offer":
                return "unknown_grant"
        return ""

    def _act(self, c: Customer, name: str, record: Record) -> str:
        """Carry a command out at a row that stands at the tick; why not, or nothing."""
        cause, arguments = record.cause, record.attributes.get("arguments")
        found = self._features(c)
        match name:
            case "recalculate":
                self._publish(c, "recalculate", cause)
            case "predict":
                self._ask(c, INLINE | DAILY, cause)
            case "generate":
                self._generate(c, found, cause)
            case "award":
                self._check_badges(c, found, cause)
                self._tier(c, cause)
            case "opt_in" | "opt_out":
                self._opt(c, name, cause)
            case "adjust" | "redeem":
                self._expire_lots(c, cause)
                assert isinstance(arguments, dict)
                points = arguments["points"] if name == "adjust" else -arguments["points"]
                kind = "adjusted" if name == "adjust" else "redeemed"
                if not self._adjust(c, points, kind, cause):
                    return "insufficient_points"
                self._tier(c, cause)
            case "repeat_grant":
                assert isinstance(arguments, dict)
                self._repeat(c, arguments["grant_id"], cause)
        return ""

    def _opt(self, c: Customer, kind: str, cause: Cause) -> None:
        c.opted = YES if kind == "opt_in" else NO
        if kind == "opt_out":
            self._end_all(c, "cancelled", "opted_out", cause)
            self._never_send(c)

    def _erase(self, c: Customer, record: Record) -> None:
        for mission in c.missions:
            if mission and not mission.waiting:
                self._release(c, mission)
        del self.customers[c.customer_id]
        self.erased.add(hashed(c.customer_id))
        erased_at = iso(self.tick or record.occurred_at)
        tombstones = [(BEHAVIOR_SCORES, ""), (PREDICTIONS, ":inline"), (PREDICTIONS, ":daily")]
        for topic, which in tombstones:
            self._effects.append({"topic": topic, "key": c.customer_id + which, "value": None})
        value = {"customer_hash": hashed(c.customer_id), "erased_at": erased_at}
        self._effects.append({"topic": ERASURES, "key": hashed(c.customer_id), "value": value})

    def _result(self, record: Record, reason: str, customer_id: str | None = None) -> None:
        """`customer_id`: what stands in the result, where that is not the record's."""
        command_id = record.attributes["command_id"]
        whom = record.customer_id if customer_id is None else customer_id
        ordinal = 0 if whom else self.partition
        head = self._head("command", whom, record.occurred_at, record.cause, ordinal)
        members = {
            "command_id": command_id,
            "partition": self.partition,
            "status": "refused" if reason else "done",
            "reason": reason,
        }
        self._effects.append({"topic": COMMAND_RESULTS, "key": command_id, "value": head | members})


def _arguments_fit(name: str, arguments: Any) -> bool:
    if name not in ("adjust", "redeem", "repeat_grant"):
        return True
    if not isinstance(arguments, dict):
        return False
    if name == "repeat_grant":
        return isinstance(arguments.get("grant_id"), str)
    points = arguments.get("points")
    if type(points) is not int or abs(points) > U4:
        return False
    return points >= 1 if name == "redeem" else points != 0
