"""Settings: what is refused, what reaches librdkafka, and that the page about them is current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.reference import SECTIONS, settings_page
from config.settings import NoService, Settings

ROOT = Path(__file__).parents[2]


def test_the_page_has_every_setting_and_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for name in Settings.model_fields:
        assert f"| `KHAYWE_{name.upper()}` |" in page
    assert page == settings_page(), "run: python -m config.reference > docs/settings.md"


def test_every_setting_stands_in_a_section() -> None:
    names = list(Settings.model_fields)
    assert SECTIONS[0][2] == names[0]
    assert [names.index(first) for _, _, first in SECTIONS] == sorted(
        names.index(first) for _, _, first in SECTIONS
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database", "sqlite://"),
        ("database", "postgresql+psycopg2://a:b@host:port/x"),
        ("timezone", "Mars/Olympus"),
        ("timezone", "../../etc/passwd"),
        ("currency", "dollars"),
        ("partitions", 0),
        ("control_share", 1.1),
        ("clock", "sundial"),
        ("transaction_timeout", 0),
        ("web_port", 70_000),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, **{name: value})
    assert [each["loc"] for each in refused.value.errors()] == [(name,)]


def test_sasl_needs_a_user_and_a_password() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, kafka_security_protocol="SASL_SSL")
    assert [each["loc"][0] for each in refused.value.errors()] == [
        "kafka_sasl_username",
        "kafka_sasl_password",
    ]


def test_secrets_are_not_shown() -> None:
    settings = Settings(
        _env_file=None,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="me",
        kafka_sasl_password="s3cret",
        database="postgresql+psycopg2://me:s3cret@db/x",
    )
    assert "s3cret" not in repr(settings)


def test_sasl_and_tls_reach_librdkafka(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,
        kafka="a:1,b:2",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="me",
        kafka_sasl_password="s3cret",
        kafka_ssl_ca=tmp_path / "ca.pem",
    )
    assert settings.kafka_config(**{"group.id": "g"}) == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "s3cret",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "log_level": 3,
        "topic.metadata.refresh.interval.ms": 30_000,
        "group.id": "g",
    }


def test_environment_counts_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("KHAYWE_PARTITIONS=8\nKHAYWE_RETENTION=7\nOTHER=1\n")
    monkeypatch.setenv("KHAYWE_PARTITIONS", "16")
    settings = Settings(_env_file=file)
    assert (settings.partitions, settings.retention) == (16, 7)


def test_addresses_come_from_the_setting_else_from_the_embedded_services(tmp_path: Path) -> None:
    here = Settings(_env_file=None, home=tmp_path)
    for ask in (here.bootstrap_servers, here.database_url):
        with pytest.raises(NoService) as missing:
            ask()
        assert "khaywe up" in missing.value.hint
    (tmp_path / "services.json").write_text(json.dumps({"kafka": "127.0.0.1:1", "database": "url"}))
    assert (here.bootstrap_servers(), here.database_url()) == ("127.0.0.1:1", "url")
    elsewhere = Settings(_env_file=None, home=tmp_path, kafka="far:9092")
    assert (elsewhere.bootstrap_servers(), elsewhere.database_url()) == ("far:9092", "url")
