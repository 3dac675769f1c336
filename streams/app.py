"""The Faust apps: the normaliser and the customers, a consumer group each, run together or apart.

`app` runs both in one process (`faust -A streams.app worker`, `khaywe worker`); agents and web views are
found by name.
"""

from __future__ import annotations

from config import topics
from config.settings import Settings, settings
from streams.identity import free_port, worker_name
from streams.names import CUSTOMERS_GROUP, NORMALIZER_GROUP
from streams.record_app import RecordApp

#: Packages whose modules register agents and views.
FOUND = ["agents", "web"]


def build(config: Settings) -> tuple[RecordApp, RecordApp]:
    """The normaliser and the customers app of one worker process."""
    worker = worker_name(config)
    port = free_port(config.web_host, config.web_port)
    web = {"web_port": port, "web_bind": config.web_host, "autodiscover": FOUND}
    normalizer = RecordApp(NORMALIZER_GROUP, topics.CUSTOMER_COMMANDS, config, worker, **web)
    customers = RecordApp(CUSTOMERS_GROUP, topics.CUSTOMER_EVENTS, config, worker, **web)
    customers.Table(
        "customers",
        partitions=config.partitions,
        changelog_topic=customers.topic(
            topics.CHANGELOG, key_type=bytes, value_type=bytes, partitions=config.partitions
        ),
    )
    return normalizer, customers


normalizer, customers = build(settings())
customers.companions = [normalizer]
app = customers
