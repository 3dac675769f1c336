"""A projector in a process of its own, without a group: it projects everything there is, and ends.

FAULT=step:count kills it at a step of `projection.writer`, the count-th time.
"""

from __future__ import annotations

import os
import signal
import sys

from confluent_kafka.admin import AdminClient

from agents.catalog_feed import CatalogFeed
from agents.founding import found
from agents.places import ends
from agents.projecting import Follower, every
from config.settings import settings
from loyalty.policy import Content
from projection.writer import Writer


def main() -> None:
    """Until the tables stand where Kafka does."""
    config, feed = settings(), CatalogFeed(settings())
    feed.start()
    step, _, left = os.environ.get("FAULT", "none:0").partition(":")
    times = int(left)

    def content(revision: int) -> Content:
        known = feed.get(revision, 30)
        assert known is not None, revision
        return known

    def at(reached: str) -> None:
        nonlocal times
        if reached == step:
            times -= 1
            if times == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    writer, admin = Writer(config.database_url(), content, at), AdminClient(config.kafka_config())
    found(config, writer, content)
    follower, until = Follower(config, writer, admin), ends(admin, every(config))
    while any(writer.positions().get(place, 0) < end for place, end in until.items()):
        follower.step()
    follower.close()
    writer.close()


if __name__ == "__main__":
    main()
    sys.exit(0)
