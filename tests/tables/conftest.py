"""Topics for the tests of the customer table that need them under their own names."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from config.settings import Settings
from config.topics import CHANGELOG, CUSTOMER_EVENTS
from streams import topics
from tables.restore import bounds
from tests.faults.harness import until


@pytest.fixture
def fresh(services: Settings) -> Settings:
    """Settings of services whose changelog and customer-events were just made and are empty."""
    admin = AdminClient(services.kafka_config())
    there = {CHANGELOG, CUSTOMER_EVENTS} & admin.list_topics(timeout=10).topics.keys()
    if there:
        for deleted in admin.delete_topics(sorted(there)).values():
            deleted.result()
        until("they are gone", lambda: not there & admin.list_topics(timeout=10).topics.keys())
    topics.create(services)
    until("they can be used", lambda: _usable(services))
    return services


def _usable(settings: Settings) -> bool:
    try:
        for topic in (CHANGELOG, CUSTOMER_EVENTS):
            for partition in range(settings.partitions):
                bounds(settings.kafka_config(), topic, partition)
    except KafkaException:
        return False
    return True
