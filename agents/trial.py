"""A record tried on a data source, saved or not: what it becomes, and how, as the normaliser would do it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from agents.raw import RegistryAway, Undecodable
from agents.source_reader import decoder
from catalog.content import SourceContent
from catalog.mapping import Reason, Rejected, Step, compile_mapping, encode_event, explain
from catalog.schema import Connection
from catalog.times import iso
from config.errors import KhayweError
from loyalty.content import Decisions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record: the event, or why there is none; no steps where its bytes cannot be read."""

    number: int
    steps: list[Step]
    event: dict[str, Any] | None
    rejected: Rejected | None

    def plain(self) -> dict[str, Any]:
        """It for a program."""
        steps = []
        for step in self.steps:
            shown: dict[str, Any] = {"member": step.member, "field": step.field, "found": step.found}
            if isinstance(step.result, Rejected):
                shown |= {"reason": step.result.reason, "message": step.result.message}
            else:
                shown["becomes"] = became(step)
            steps.append(shown)
        answer: dict[str, Any] = {"record": self.number, "fits": self.rejected is None, "steps": steps}
        if self.rejected is None:
            return answer | {"event": self.event}
        return answer | msgspec.structs.asdict(self.rejected)


def became(step: Step) -> Any:
    """What a step gives, times in words."""
    if step.member == "occurred_at" and isinstance(step.result, int):
        return iso(step.result)
    return step.result


class Trial:
    """A data source on which records are tried; they arrive now."""

    def __init__(self, source: SourceContent, decisions: Decisions) -> None:
        self.source = source
        self._decisions = decisions
        self._decode = decoder(Connection.model_validate(source.connection_config))
        self._map = compile_mapping(source, decisions)

    def text(self, record: str) -> Outcome:
        """Try a record as it stands in the raw topic.  Raises KhayweError."""
        if self.source.connection_config.get("format") == "avro":
            raise KhayweError(
                "a record in Avro is no text", hint="give its fields in a file of JSON lines: --file FILE"
            )
        return self.bytes(1, record.encode())

    def bytes(self, number: int, content: bytes) -> Outcome:
        """Try the bytes of a record of the raw topic.  Raises KhayweError."""
        now = time.time_ns() // 1_000_000
        try:
            record = self._decode(content)
            steps = explain(self.source, self._decisions, record, now, content)
            mapped = self._map(record, now, content)
            if isinstance(mapped, Rejected):
                return Outcome(number, steps, None, mapped)
            event = msgspec.json.decode(encode_event(mapped, self.source.name, now))
        except (Undecodable, ValueError, RecursionError) as error:
            return Outcome(number, [], None, Rejected(Reason.UNDECODABLE, "", str(error)))
        except RegistryAway as error:
            raise KhayweError(str(error)) from None
        return Outcome(number, steps, event, None)
