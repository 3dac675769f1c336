"""`khaywe dead-letters` and `khaywe command`, with whoever answers played by the test."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from agents import commands
from agents.commands import Command
from agents.dead_letters import Bytes, Letter, Replayed, encode
from agents.tail import Tail
from config import topics
from config.settings import Settings
from streams import topics as on_brokers
from streams.records import Record
from tests.faults import forked

Khaywe = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def khaywe(environment: dict[str, str]) -> Khaywe:
    """Runs `khaywe` with these arguments."""

    def khaywe(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.khaywe(environment, *arguments)

    return khaywe


@pytest.fixture
def producer(services: Settings) -> Producer:
    on_brokers.create(services)
    return Producer(services.producer_config())


def letter(source: str, offset: int, reason: str = "bad_value") -> Letter:
    return Letter(
        id=f"raw_{source}/0/{offset}",
        stage="normalizer",
        source=source,
        reason=reason,
        message=f"amount: '[bold]{offset}' is no number",
        topic=f"raw_{source}",
        partition=0,
        offset=offset,
        timestamp=1_577_836_967_000 + offset,
        key=None,
        value=Bytes(2, base64=b"{}"),
        headers=[],
    )


@pytest.fixture
def source(producer: Producer) -> str:
    """A source with three dead letters, of which the first was replayed."""
    name = f"s{uuid4().hex[:8]}"
    note = Replayed(replayed=f"raw_{name}/0/0", source=name, command_id="c", revision=1)
    entries: list[Letter | Replayed] = [
        letter(name, 0),
        letter(name, 1),
        note,
        letter(name, 2, "missing_value"),
    ]
    for entry in entries:
        producer.produce(topics.DEAD_LETTERS, encode(entry))
    producer.flush()
    return name


def test_letters_are_listed_with_what_became_of_them(khaywe: Khaywe, source: str) -> None:
    shown = khaywe("dead-letters", "list", "--source", source).stdout.splitlines()
    assert [line.split()[0] for line in shown[1:]] == [f"raw_{source}/0/{n}" for n in range(3)]
    assert "2020-01-01T00:02:47.001Z" in shown[2]
    assert "amount: '[bold]1' is no number" in shown[2]
    assert [line.split()[-1] == "yes" for line in shown[1:]] == [True, False, False]


def test_letters_are_filtered_and_limited_to_the_newest(khaywe: Khaywe, source: str) -> None:
    def offsets(*options: str) -> list[int]:
        done = khaywe("dead-letters", "list", "--source", source, "--json", *options)
        return [entry["offset"] for entry in json.loads(done.stdout)]

    assert offsets() == [0, 1, 2]
    assert offsets("--reason", "missing_value") == [2]
    assert offsets("--limit", "2") == [1, 2]
    assert "the newest 1 of 3" in khaywe("dead-letters", "list", "--source", source, "--limit", "1").stdout
    assert khaywe("dead-letters", "list", "--source", "nobody").stdout == "no dead letters\n"


def test_json_has_the_bytes(khaywe: Khaywe, source: str) -> None:
    found = json.loads(khaywe("dead-letters", "list", "--source", source, "--json").stdout)
    assert found[1]["value"] == {"size": 2, "base64": "e30="}
    assert [entry["replayed"] for entry in found] == [True, False, False]


def test_without_kafka_it_says_so(environment: dict[str, str], khaywe: Khaywe) -> None:
    environment["KHAYWE_KAFKA"] = "127.0.0.1:1"
    done = khaywe("dead-letters", "list")
    assert done.returncode == 1
    assert "Kafka at 127.0.0.1:1 does not answer" in done.stderr
    assert "khaywe status" in done.stderr


class Answerer:
    """Plays the worker: answers each command as told, until the test ends."""

    def __init__(self, services: Settings, answer: Callable[[Command], list[dict[str, Any]]]) -> None:
        self.commands: list[Command] = []
        self.partitions: list[int | None] = []
        self._answer = answer
        self._producer = Producer(services.producer_config())
        self._tail = Tail(services, topics.CUSTOMER_COMMANDS, from_end=True)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Answerer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._tail.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            for record in self._tail.poll(0.1):
                command = commands.parse(record.value())
                self.commands.append(command)
                self.partitions.append(record.partition())
                for members in self._answer(command):
                    asked = cast(Record, record)  # which has the methods of a message
                    made = commands.result(command.command_id, "", asked, 1, members.pop("status"))
                    value = {**json.loads(commands.encode(made)), **members}
                    self._producer.produce(
                        topics.COMMAND_RESULTS, json.dumps(value), command.command_id.encode()
                    )
                self._producer.flush()


def test_a_replay_sends_what_was_not_replayed_and_tells_refusals(
    khaywe: Khaywe, services: Settings, source: str
) -> None:
    def answer(command: Command) -> list[dict[str, Any]]:
        assert command.letter is not None
        if command.letter.reason == "missing_value":
            return [{"status": "refused", "reason": "missing_value", "message": "amount: still none"}]
        return [{"status": "done"}]

    with Answerer(services, answer) as worker:
        done = khaywe("dead-letters", "replay", "--source", source)
    assert worker.partitions == [0, 0]
    assert [command.letter for command in worker.commands] == [
        letter(source, 1),
        letter(source, 2, "missing_value"),
    ]
    assert f"raw_{source}/0/2 refused (missing_value): amount: still none" in done.stdout
    assert "1 replayed, 1 refused" in done.stdout
    assert (done.returncode, "khaywe source test" in done.stderr) == (1, True)


def test_a_replay_by_id_asks_even_for_what_was_replayed(
    khaywe: Khaywe, services: Settings, source: str
) -> None:
    with Answerer(services, lambda _: [{"status": "done"}]) as worker:
        done = khaywe("dead-letters", "replay", "--id", f"raw_{source}/0/0", "--id", f"raw_{source}/0/2")
    assert [command.letter and command.letter.offset for command in worker.commands] == [0, 2]
    assert (done.returncode, done.stdout) == (0, "2 replayed, 0 refused\n")


def test_a_replay_of_no_letter(khaywe: Khaywe, source: str) -> None:
    done = khaywe("dead-letters", "replay", "--id", "raw/7/7")
    assert (done.returncode, "there is no dead letter raw/7/7" in done.stderr) == (1, True)
    assert khaywe("dead-letters", "replay", "--source", "nobody").stdout == "0 replayed, 0 refused\n"


def test_a_replay_that_nobody_answers(khaywe: Khaywe, source: str) -> None:
    done = khaywe("dead-letters", "replay", "--source", source, "--timeout", "1")
    assert "2 answers are missing after 1 s" in done.stderr
    assert "khaywe worker" in done.stderr


def test_recalculate_waits_for_every_partition(
    khaywe: Khaywe, producer: Producer, services: Settings
) -> None:
    answers = [{"status": "done", "partition": number} for number in range(services.partitions)]
    with Answerer(services, lambda _: [dict(answer) for answer in answers]) as worker:
        done = khaywe("command", "recalculate", "--segment", "all")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, services.partitions)
    assert (worker.commands[0].command, worker.commands[0].segment) == ("recalculate", "all")


def test_recalculate_of_a_customer_tells_a_refusal(
    khaywe: Khaywe, producer: Producer, services: Settings
) -> None:
    refusal = {"status": "refused", "partition": 2, "reason": "unknown_customer"}
    with Answerer(services, lambda _: [dict(refusal)]) as worker:
        done = khaywe("command", "recalculate", "--customer", "4670")
    assert worker.commands[0].customer_id == "4670"
    assert done.returncode == 1
    assert "refused by partition 2 (unknown_customer)" in done.stdout


def test_a_segment_command_refused_at_the_door_has_one_answer(
    khaywe: Khaywe, producer: Producer, services: Settings
) -> None:
    with Answerer(services, lambda _: [{"status": "refused", "reason": "oversized"}]):
        done = khaywe("command", "recalculate", "--segment", "all")
    assert "1 refused, 0 done" in done.stderr


def test_recalculate_without_waiting(khaywe: Khaywe, producer: Producer) -> None:
    done = khaywe("command", "recalculate", "--customer", "4670", "--no-wait")
    assert (done.returncode, done.stdout.startswith("sent: ")) == (0, True)
    assert khaywe("command", "recalculate").returncode == 2


def test_a_command_takes_its_arguments_along_and_answers_a_program(
    khaywe: Khaywe, producer: Producer, services: Settings
) -> None:
    refusal = {"status": "refused", "partition": 2, "reason": "insufficient_points"}
    with Answerer(services, lambda _: [dict(refusal)]) as worker:
        done = khaywe("command", "redeem", "--customer", "4670", "--points", "30", "--json")
    sent = worker.commands[0]
    assert (sent.command, sent.arguments) == ("redeem", {"points": 30})
    assert [each["reason"] for each in json.loads(done.stdout)] == ["insufficient_points"]
    assert (done.returncode, "1 refused" in done.stderr) == (1, True)
    assert khaywe("command", "dance", "--customer", "4670").returncode == 2
