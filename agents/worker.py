"""The composition root of a worker: what stands behind each agent is made here, once, from the settings.

A worker that would decide by other settings than the catalog's revision, or whose topics are not what the
registry says, does not start.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache

from confluent_kafka import KafkaException, Producer

from agents.catalog_feed import CatalogFeed
from agents.folding import CustomersProcessor
from agents.normalizing import NormalizerProcessor
from agents.predicting import Predicting
from catalog.service import CatalogService, check_settings
from config.errors import KhayweError
from config.settings import NoService, Settings, settings
from loyalty import census, why
from loyalty.prepare import prepare
from streams import fetching, librdkafka, topics
from streams.app import customers
from tables.customers import CustomerTable

log = logging.getLogger(__name__)

#: Seconds between two tries to reach Kafka.
AGAIN_SECONDS = 1.0
#: Seconds a worker waits at its start for the first catalog revision.
FIRST_REVISION_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What the agents and the web views of one worker share."""

    feed: CatalogFeed
    table: CustomerTable
    customers: CustomersProcessor
    normalizer: NormalizerProcessor


def check(settings: Settings) -> None:
    """Refuse to start on topics that are not what they must be (KhayweError); wait for Kafka."""
    while True:
        try:
            problems = topics.check(settings)
            break
        except KafkaException as error:
            where = settings.bootstrap_servers()
            log.warning("waiting for Kafka at %s: %s", where, error.args[0].str())
            time.sleep(AGAIN_SECONDS)
    if problems:
        raise KhayweError(
            "the topics are not what this worker needs:\n"
            + "\n".join(f"  {problem}" for problem in problems),
            hint="run `khaywe topics create`, then `khaywe topics check`",
        )


def first_revision(settings: Settings, feed: CatalogFeed) -> None:
    """Wait for the catalog; one that is not in this Kafka is published, or made of the settings.

    Raises KhayweError where there is neither catalog nor PostgreSQL, or where settings differ from it.
    """
    if feed.latest() is None and feed.wait_first(2.0) is None:
        try:
            service = CatalogService(settings.database_url(), settings)
            service.ensure_first_revision()
            service.publish_again(Producer(settings.producer_config()))  # perhaps this Kafka is a new one
            service.close()
        except NoService as error:
            raise KhayweError(f"the catalog is empty and {error}", hint="run `khaywe up`") from error
    content = feed.wait_first(FIRST_REVISION_SECONDS)
    if content is None:
        raise KhayweError(
            f"no catalog revision on topic catalog within {FIRST_REVISION_SECONDS:.0f} s",
            hint="`khaywe status` says whether Kafka and PostgreSQL run",
        )
    differences = check_settings(content, settings)
    if differences:
        raise KhayweError(
            f"settings differ from catalog revision {content.revision}: " + "; ".join(map(str, differences)),
            hint="unset those KHAYWE_* settings, or publish a revision that says the same",
        )


@lru_cache(maxsize=1)
def predicting() -> Predicting:
    """The models of this process's worker, loaded at the first call.  Raises ModelError."""
    return Predicting(settings())


@lru_cache(maxsize=1)
def parts() -> Parts:
    """The parts of this process's worker, made at the first call; its checks may refuse (KhayweError)."""
    config = settings()
    check(config)
    # Before the group is joined: the first start on a machine compiles for tens of seconds.
    log.info("preparing the fold")
    prepare()
    why.prepare()
    census.prepare()
    librdkafka.prepare()
    fetching.prepare()
    feed = CatalogFeed(config)
    feed.start()
    first_revision(config, feed)
    table = CustomerTable(config, customers.worker_name)
    models = predicting()
    models.start()
    return Parts(
        feed, table, CustomersProcessor(config, feed, table, models), NormalizerProcessor(config, feed)
    )
