"""Revisions and their outbox on a real PostgreSQL and Kafka: editors at once, kills, services away."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from sqlalchemy import create_engine, text

from catalog.content import FORMAT, Content, decode, encode
from catalog.database import connect, migrate
from catalog.governance.store import Store
from catalog.service import CatalogError, CatalogService, check_settings
from config import topics as names
from config.errors import KhayweError
from config.settings import Settings
from loyalty.content import SCORES
from outwards.store import migrate as migrate_outwards

RECHARGES = {
    "name": "billing",
    "source_type": "billing",
    "event_mapping": {
        "customer_id_field": "id", "event_type": "recharge", "value_field": "v", "timestamp_field": "at",
    },
}  # fmt: skip


def source(name: str, **more: Any) -> dict[str, Any]:
    return {**RECHARGES, "name": name, **more}


class Redirected:
    """A real producer that writes the catalog to a topic of the test's own."""

    def __init__(self, settings: Settings, topic: str, **more: Any) -> None:
        self._producer = Producer(settings.producer_config(**more))
        self._topic = topic

    def produce(
        self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]
    ) -> None:
        assert topic == names.CATALOG
        self._producer.produce(self._topic, value, key, on_delivery=on_delivery)

    def flush(self, timeout: float) -> int:
        return self._producer.flush(timeout)


@pytest.fixture
def topic(topics: Callable[..., str]) -> str:
    return topics("catalog", partitions=1)


def read(settings: Settings, topic: str) -> list[tuple[bytes | None, Content]]:
    """Every record of the topic: key and revision."""
    consumer = Consumer(settings.kafka_config(**{"group.id": "test", "enable.auto.commit": False}))
    consumer.assign([TopicPartition(topic, 0, 0)])
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
    found: list[tuple[bytes | None, Content]] = []
    while len(found) < end:
        for record in consumer.consume(end - len(found), timeout=10):
            assert record.error() is None
            found.append((record.key(), decode(record.value() or b"")))
    consumer.close()
    return found


def test_the_first_revision_comes_from_the_settings(database: str, services: Settings) -> None:
    settings = services.model_copy(
        update={"timezone": "Africa/Abidjan", "currency": "XOF", "grace": 60, "control_share": 0.1}
    )
    service = CatalogService(database, settings)
    assert service.ensure_first_revision() == 1
    assert service.ensure_first_revision() == 1
    content = service.latest()
    assert content.decisions.timezone == "Africa/Abidjan"
    assert (content.decisions.currency, content.decisions.currency_decimals) == ("XOF", 0)
    assert (content.decisions.grace_seconds, content.decisions.control_share) == (60, 0.1)
    # PostgreSQL keeps the order in which a score's points are added.
    content.policy.validate()
    assert tuple(content.policy.scores) == SCORES
    assert [(each.name, each.topic, each.is_active) for each in content.sources] == [
        ("custom", "raw_custom_events", True)
    ]
    service.close()


def test_each_edit_is_a_revision_of_everything(service: CatalogService) -> None:
    assert service.add_sources([source("a"), source("b")]) == 2
    assert service.switch_source("a", False) == 3
    assert service.update_sources([source("b", source_type="dwh"), source("a")]) == 4
    content = service.latest()
    assert content.revision == 4
    assert [(each.name, each.source_type, each.is_active) for each in content.sources] == [
        ("a", "billing", False), ("b", "dwh", True), ("custom", "custom", True),
    ]  # fmt: skip
    assert service.source("b").event_mapping == RECHARGES["event_mapping"]


def test_an_edit_that_changes_nothing_is_no_revision(service: CatalogService) -> None:
    service.add_sources([source("a")])
    assert service.switch_source("a", True) == 2
    assert service.update_sources([source("a")]) == 2
    assert service.latest().revision == 2


def test_what_is_refused_leaves_no_trace(service: CatalogService, services: Settings, topic: str) -> None:
    service.add_sources([source("a")])
    for given, message in (
        ([source("b"), source("a")], "there is a data source 'a' already"),
        ([source("b"), source("b")], "there is a data source 'b' already"),
        ([source("b", event_mapping={})], "customer_id_field"),
        ([source("b", connection_config={"kafka_topic": "raw_a_events"})], "raw_a_events"),
        ([source("b", connection_config={"kafka_topic": "customer-events"})], "khaywe's own"),
    ):
        with pytest.raises(CatalogError, match=message):
            service.add_sources(given)
    with pytest.raises(CatalogError, match="there is no data source 'x'"):
        service.switch_source("x", True)
    with pytest.raises(CatalogError, match="there is no data source 'x'"):
        service.update_sources([source("a", source_type="dwh"), source("x")])
    with pytest.raises(CatalogError, match="there is no data source 'x'") as refused:
        service.source("x")
    assert refused.value.hint == "there are: a, custom"
    assert [(each.name, each.source_type) for each in service.sources()] == [
        ("a", "billing"), ("custom", "custom"),
    ]  # fmt: skip
    assert service.publish_outbox(Redirected(services, topic)) == 2


def test_a_revision_too_large_for_kafka_is_refused(service: CatalogService) -> None:
    fields = [{"name": n, "type": "string", "doc": "x" * 1_000_000} for n in ("id", "v", "at")]
    avro = {"type": "record", "name": "r", "fields": fields}
    with pytest.raises(CatalogError, match="a revision has at most"):
        service.add_sources([source("a", connection_config={"format": "avro", "avro_schema": avro})])


def test_revisions_are_published_once_in_order_under_their_number(
    service: CatalogService, services: Settings, topic: str
) -> None:
    producer = Redirected(services, topic)
    service.add_sources([source("a")])
    assert service.publish_outbox(producer) == 2
    service.switch_source("a", False)
    assert service.publish_outbox(producer) == 1
    assert service.publish_outbox(producer) == 0
    found = read(services, topic)
    assert [(key, content.revision) for key, content in found] == [(b"1", 1), (b"2", 2), (b"3", 3)]
    assert found[-1][1] == service.latest()


def test_two_editors_and_two_publishers_at_once_lose_nothing(
    database: str, services: Settings, topic: str, service: CatalogService
) -> None:
    def work(number: int) -> list[int]:
        mine = CatalogService(database, services)
        producer = Redirected(services, topic)
        made = []
        for each in range(5):
            made.append(mine.add_sources([source(f"s{number}-{each}")]))
            mine.publish_outbox(producer)
        mine.close()
        return made

    with ThreadPoolExecutor(4) as pool:
        made = [number for numbers in pool.map(work, range(4)) for number in numbers]
    assert sorted(made) == list(range(2, 22))
    found = [content for _, content in read(services, topic)]
    assert [content.revision for content in found] == list(range(1, 22))
    # Each revision holds all that came before it.
    assert [len(content.sources) for content in found] == list(range(1, 22))


EDIT_AND_DIE = """
import os, signal, sys
from catalog.service import CatalogService
from config.settings import Settings

service = CatalogService(sys.argv[1], Settings(_env_file=None))
class Dying:
    def produce(self, *record, on_delivery): os.kill(os.getpid(), signal.SIGKILL)
service.add_sources([eval(sys.argv[2])])
service.publish_outbox(Dying())
"""


def test_an_edit_whose_process_was_killed_before_it_published_is_published_later(
    database: str, services: Settings, service: CatalogService, topic: str
) -> None:
    killed = subprocess.run([sys.executable, "-c", EDIT_AND_DIE, database, repr(source("a"))], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert service.publish_outbox(Redirected(services, topic)) == 2
    assert [content.revision for _, content in read(services, topic)] == [1, 2]
    assert service.source("a").is_active


def test_kafka_away_keeps_a_revision_for_later(
    service: CatalogService, services: Settings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = services.model_copy(update={"kafka": "127.0.0.1:9"})
    with monkeypatch.context() as patched:
        patched.setattr("catalog.service.PUBLISH_SECONDS", 0.5)  # the Kafka that is there has longer
        with pytest.raises(CatalogError, match="Kafka did not take") as refused:
            service.publish_outbox(Redirected(away, topic))
    assert "published" in refused.value.hint
    assert service.publish_outbox(Redirected(services, topic)) == 1


def test_postgresql_away_is_told(services: Settings) -> None:
    service = CatalogService("postgresql+psycopg2://nobody@127.0.0.1:9/none", services)
    for what in (service.ensure_first_revision, service.latest, lambda: service.switch_source("a", True)):
        with pytest.raises(CatalogError, match="PostgreSQL does not answer"):
            what()
    with pytest.raises(KhayweError, match="KHAYWE_DATABASE is no URL"):
        CatalogService("localhost:5432", services)


def test_an_empty_database_is_told(database: str, services: Settings) -> None:
    service = CatalogService(database, services)
    for what in (service.latest, lambda: service.switch_source("a", True)):
        with pytest.raises(CatalogError, match="the catalog is empty"):
            what()
    service.close()


def test_an_editor_that_hangs_is_ended(
    database: str, service: CatalogService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.database.IDLE_MS", 500)
    engine = connect(database)
    with engine.connect() as hanging:
        hanging.execute(text("select pg_advisory_xact_lock(7310424002)"))
        assert service.switch_source("custom", False) == 2
        hanging.invalidate()
    engine.dispose()


def test_several_processes_may_migrate_at_once(database: str) -> None:
    engines = [create_engine(database) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, engines))
    with engines[0].connect() as connection:
        assert connection.execute(text("select version_num from alembic_version")).all() == [("0004",)]
    for engine in engines:
        engine.dispose()


def test_a_schema_of_a_newer_khaywe_is_told(database: str, service: CatalogService) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    with pytest.raises(KhayweError, match="9999") as refused:
        service.ensure_first_revision()
    assert "newer" in refused.value.hint


def test_so_is_one_beside_the_catalog(database: str) -> None:
    engine = create_engine(database)
    store = Store(engine)
    for schema, brought in (("governance", store.migrate), ("outwards", lambda: migrate_outwards(store))):
        brought()
        brought()
        with engine.begin() as connection:
            connection.execute(text(f"update {schema}.alembic_version set version_num = '9999'"))
        with pytest.raises(KhayweError, match=f"{schema} are not of this version.*9999"):
            brought()
    engine.dispose()


def test_the_models_are_what_the_migrations_make(database: str, service: CatalogService) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from catalog.models import Base

    engine = create_engine(database)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert [each for each in found if "outbox_unpublished" not in repr(each)] == []


def test_content_of_a_newer_format_is_refused(service: CatalogService) -> None:
    content = service.latest()
    assert decode(encode(content)) == content
    newer = msgspec.structs.replace(content, format=FORMAT + 1)
    with pytest.raises(ValueError, match=f"revision 1 has format {FORMAT + 1}"):
        decode(encode(newer))


def test_settings_that_were_set_must_agree_with_the_revision(
    service: CatalogService, services: Settings
) -> None:
    content = service.latest()
    assert check_settings(content, services) == []
    set_otherwise = Settings(_env_file=None, timezone="Europe/Paris", grace=60, control_share=0.0)
    assert [str(each) for each in check_settings(content, set_otherwise)] == [
        "KHAYWE_TIMEZONE is 'Europe/Paris' here, 'UTC' in the catalog",
        "KHAYWE_GRACE is 60 here, 3600 in the catalog",
    ]
