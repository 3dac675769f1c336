"""What the normaliser writes in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import cast

from agents.commands import Result, encode, result_headers
from agents.dead_letters import Letter, Replayed
from agents.dead_letters import encode as encode_letter
from agents.source_reader import Event, Events
from config import topics
from streams.batches import Sink


@dataclass(slots=True)
class Output:
    """Collected while a poll is worked on, sent when all of it is known to be good."""

    #: Markers and ticks for every partition of customer-events, before the events of this poll.
    times: list[bytes] = field(default_factory=list)
    #: Events by customer: keys and values.
    events: list[Event | Events] = field(default_factory=list)
    #: What commands send to every partition, after the events.
    everywhere: list[bytes] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    replayed: dict[str, Replayed] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.times or self.events or self.everywhere or self.letters or self.replayed or self.results
        )

    def send(self, sink: Sink, partitions: int) -> None:
        """Queue all of it; `partitions` is the number of those of customer-events."""
        send = sink.send
        for value in self.times:
            for partition in range(partitions):
                send(topics.CUSTOMER_EVENTS, value, None, partition)
        topic = topics.CUSTOMER_EVENTS
        for kind, run in groupby(self.events, type):
            if kind is Events:
                for keys, values in cast(Iterator[Events], run):
                    sink.send_many(topic, keys, values)
            else:
                single = list(cast(Iterator[Event], run))
                sink.send_many(topic, [key for key, _ in single], [value for _, value in single])
        for value in self.everywhere:
            for partition in range(partitions):
                send(topic, value, None, partition)
        for entry in self.letters:
            send(topics.DEAD_LETTERS, encode_letter(entry), entry.topic.encode())
        for note in self.replayed.values():
            send(topics.DEAD_LETTERS, encode_letter(note), note.replayed.split("/")[0].encode())
        for answer in self.results:
            send(
                topics.COMMAND_RESULTS, encode(answer), answer.command_id.encode(), -1, result_headers(answer)
            )
