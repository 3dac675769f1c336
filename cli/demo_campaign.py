"""The demo's campaign: published like all rules, answered by a gateway, told of by the projection."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Message
from rich.console import Console
from sqlalchemy import create_engine

from agents.tail import Tail
from cli import ui
from cli.demo_input import GATEWAY
from cli.ingest import Sender
from config import topics
from config.settings import Settings
from projection import queries, sums

FILE = Path(__file__).with_name("demo_data") / "campaign.yaml"
NUMBER = 100
#: One message of so many is never delivered: the phone is off.
OFF = 20
#: Until a message is there.
ON_ITS_WAY = timedelta(minutes=1)


class Gateway:
    """Delivers what `campaign-triggers` tells it to, and says so, as an operator's gateway would."""

    def __init__(self, config: Settings) -> None:
        self._tail = Tail(config, topics.CAMPAIGN_TRIGGERS)
        self._sender = Sender(config, topics.raw_topic(GATEWAY))

    def answer(self) -> int:
        """Answer what has come to be known; how many messages were delivered."""
        return self._deliver(self._tail.poll(0))

    def answer_all(self) -> int:
        """Answer everything that stands there; the answers are Kafka's when this returns."""
        done = self._deliver(self._tail.to_end())
        self._sender.flush()
        return done

    def close(self) -> None:
        """Stop reading."""
        self._tail.close()

    def _deliver(self, messages: Iterable[Message]) -> int:
        done = 0
        for message in messages:
            told: dict[str, Any] = msgspec.json.decode(message.value() or b"{}")
            if told["status"] != "triggered" or told["arm"] == "control" or is_off(told["trigger_id"]):
                continue
            at = datetime.fromisoformat(told["occurred_at"]) + ON_ITS_WAY
            receipt = {"message_id": told["trigger_id"], "to": told["customer_id"], "at": at.isoformat()}
            self._sender.send(msgspec.json.encode(receipt), message.key())
            done += 1
        return done


def is_off(trigger_id: str) -> bool:
    """Whether nobody gets this message."""
    return int(trigger_id[:8], 16) % OFF == 0


def report_campaign(console: Console, config: Settings) -> None:
    """Print it, of what the projection has."""
    engine = create_engine(config.database_url())
    try:
        with engine.connect() as db:
            found = sums.campaign_figures(db, NUMBER)
            newest = queries.triggers(db, campaign=NUMBER, arm="treatment", limit=1).rows
    finally:
        engine.dispose()
    told = newest[0]["body"] if newest else {"name": ""}
    console.print(f'\n[bold]What the campaign "{told["name"]}" brought[/bold]  campaign-triggers')
    table = ui.grid("", ">triggered", ">delivered", ">converted", ">rate", ">cost")
    for arm, each in found["arms"].items():
        rate = f"{each['rate']:.1%}" if each["triggered"] else ""
        table.add_row(
            arm, f"{each['triggered']:,}", f"{each['delivered']:,}", f"{each['converted']:,}", rate,
            f"{each['cost'] / 100:,.2f}",
        )  # fmt: skip
    console.print(table)
    uplift = found["uplift"]
    if uplift is not None:
        value, low, high = (100 * uplift[name] for name in ("value", "low", "high"))
        console.print(
            f"uplift {value:+.1f} percentage points, 95 % between {low:+.1f} and {high:+.1f}.\n"
            "These records are older than the campaign: nothing came of it, and any uplift is chance."
        )
    if newest:
        console.print(f"{told['customer_id']} was told: {told['message']}", markup=False)
