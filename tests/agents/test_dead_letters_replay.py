"""What the normaliser answers to requests to replay a letter; test_normalizing_worker has it in a worker."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import Producer

from agents import commands, dead_letters
from agents.dead_letters import Bytes, Letter, Replayed
from agents.normalizing import ZERO, NormalizerProcessor
from catalog.content import Content, SourceContent
from config import topics
from config.settings import Settings
from loyalty.content import Decisions, ScoringPolicy
from streams import topics as on_brokers
from streams.batches import Aborted, Epoch, Poll
from tests.agents.records import Transaction, batch

MAPPING = {
    "customer_id_field": "msisdn",
    "event_type": "recharge",
    "value_field": "amount",
    "timestamp_field": "at",
    "event_id_field": "id",
}
RECORD = {"id": "e1", "msisdn": "4670", "amount": 5, "at": "2020-01-01T00:02:00Z"}
OWNER = Epoch("khaywe-normalizer", 1, "me", frozenset({ZERO}), positions={ZERO: 0})


class Feed:
    """A catalog with one source, and one whose schema registry is away."""

    def latest(self) -> Content:
        avro = {"format": "avro", "schema_registry": "http://127.0.0.1:1"}
        sources = [SourceContent("billing", "billing", MAPPING), SourceContent("avro", "cdr", MAPPING, avro)]
        return Content(
            revision=4, created_at="", decisions=Decisions(), policy=ScoringPolicy(), sources=sources
        )


@pytest.fixture
def normalizer(services: Settings) -> NormalizerProcessor:
    on_brokers.create(services)
    found = NormalizerProcessor(services, Feed())  # type: ignore[arg-type]
    found.take(OWNER)
    return found


def letter(**changes: Any) -> Letter:
    topic = f"raw_billing_{uuid4().hex[:8]}"
    made = Letter(
        id=f"{topic}/0/7",
        stage="normalizer",
        source="billing",
        reason="missing_value",
        message="",
        topic=topic,
        partition=0,
        offset=7,
        timestamp=1_577_836_967_000,
        key=None,
        value=Bytes(1, base64=json.dumps(RECORD).encode()),
        headers=[],
    )
    return msgspec.structs.replace(made, **changes)


def replay(normalizer: NormalizerProcessor, *letters: Letter | None, partition: int = 0) -> Transaction:
    values = [
        commands.encode(commands.Command(f"c{number}", "replay", letter=entry))
        for number, entry in enumerate(letters)
    ]
    transaction = Transaction()
    requests = batch(topics.CUSTOMER_COMMANDS, partition, values, timestamp=1_700_000_000_000)
    normalizer.process(Poll(OWNER, [requests]), transaction)
    return transaction


def answers(transaction: Transaction) -> list[tuple[str, str]]:
    found = [commands.decode_result(sent.value or b"") for sent in transaction.of(topics.COMMAND_RESULTS)]
    return [(result.status, result.reason) for result in found]


def events(transaction: Transaction) -> list[dict[str, Any]]:
    found = [json.loads(sent.value or b"") for sent in transaction.of(topics.CUSTOMER_EVENTS)]
    return [event for event in found if not event["event_type"].startswith("_")]


def test_the_event_is_what_it_would_have_been_and_a_note_stands_beside_it(
    normalizer: NormalizerProcessor,
) -> None:
    entry = letter(headers=[("khaywe-backfill", b"1")])
    sent = replay(normalizer, entry)
    (event,) = events(sent)
    assert (event["event_id"], event["received_at"]) == ("e1", "2020-01-01T00:02:47.000Z")
    assert event["attributes"] == {"_backfill": True}
    (note,) = sent.of(topics.DEAD_LETTERS)
    assert dead_letters.decode(note.value or b"") == Replayed(
        replayed=entry.id, source="billing", command_id="c0", revision=4
    )
    assert note.key == entry.topic.encode()
    assert answers(sent) == [("done", "")]
    assert len(sent.offsets) == 1


def test_a_letter_is_replayed_once_in_a_poll_in_an_epoch_and_after_a_take_over(
    normalizer: NormalizerProcessor, services: Settings
) -> None:
    entry, other = letter(), letter()
    sent = replay(normalizer, entry, entry)
    assert answers(sent) == [("done", ""), ("refused", "already_replayed")]
    assert len(events(sent)) == 1
    assert answers(replay(normalizer, entry)) == [("refused", "already_replayed")]

    # Another owner has replayed `other` meanwhile.
    note = Replayed(replayed=other.id, source="billing", command_id="x", revision=4)
    producer = Producer(services.producer_config())
    producer.produce(topics.DEAD_LETTERS, dead_letters.encode(note))
    producer.flush()
    normalizer.take(OWNER)
    sent = replay(normalizer, other)
    assert (answers(sent), events(sent)) == ([("refused", "already_replayed")], [])


def test_an_aborted_replay_was_none(normalizer: NormalizerProcessor) -> None:
    entry = letter()
    value = commands.encode(commands.Command("c", "replay", letter=entry))
    poll = Poll(OWNER, [batch(topics.CUSTOMER_COMMANDS, 0, [value])])
    with pytest.raises(Aborted):
        normalizer.process(poll, Transaction(aborts=True))
    assert answers(replay(normalizer, entry)) == [("done", "")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": Bytes(1, base64=b"{")}, "undecodable"),
        ({"value": Bytes(1, base64=b'{"msisdn": "4670", "at": "2020-01-01"}')}, "missing_value"),
        ({"value": None}, "undecodable"),
        ({"value": Bytes(300_000, blake2b="00")}, "bytes_not_kept"),
        ({"source": "gone"}, "unknown_source"),
        ({"stage": "customers"}, "not_replayable"),
        ({"topic": topics.CUSTOMER_COMMANDS, "source": ""}, "not_replayable"),
        ({"source": "avro", "value": Bytes(5, base64=b"\0\0\0\0\1")}, "registry_away"),
    ],
)
def test_what_cannot_be_replayed_is_refused_and_stays(
    normalizer: NormalizerProcessor, changes: dict[str, Any], reason: str
) -> None:
    sent = replay(normalizer, letter(**changes), letter())
    assert answers(sent) == [("refused", reason), ("done", "")]
    assert (len(events(sent)), len(sent.of(topics.DEAD_LETTERS))) == (1, 1)


def test_only_partition_0_replays_and_only_letters(normalizer: NormalizerProcessor) -> None:
    assert answers(replay(normalizer, letter(), partition=1)) == [("refused", "wrong_partition")]
    assert answers(replay(normalizer, None)) == [("refused", "invalid_command")]


def test_without_kafka_nothing_is_guessed() -> None:
    away = NormalizerProcessor(Settings(_env_file=None, kafka="127.0.0.1:1"), Feed())  # type: ignore[arg-type]
    away.take(OWNER)
    with pytest.raises(Aborted, match="does not answer"):
        replay(away, letter())
