"""Both hops as Faust's tutorial writes them: an agent for each, one event at a time, a table, records.

`processing_guarantee="exactly_once"`, tables in RocksDB.  It runs until SIGTERM.
"""

from __future__ import annotations

from typing import Any

import faust
import msgspec

from bench.peers import customer
from bench.peers.arguments import Arguments
from bench.peers.game import Game
from bench.peers.records import TOPICS, CustomerEvent, Unfit, mapper, read


class Event(faust.Record, serializer="json"):
    """A record of customer-events."""

    event_id: str
    customer_id: str
    event_type: str
    source: str
    value: float
    occurred_at: str
    received_at: str


def build(arguments: Arguments) -> faust.App:
    """The application."""
    rules = msgspec.json.decode(arguments.rules.read_bytes())
    app = faust.App(
        arguments.group,
        broker=f"kafka://{arguments.broker}",
        store="rocksdb://",
        datadir=str(arguments.home),
        processing_guarantee="exactly_once",
        topic_partitions=arguments.partitions,
        web_enabled=False,
    )
    raw = app.topic(arguments.raw, key_type=str)
    events = app.topic(arguments.prefix + "customer-events", key_type=str, value_type=Event)
    effects = {name: app.topic(arguments.prefix + name, key_type=str) for name in ("dead-letters", *TOPICS)}
    customers = app.Table("customers", key_type=str, value_type=bytes)
    to_event, game = mapper(rules["source"]), Game(rules)

    @app.agent(raw)
    async def normalise(records: Any) -> None:
        async for record in records.events():
            try:
                event = to_event(record.value, int(record.message.timestamp * 1000))
            except Unfit as error:
                await effects["dead-letters"].send(key=record.key, value={"reason": str(error)})
            else:
                await events.send(key=event.customer_id, value=Event(**msgspec.structs.asdict(event)))

    @app.agent(events)
    async def fold(stream: Any) -> None:
        async for event in stream:
            stored = customers.get(event.customer_id)
            known = customer.decode(stored) if stored else None
            changed = game.fold(known, read(CustomerEvent(**event.asdict())))
            if changed is not None:
                customers[event.customer_id] = customer.encode(changed)
                for topic, value in game.effects:
                    await effects[topic].send(key=event.customer_id, value=value)

    return app


def main() -> None:
    """Run it."""
    arguments = Arguments.of("faust-tutorial")
    faust.Worker(build(arguments), loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
