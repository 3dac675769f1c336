"""Both hops as one Quix Streams application, exactly once; it runs until SIGTERM.

Bytes in and out: msgspec decodes records into structs faster than the JSON deserialiser makes dicts, and a
customer is one bytes value of the state.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import msgspec
from quixstreams import Application, State
from quixstreams.models import Serializer, Topic

from bench.peers import customer
from bench.peers.arguments import Arguments
from bench.peers.game import Game
from bench.peers.records import TOPICS, CustomerEvent, Unfit, mapper, read

_raw = msgspec.json.Decoder(dict[str, Any]).decode
_event = msgspec.json.Decoder(CustomerEvent).decode
_encode = msgspec.json.Encoder().encode


class Told(Serializer):
    """Values are (topic, what is told there)."""

    def __call__(self, value: tuple[str, Any], ctx: Any) -> bytes:
        return _encode(value[1])


def main() -> None:
    """Build the application and run it."""
    gc.set_threshold(50_000)  # rows are made and dropped by the thousand, and never in cycles
    arguments = Arguments.of("quix-streams")
    rules = msgspec.json.decode(arguments.rules.read_bytes())
    app = Application(
        broker_address=arguments.broker,
        consumer_group=arguments.group,
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        commit_interval=arguments.commit_ms / 1000,
        state_dir=Path(arguments.home),
        loglevel="WARNING",
        producer_extra_config={
            "linger.ms": 20,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
        },
        consumer_extra_config={"queued.min.messages": 100_000},
    )
    told = {
        name: app.topic(arguments.prefix + name, key_serializer="str", value_serializer=Told())
        for name in ("customer-events", "dead-letters", *TOPICS)
    }

    def where(value: tuple[str, Any], *_: Any) -> Topic:
        return told[value[0]]

    to_event = mapper(rules["source"])

    def normalise(value: bytes, key: Any, timestamp: int, headers: Any) -> tuple[str, Any]:
        try:
            return "customer-events", to_event(_raw(value), timestamp)
        except (Unfit, msgspec.DecodeError) as error:
            return "dead-letters", {"reason": str(error)}

    raw = app.topic(arguments.raw, key_deserializer="str", value_deserializer="bytes")
    app.dataframe(raw).apply(normalise, metadata=True).to_topic(where)

    game = Game(rules)

    def fold(value: bytes, state: State) -> list[tuple[str, dict[str, Any]]]:
        stored = state.get_bytes("row")
        event = read(_event(value))
        changed = game.fold(None if stored is None else customer.decode(stored), event)
        if changed is None:
            return []
        state.set_bytes("row", customer.encode(changed))
        return game.effects

    events = app.topic(
        arguments.prefix + "customer-events", key_deserializer="str", value_deserializer="bytes"
    )
    app.dataframe(events).apply(fold, stateful=True, expand=True).to_topic(where)
    app.run()


if __name__ == "__main__":
    main()
