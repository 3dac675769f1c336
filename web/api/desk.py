"""Commands to customers: sent, waited for a moment, and asked for later.

One reader follows `command-results` for all requests of this process.  Where a result is looked for later is
noted with the command, so that any process can answer, also after a restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import update

from agents.asking import AT_ZERO, new_id
from agents.commands import Command, Result, decode_result, encode
from agents.tail import Tail
from catalog.governance.audit import Caller, record
from catalog.governance.models import CommandRow
from catalog.governance.store import Store
from catalog.service import NoSuch
from config import topics
from config.errors import KhayweError
from config.settings import Settings
from streams.partition import partition_of
from web.api.sending import Raw, Sending

log = logging.getLogger(__name__)

#: Seconds that a request waits for the results of its commands.
WAIT = 2.0
ERASE = "erase"
#: Seconds until the reader tries again after Kafka was away.
AGAIN = 1.0
START_SECONDS = 10.0
#: What the audit log, which nobody changes, has of a command: whom it concerns can be forgotten.
_TOLD = ("command", "segment", "arguments")


@dataclass(frozen=True, slots=True)
class Known:
    """A command and its results so far."""

    row: CommandRow
    results: list[Result]

    @property
    def complete(self) -> bool:
        """Whether no more will come: one from each partition, or one from before the log."""
        return len(self.results) >= self.row.expected or any(r.partition is None for r in self.results)

    def plain(self) -> dict[str, Any]:
        """It as JSON has it."""
        status = "pending"
        if self.complete:
            status = "refused" if any(result.status != "done" for result in self.results) else "done"
        return {
            "command_id": self.row.id,
            "command": self.row.command,
            "customer_id": self.row.customer_id,
            "segment": self.row.segment,
            "status": status,
            "expected": self.row.expected,
            "results": [
                {"status": r.status, "reason": r.reason, "message": r.message, "partition": r.partition}
                for r in self.results
            ],
        }


class Desk:
    """Sends commands for callers."""

    def __init__(self, settings: Settings, store: Store, sending: Sending) -> None:
        self._settings = settings
        self._store = store
        self._sending = sending
        self._arrived = threading.Condition()
        self._results: dict[str, list[Result]] = {}
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._positions: dict[int, int] | None = None
        self._stopped = threading.Event()
        self._reader: threading.Thread | None = None

    def close(self) -> None:
        """Stop reading."""
        self._stopped.set()
        if self._reader is not None:
            self._reader.join(AGAIN + 1)

    def send(self, commands: list[Command], caller: Caller, wait: float = WAIT) -> list[Known]:
        """Send commands and wait a moment for their results.  Raises KafkaAway, NoTopic."""
        positions = self._followed()
        rows = [self._row(command, caller, positions) for command in commands]
        with self._store.session() as session:
            # Noted before they are sent: what was sent can always be asked for.
            session.add_all(rows)
            for each in commands:
                if each.command == ERASE:
                    session.flush()
                    session.execute(
                        update(CommandRow)
                        .where(CommandRow.customer_id == each.customer_id)
                        .values(customer_id=None)
                    )
            for each in commands:
                told = {name: getattr(each, name) for name in _TOLD}
                record(session, caller, "send", f"commands/{each.command_id}", None, told)
        ids = [each.command_id for each in commands]
        with self._arrived:
            for id in ids:
                self._results[id] = []
        try:
            now = time.time_ns() // 1_000_000
            records = [
                Raw(
                    topics.CUSTOMER_COMMANDS,
                    (each.customer_id or "").encode() or None,
                    encode(each),
                    now,
                    0 if each.command in AT_ZERO else -1,
                )
                for each in commands
            ]
            if len(records) == 1:
                self._sending.one(records[0])
            else:
                self._sending.all_or_none(records)
            known = [Known(row, self._results[row.id]) for row in rows]
            deadline = time.monotonic() + wait
            with self._arrived:
                while not all(each.complete for each in known):
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._arrived.wait(left):
                        break
                return [Known(each.row, list(each.results)) for each in known]
        finally:
            with self._arrived:
                for id in ids:
                    del self._results[id]

    def find(self, id: str) -> Known:
        """A command that was sent through the API, and its results now.  Raises NoSuch, KafkaAway."""
        with self._store.session() as session:
            row = session.get(CommandRow, id)
        if row is None:
            raise NoSuch(f"there is no command {id!r}")
        known = Known(row, [])
        tail = Tail(
            self._settings, topics.COMMAND_RESULTS, start={row.partition: row.offset}, only=row.partition
        )
        try:
            for found in tail.to_end():
                if found.key() == id.encode():
                    known.results.append(decode_result(found.value() or b""))
                    if known.complete:
                        break
        finally:
            tail.close()
        return known

    def _row(self, command: Command, caller: Caller, positions: dict[int, int]) -> CommandRow:
        partition = partition_of(command.command_id.encode(), len(positions))
        return CommandRow(
            id=command.command_id,
            command=command.command,
            customer_id=command.customer_id,
            segment=command.segment,
            user=caller.user,
            expected=self._settings.partitions if command.segment is not None else 1,
            partition=partition,
            offset=positions[partition],
        )

    def _followed(self) -> dict[int, int]:
        """Where the reader of results stands.  Raises KhayweError where it cannot begin."""
        with self._arrived:
            if self._reader is None:
                self._reader = threading.Thread(target=self._follow, name="command results", daemon=True)
                self._reader.start()
            self._arrived.wait_for(lambda: self._positions is not None, START_SECONDS)
            if self._positions is None:
                raise KhayweError(
                    "command-results cannot be read", hint="`khaywe status`, `khaywe topics check`"
                )
            return dict(self._positions)

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                tail = Tail(self._settings, topics.COMMAND_RESULTS, from_end=True)
            except Exception as error:
                log.warning("command-results: %s", error)
                self._stopped.wait(AGAIN)
                continue
            try:
                self._read(tail)
            except Exception as error:
                log.warning("command-results: %s", error)
            finally:
                with self._arrived:
                    self._positions = None
                tail.close()

    def _read(self, tail: Tail) -> None:
        while not self._stopped.is_set():
            with self._arrived:
                self._positions = dict(tail.positions)
                self._arrived.notify_all()
            for found in tail.poll(0.2):
                id = (found.key() or b"").decode("utf-8", "replace")
                with self._arrived:
                    if id in self._results:
                        try:
                            self._results[id].append(decode_result(found.value() or b""))
                        except msgspec.DecodeError as error:
                            log.warning("command-results: %s cannot be read: %s", id, error)
                        self._arrived.notify_all()


def command(
    name: str,
    customer_id: str | None = None,
    segment: str | None = None,
    arguments: dict[str, Any] | None = None,
) -> Command:
    """A command under a new id."""
    return Command(new_id(), name, customer_id=customer_id, segment=segment, arguments=arguments or {})
