"""Sends commands and waits for their results: for the command line, and whoever else may ask."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from agents.commands import REPLAY, TICK, Command, Result, decode_result, encode
from agents.tail import KafkaAway, Tail
from config import topics
from config.settings import Settings

#: Commands that partition 0's owner carries out itself.
AT_ZERO = {TICK, REPLAY}
SEND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sent:
    """Commands on their way: how many results each will have, and where those begin on `command-results`."""

    expected: dict[str, int]
    results_from: dict[int, int]


def new_id() -> str:
    """A `command_id` of its own."""
    return uuid4().hex


def send_commands(settings: Settings, commands: Sequence[Command]) -> Sent:
    """Put commands on `customer-commands`.  Raises KafkaAway, NoTopic."""
    start = Tail(settings, topics.COMMAND_RESULTS, from_end=True)
    results_from = start.positions
    start.close()
    producer = Producer(
        settings.producer_config(**{"message.timeout.ms": int(SEND_SECONDS * 1000), "log_level": 2})
    )
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    for command in commands:
        while True:
            try:
                producer.produce(
                    topics.CUSTOMER_COMMANDS,
                    encode(command),
                    (command.customer_id or "").encode() or None,
                    0 if command.command in AT_ZERO else -1,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(SEND_SECONDS) or failed:
        raise KafkaAway(settings, failed[0].str() if failed else "commands could not be sent")
    expected = {c.command_id: settings.partitions if c.segment is not None else 1 for c in commands}
    return Sent(expected, results_from)


def send_command(
    settings: Settings,
    command: str,
    *,
    customer_id: str | None = None,
    segment: str | None = None,
    at: str | None = None,
) -> Sent:
    """Send one command under a new id: for a customer, a segment, or (`tick`) a time.

    Raises KafkaAway, NoTopic.
    """
    return send_commands(
        settings, [Command(new_id(), command, customer_id=customer_id, segment=segment, at=at)]
    )


def wait_results(settings: Settings, sent: Sent, timeout: float) -> Iterator[Result]:
    """The results of sent commands as they come; ends when all are there, or after `timeout` seconds.

    A segment command has one from each partition, unless it was refused before it entered the log.
    """
    waiting = dict(sent.expected)
    deadline = time.monotonic() + timeout
    tail = Tail(settings, topics.COMMAND_RESULTS, start=sent.results_from)
    try:
        while waiting and time.monotonic() < deadline:
            for record in tail.poll(min(0.1, timeout)):
                key = record.key()
                command_id = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
                if command_id not in waiting:
                    continue
                try:
                    result = decode_result(record.value() or b"")
                except msgspec.DecodeError:
                    continue
                waiting[command_id] -= 1
                if result.partition is None or not waiting[command_id]:
                    del waiting[command_id]
                yield result
    finally:
        tail.close()
