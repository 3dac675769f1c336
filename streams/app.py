"""The Faust apps: normaliser, customers and projector, a consumer group each, run together or apart.

`app` runs all of them in one process (`faust -A streams.app worker`, `khaywe worker`); agents and web views
are found by name.
"""

from __future__ import annotations

from config import topics
from config.settings import Settings, settings
from streams import metrics
from streams.identity import free_port, worker_name
from streams.managers import CustomersAssignor
from streams.names import CUSTOMERS_GROUP, NORMALIZER_GROUP, PROJECTOR_GROUP
from streams.record_app import RecordApp

#: Where agents and views are registered; the REST API is another process.
FOUND = ["agents", "web.worker"]


def build(config: Settings) -> tuple[RecordApp, RecordApp, RecordApp]:
    """The normaliser, the customers and the projector app of one worker process."""
    worker = worker_name(config)
    port = free_port(config.web_host, config.web_port)
    web = {"web_port": port, "web_bind": config.web_host, "autodiscover": FOUND}
    normalizer = RecordApp(NORMALIZER_GROUP, topics.CUSTOMER_COMMANDS, config, worker, **web)
    customers = RecordApp(
        CUSTOMERS_GROUP, topics.CUSTOMER_EVENTS, config, worker, PartitionAssignor=CustomersAssignor, **web
    )
    customers.Table(
        "customers",
        partitions=config.partitions,
        changelog_topic=customers.topic(
            topics.CHANGELOG, key_type=bytes, value_type=bytes, partitions=config.partitions
        ),
    )
    projector = RecordApp(PROJECTOR_GROUP, topics.CUSTOMER_EVENTS, config, worker, **web)
    projector.records_in, projector.lag = metrics.PROJECTED, metrics.PROJECTION_LAG
    return normalizer, customers, projector


normalizer, customers, projector = build(settings())
customers.companions = [normalizer, projector]
app = customers
