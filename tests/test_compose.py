"""Dockerfile and docker-compose.yml against the settings, the command line and each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from cli.main import cli
from cli.worker import AGENTS
from config.settings import Settings
from streams.embedded import kafka, postgres

ROOT = Path(__file__).parents[1]
PREFIX = "KHAYWE_"


def _filled(value: object) -> str:
    """A value with compose's `${NAME:-default}` at its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run khaywe."""
    return {name: service for name, service in compose["services"].items() if "build" in service}


@pytest.fixture(scope="module")
def dockerfile() -> list[list[str]]:
    """Its instructions, split into words."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def _settings(service: dict[str, Any]) -> Settings:
    given = {name: _filled(value) for name, value in service["environment"].items()}
    assert all(name.startswith(PREFIX) for name in given)
    fields: dict[str, Any] = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    assert set(fields) <= set(Settings.model_fields)
    return Settings(_env_file=None, **fields)


def test_settings_are_settings_and_are_valid(ours: dict[str, Any]) -> None:
    assert set(ours) == {"init", "worker", "projector", "api"}
    found = {name: _settings(service) for name, service in ours.items()}
    assert found["init"] == found["worker"] == found["projector"]
    alone = {"api_host": "0.0.0.0", "worker_url": "http://worker:6066"}
    assert found["api"] == found["worker"].model_copy(update=alone)
    # One broker can hold one replica.
    assert found["worker"].replication == 1


def test_what_the_shell_can_set_are_settings_too(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in re.findall(r"\$\{(\w+):-", text):
        assert name == "POSTGRES_PASSWORD" or name.removeprefix(PREFIX).lower() in Settings.model_fields


def test_kafka_listens_where_the_settings_say(compose: dict[str, Any], ours: dict[str, Any]) -> None:
    broker = compose["services"]["kafka"]
    environment = broker["environment"]
    listeners = _addresses(environment["KAFKA_LISTENERS"])
    advertised = _addresses(environment["KAFKA_ADVERTISED_LISTENERS"])
    host, port = str(_settings(ours["worker"]).kafka).split(":")
    assert (host, port) == advertised["INSIDE"]
    assert host in compose["services"]
    assert {name: address[1] for name, address in advertised.items()} == {
        name: address[1] for name, address in listeners.items() if name != "CONTROLLER"
    }
    protocols = dict(
        each.split(":") for each in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert set(protocols) == set(listeners)
    assert protocols["INSIDE"] == _settings(ours["worker"]).kafka_security_protocol
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@localhost:{listeners['CONTROLLER'][1]}"
    assert _published(broker) == {advertised["OUTSIDE"][1]}
    assert f"localhost:{port}" in broker["healthcheck"]["test"]


def _addresses(listeners: str) -> dict[str, tuple[str, str]]:
    """(host, port) by listener."""
    found = (re.fullmatch(r"(\w+)://([\w.]*):(\d+)", each) for each in listeners.split(","))
    return {match[1]: (match[2], match[3]) for match in found if match is not None}


def _published(service: dict[str, Any]) -> set[str]:
    """Ports of a container that are to be had on the host, there under the same number, by nobody else."""
    ports = {tuple(mapping.split(":")) for mapping in service.get("ports", [])}
    assert all(address == "127.0.0.1" and outer == inner for address, outer, inner in ports)
    return {inner for _, _, inner in ports}


def test_kafka_is_set_up_as_the_embedded_one_is(compose: dict[str, Any]) -> None:
    environment = compose["services"]["kafka"]["environment"]
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in environment.items()
    }
    embedded = dict(line.split("=", 1) for line in kafka.PROPERTIES.splitlines() if "=" in line)
    same = {name for name in given.keys() & embedded if "{" not in embedded[name]} - {
        "listener.security.protocol.map"
    }
    assert {name: given[name] for name in same} == {name: embedded[name] for name in same}
    assert same >= {
        "auto.create.topics.enable",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr",
    }


def test_the_database_is_the_one_the_settings_name(compose: dict[str, Any], ours: dict[str, Any]) -> None:
    url = urlsplit(str(_settings(ours["worker"]).database))
    service = compose["services"][url.hostname]
    environment = {name: _filled(value) for name, value in service["environment"].items()}
    assert environment == {
        "POSTGRES_USER": url.username,
        "POSTGRES_PASSWORD": url.password,
        "POSTGRES_DB": url.path.removeprefix("/"),
    }
    assert url.port == 5432
    assert service["healthcheck"]["test"][1:] == [
        "pg_isready",
        "--username",
        url.username,
        "--dbname",
        "khaywe",
    ]


def test_versions_are_those_of_the_embedded_services(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
    assert compose["services"]["database"]["image"] == f"postgres:{postgres.MAJOR}"


def test_whoever_is_waited_for_exists_and_can_be_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert "restart" not in services[name]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]


def test_commands_exist(ours: dict[str, Any], dockerfile: list[list[str]]) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert _one(dockerfile, "ENTRYPOINT") == ['["khaywe"]']
    assert "khaywe" in scripts
    for words in [
        *(service["command"] for service in ours.values()),
        yaml.safe_load(_one(dockerfile, "CMD")[0]),
    ]:
        command: click.Command | None = cli
        options = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
        for word in words[:options]:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None
        assert not isinstance(command, click.Group) or command.invoke_without_command
        command.make_context(words[options - 1], list(words[options:]))  # refuses what is no option


def test_every_agent_runs_somewhere(ours: dict[str, Any]) -> None:
    commands = [service["command"] for service in ours.values()]
    run = [each[2].split(",") for each in commands if each[:2] == ["worker", "--agents"]]
    assert sorted(name for names in run for name in names) == sorted(AGENTS)


def test_the_web_views_can_be_reached(ours: dict[str, Any], dockerfile: list[list[str]]) -> None:
    worker = ours["worker"]
    port = str(_settings(worker).web_port)
    assert _published(worker) == {port}
    assert _one(dockerfile, "EXPOSE") == [port, str(_settings(worker).api_port)]
    assert f"http://localhost:{port}/health" in worker["healthcheck"]["test"][-1]
    assert "KHAYWE_WEB_HOST=0.0.0.0" in _one(dockerfile, "ENV")
    assert "KHAYWE_WEB_HOST" not in worker["environment"]


def test_the_api_can_be_reached_and_reaches_the_worker(ours: dict[str, Any]) -> None:
    api, worker = _settings(ours["api"]), _settings(ours["worker"])
    assert _published(ours["api"]) == {str(api.api_port)}
    assert f"http://localhost:{api.api_port}/health" in ours["api"]["healthcheck"]["test"][-1]
    assert urlsplit(str(api.worker_url)).port == worker.web_port
    assert urlsplit(str(api.worker_url)).hostname in ours


def test_the_home_is_a_volume(ours: dict[str, Any], dockerfile: list[list[str]]) -> None:
    [home] = _one(dockerfile, "VOLUME")
    assert f"KHAYWE_HOME={home}" in _one(dockerfile, "ENV")
    assert all(service["volumes"] == [f"khaywe:{home}"] for service in ours.values())
    assert "KHAYWE_HOME" not in ours["worker"]["environment"]


def test_the_image_is_built_from_what_is_here(dockerfile: list[list[str]]) -> None:
    copied = [
        source
        for words in dockerfile
        if words[0] == "COPY" and "--from=build" not in words
        for source in words[1:-1]
    ]
    assert "requirements.lock" in copied
    assert all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = packages["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert not set(ignored) & {*needed, *packages["project"]["license-files"], packages["project"]["readme"]}
    makefile = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())
    assert makefile is not None
    assert any(f"uv=={makefile[1]}" in words for words in dockerfile)
    assert packages["project"]["requires-python"] == ">=3.11"
    assert {words[1] for words in dockerfile if words[0] == "FROM"} == {"python:3.11-slim"}


def test_the_image_does_not_run_as_root(dockerfile: list[list[str]]) -> None:
    assert _one(dockerfile, "USER") == ["khaywe"]
    assert any("useradd" in words and words[-1] == "khaywe" for words in dockerfile)


def _one(dockerfile: list[list[str]], instruction: str) -> list[str]:
    """Arguments of the last instruction of that name."""
    return [words for words in dockerfile if words[0] == instruction][-1][1:]
