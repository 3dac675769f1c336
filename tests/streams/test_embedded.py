"""The embedded services start, are found again, stop, and come back after every kind of end."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka.admin import AdminClient
from sqlalchemy import create_engine, text

from config.settings import Settings


def test_kafka_and_postgresql_answer(services: Settings, topics: Callable[..., str], database: str) -> None:
    topic = topics("orders", partitions=3)
    found = AdminClient(services.kafka_config()).list_topics(timeout=5).topics
    assert len(found[topic].partitions) == 3
    engine = create_engine(database)
    with engine.connect() as connection:
        assert connection.execute(text("select current_database()")).scalar_one() == engine.url.database
    engine.dispose()
