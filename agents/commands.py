"""Commands: what `customer-commands` may hold, how a command becomes a `_command` event, and its results.

A command is checked here before it may enter the log; whom it concerns and what it does is the fold's.
`tick` and `replay` are the normaliser's own: they are read on partition 0 only, whose owner alone writes
ticks and replays letters.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from agents.dead_letters import Letter
from catalog.times import iso
from loyalty.nesting import MOST_NESTED, too_deep
from streams.records import Record

#: The source of everything khaywe itself writes to the log.
SOURCE = "khaywe"

RECALCULATE = "recalculate"
TICK = "tick"
REPLAY = "replay"
#: Commands that the fold obeys or refuses; docs/game.md says what each does.
FORWARDED = (
    RECALCULATE, "generate", "award", "adjust", "redeem", "predict", "repeat_grant", "opt_in", "opt_out",
    "erase",
)  # fmt: skip

DONE = "done"
REFUSED = "refused"

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of `customer-commands`.  `at` belongs to `tick`, `letter` to `replay`."""

    command_id: _Id
    command: str
    customer_id: _Id | None = None
    segment: _Id | None = None
    arguments: dict[str, Any] = {}
    at: str | None = None
    letter: Letter | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of `command-results`.  `partition` None: decided before the command entered the log."""

    effect_id: str
    customer_id: str
    occurred_at: str
    revision: int
    cause: dict[str, str]
    command_id: str
    partition: int | None
    status: str
    reason: str
    message: str = ""


class Refused(Exception):
    """A command that cannot be obeyed: a reason for programs, a message for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Unreadable(Refused):
    """A record that is no command: it becomes a dead letter, and has a result if its id can be read."""

    def __init__(self, message: str, command_id: str | None = None, customer_id: str = "") -> None:
        super().__init__("invalid_command", message)
        self.command_id = command_id
        self.customer_id = customer_id


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
decode_result = msgspec.json.Decoder(Result).decode


def parse(value: bytes | None) -> Command:
    """The command of a record.  Raises Unreadable, whose message names the member."""
    if value is None:
        raise Unreadable("a null record is no command")
    try:
        if too_deep(value, MOST_NESTED - 1):  # in the event it stands one deeper
            raise ValueError(f"nested more than {MOST_NESTED - 1} deep")
        members = _decode(value)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON object: {error}") from None
    try:
        command = msgspec.convert(members, Command)
        if command.command in FORWARDED:
            _check_whom(command)
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error), *_whose(members)) from None
    return command


def _check_whom(command: Command) -> None:
    if (command.customer_id is None) == (command.segment is None):
        raise ValueError("a command names either `customer_id` or `segment`")
    if "\x00" in (command.customer_id or ""):
        raise ValueError("the character 0 may not stand in `customer_id`")


def _whose(members: dict[str, Any]) -> tuple[str | None, str]:
    """The readable command_id and customer_id of a command that is otherwise broken."""
    command_id, customer_id = members.get("command_id"), members.get("customer_id")
    readable = isinstance(command_id, str) and 0 < len(command_id) <= 256
    return command_id if readable else None, customer_id if isinstance(customer_id, str) else ""


def instant(text: str | None) -> str:
    """The time of a `tick` command as the log has it; UTC where it names no offset.  Raises Refused."""
    try:
        at = datetime.fromisoformat(text or "")
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("invalid_time", f"`at` is no ISO 8601 time: {text!r}") from None
    if not 1971 <= at.year <= 2099:
        raise Refused("invalid_time", f"`at` must lie in the years 1971 to 2099: {text!r}")
    return at.isoformat(timespec="milliseconds")[:23] + "Z"


def own_event(
    event_id: str, event_type: str, at: str, attributes: dict[str, Any], customer_id: str = ""
) -> bytes:
    """A record of `customer-events` that is no source event; `at` is both of its times."""
    return encode(
        {
            "event_id": event_id,
            "customer_id": customer_id,
            "event_type": event_type,
            "source": SOURCE,
            "value": 1,
            "occurred_at": at,
            "received_at": at,
            "attributes": attributes,
        }
    )


def forwarded(command: Command, record: Record) -> bytes:
    """The `_command` event of a checked command."""
    attributes = {
        "command_id": command.command_id, "command": command.command, "arguments": command.arguments,
    }  # fmt: skip
    if command.segment is not None:
        attributes["segment"] = command.segment
    return own_event(
        command.command_id, "_command", iso(record.timestamp()[1]), attributes, command.customer_id or ""
    )


def result(
    command_id: str,
    customer_id: str,
    record: Record,
    revision: int,
    status: str,
    reason: str = "",
    message: str = "",
) -> Result:
    """What the normaliser answers to a command that it does not forward."""
    parts = (customer_id, "command", str(revision), SOURCE, command_id, "0")
    return Result(
        effect_id=blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest(),
        customer_id=customer_id,
        occurred_at=iso(record.timestamp()[1]),
        revision=revision,
        cause={"source": SOURCE, "event_id": command_id},
        command_id=command_id,
        partition=None,
        status=status,
        reason=reason,
        message=message,
    )


def result_headers(answer: Result) -> list[tuple[str, bytes]]:
    """CloudEvents headers of a result, as every effect carries them."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", answer.effect_id.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_type", b"khaywe.command-results.v1"),
        ("content-type", b"application/json"),
    ]
