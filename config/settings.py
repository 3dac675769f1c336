"""Settings: everything an operator can set, as `KHAYWE_*` environment variables or a `.env` file.

Left unset, `KHAYWE_KAFKA` and `KHAYWE_DATABASE` mean the embedded services that `khaywe up` starts;
their addresses stand in `KHAYWE_HOME/services.json`.  What changes a decision (timezone, grace,
currency, control group) only fills the first catalog revision; from then on the revision counts.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.errors import KhayweError

SERVICES_FILE = "services.json"
DRIVER = "postgresql+psycopg2://"


class NoService(KhayweError):
    """Neither a setting nor an embedded service says where Kafka or PostgreSQL is."""


class Settings(BaseSettings):
    """One instance a process; see the reference in docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix="KHAYWE_", env_file=".env", extra="ignore", frozen=True, validate_default=True
    )

    home: Path = Field(
        default=Path("~/.khaywe"), description="Directory of everything that is kept on this machine."
    )

    kafka: str | None = Field(
        default=None, description="Bootstrap servers, host:port[,host:port]. Unset: embedded Kafka."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism, where the protocol is SASL_*."
    )
    kafka_sasl_username: str | None = Field(default=None, description="SASL user.")
    kafka_sasl_password: str | None = Field(default=None, repr=False, description="SASL password.")
    kafka_ssl_ca: Path | None = Field(
        default=None, description="File of the authority that signed the brokers' keys."
    )
    kafka_ssl_certificate: Path | None = Field(default=None, description="File of the client's certificate.")
    kafka_ssl_key: Path | None = Field(default=None, description="File of the client's private key.")
    database: str | None = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL, postgresql+psycopg2://... Unset: embedded PostgreSQL.",
    )

    worker: str | None = Field(
        default=None,
        description="Stable name of this worker. Unset: the first free of worker-1, worker-2, ... here.",
    )
    partitions: int = Field(
        default=4, ge=1, description="Partitions of customer-events and of what stays with it."
    )
    replication: int = Field(default=1, ge=1, description="Replicas of topics that khaywe creates.")
    retention: int = Field(
        default=30, ge=1, description="Days that topics keep records, where nothing else is said."
    )

    timezone: str = Field(default="UTC", description="The operator's days (first revision).")
    currency: str = Field(
        default="USD", pattern="^[A-Z]{3}$", description="ISO 4217 code of all amounts (first revision)."
    )
    grace: int = Field(
        default=3600, ge=0, description="Seconds that expiry waits for stragglers (first revision)."
    )
    control_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of customers in the universal control group (first revision).",
    )
    control_salt: str = Field(
        default="khaywe", description="Salt of the control group's hash (first revision)."
    )
    clock: Literal["wall", "event"] = Field(
        default="wall", description="Who moves silent customers: a tick a minute, or only `khaywe tick --at`."
    )

    poll_records: int = Field(
        default=20_000,
        ge=1,
        description="Most records one poll and one transaction take; fewer where they are slow work.",
    )
    transaction_timeout: float = Field(
        default=10.0, gt=0, description="Seconds after which Kafka aborts a transaction nobody ends."
    )
    session_timeout: float = Field(
        default=10.0, gt=0, description="Seconds without a heartbeat until partitions move on."
    )
    cache_rows: int = Field(
        default=100_000,
        ge=1_000,
        description="Most customer rows a worker holds in memory, 2.4 KB each; others are in RocksDB.",
    )
    store_interval: float = Field(
        default=3.0, gt=0, description="Seconds between writes of changed rows to RocksDB."
    )
    snapshots: Path | None = Field(
        default=None, description="Directory of daily snapshots. Unset: KHAYWE_HOME/snapshots."
    )
    snapshot_interval: float = Field(default=86_400.0, gt=0, description="Seconds between snapshots.")

    imports: Path | None = Field(
        default=None, description="Directory of the folders that are polled. Unset: KHAYWE_HOME/imports."
    )

    models: Path | None = Field(
        default=None, description="Directory of the models. Unset: those that come with khaywe."
    )
    model_fallback: Literal["none", "rules"] = Field(
        default="none",
        description="What answers where a model is missing: nothing, and the worker does not start; or "
        "rules, and each prediction says so.",
    )

    web_host: str = Field(default="127.0.0.1", description="Address the worker's web views listen on.")
    web_port: int = Field(default=6066, ge=0, le=65_535, description="Port of the worker's web views.")
    api_host: str = Field(default="127.0.0.1", description="Address the REST API listens on.")
    api_port: int = Field(default=6080, ge=0, le=65_535, description="Port of the REST API.")
    api_rate: float = Field(
        default=100.0,
        gt=0,
        description="Requests a second that one caller may make, ten times so many at once.",
    )
    worker_url: str | None = Field(
        default=None,
        description="URL of any worker's web views, for the API and the command line. "
        "Unset: KHAYWE_WEB_HOST and KHAYWE_WEB_PORT here.",
    )
    worker_key: str | None = Field(
        default=None,
        repr=False,
        description="What workers, the API and the command line show each other where KHAYWE_WEB_HOST is not "
        "this machine. Unset: only keys of the API open the views then.",
    )
    secrets_key: str | None = Field(
        default=None,
        repr=False,
        description="Key that encrypts secrets of connections. Unset: the one in KHAYWE_HOME/secrets.key.",
    )
    oidc_issuer: str | None = Field(
        default=None, description="Issuer of bearer tokens that count besides API keys. Unset: none do."
    )
    oidc_audience: str = Field(default="khaywe", description="Audience that such tokens must name.")
    oidc_jwks: str | None = Field(
        default=None, description="URL of the issuer's keys. Unset: as its discovery document says."
    )
    oidc_user_claim: str = Field(default="sub", description="Claim that names the user.")
    oidc_role_claim: str | None = Field(
        default=None, description="Claim with roles; the highest counts. Unset: the user's role in khaywe."
    )
    oidc_client_id: str | None = Field(
        default=None,
        description="What the issuer calls the console, to log in to it there. Unset: only with API keys.",
    )
    oidc_client_secret: str | None = Field(
        default=None, repr=False, description="Its secret. Unset: the issuer asks it for none."
    )
    notify_private: bool = Field(
        default=False,
        description="Whether callbacks of subscriptions may be http, and addresses of this network.",
    )
    notify_timeout: float = Field(
        default=10.0, gt=0, le=60, description="Seconds in which a callback must have answered."
    )
    notify_tries: int = Field(
        default=20,
        ge=1,
        description="Tries after which a notification is a dead letter, where others were taken meanwhile.",
    )
    notify_hours: float = Field(
        default=24.0,
        gt=0,
        description="Hours after which a notification is a dead letter in any case, and the subscription is "
        "suspended where nothing was taken meanwhile.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )

    @field_validator("database")
    @classmethod
    def _is_ours(cls, url: str | None) -> str | None:
        if url is not None:
            if not url.startswith(DRIVER):
                raise ValueError(f"must begin with {DRIVER}")
            _ = urlsplit(url).port  # says what is wrong with it
        return url

    @field_validator("timezone")
    @classmethod
    def _is_a_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):
            raise ValueError(f"no timezone is called {name!r}: write a name like Europe/Warsaw") from None
        return name

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _is_needed_by_sasl(cls, value: str | None, others: ValidationInfo) -> str | None:
        protocol = others.data.get("kafka_security_protocol", "")
        if value is None and protocol.startswith("SASL"):
            raise ValueError(f"is needed with KHAYWE_KAFKA_SECURITY_PROTOCOL={protocol}")
        return value

    @property
    def home_dir(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().absolute()

    def services(self) -> dict[str, Any]:
        """What `khaywe up` wrote down of the embedded services; empty where it never ran."""
        try:
            return dict(json.loads((self.home_dir / SERVICES_FILE).read_text()))
        except FileNotFoundError:
            return {}

    def bootstrap_servers(self) -> str:
        """Addresses of Kafka: the setting, else the embedded broker."""
        found = self.kafka or self.services().get("kafka")
        if not found:
            raise NoService("no Kafka", "run `khaywe up`, or set KHAYWE_KAFKA=host:port")
        return str(found)

    def database_url(self) -> str:
        """URL of PostgreSQL: the setting, else the embedded server."""
        found = self.database or self.services().get("database")
        if not found:
            raise NoService(
                "no PostgreSQL", "run `khaywe up`, or set KHAYWE_DATABASE=postgresql+psycopg2://..."
            )
        return str(found)

    def kafka_config(self, **more: Any) -> dict[str, Any]:
        """librdkafka's configuration for reaching the brokers, and `more`."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers(),
            "security.protocol": self.kafka_security_protocol,
            "log_level": 3,  # what librdkafka says below that, khaywe says itself where it matters
            # What brokers said while they started is forgotten after three times that, not after 15 minutes.
            "topic.metadata.refresh.interval.ms": 30_000,
        }
        if self.kafka_security_protocol.startswith("SASL"):
            config |= {
                "sasl.mechanism": self.kafka_sasl_mechanism,
                "sasl.username": self.kafka_sasl_username,
                "sasl.password": self.kafka_sasl_password,
            }
        for name, path in (
            ("ssl.ca.location", self.kafka_ssl_ca),
            ("ssl.certificate.location", self.kafka_ssl_certificate),
            ("ssl.key.location", self.kafka_ssl_key),
        ):
            if path is not None:
                config[name] = str(path)
        return config | more

    def producer_config(self, **more: Any) -> dict[str, Any]:
        """The same for a producer: keys are placed by murmur2, as Java and Faust place them; a retry neither
        doubles a record nor lets a later one pass it."""
        safe: dict[str, Any] = {"compression.type": "lz4", "enable.idempotence": True}
        return self.kafka_config(partitioner="murmur2_random", **safe, **more)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
