"""The `khaywe` command as a user meets it: help, services, topics, and how errors end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS
from config.settings import Settings
from config.topics import registry

KHAYWE = Path(sys.executable).with_name("khaywe")


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`khaywe` in a directory that is not the checkout."""
    return subprocess.run([KHAYWE, *arguments], env=environment, cwd="/", capture_output=True, text=True)


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Environment of a machine on which khaywe never ran."""
    return {**os.environ, "KHAYWE_HOME": str(tmp_path / "home")}


def test_help_shows_every_command_in_its_section(nowhere: dict[str, str]) -> None:
    done = run(nowhere, "--help")
    assert done.returncode == 0
    for name, (_, _, about) in COMMANDS.items():
        assert f"\n  {name} " in done.stdout
        assert about in done.stdout
    assert [line for line in done.stdout.splitlines() if line.endswith(":") and not line.startswith(" ")] == [
        "Options:",
        "Services:",
        "Data:",
        "Pipeline:",
        "Customers:",
    ]


def test_help_loads_no_command(nowhere: dict[str, str]) -> None:
    code = (
        "import sys; from cli.main import cli; cli(['--help'], standalone_mode=False); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'faust', 'numpy', 'confluent_kafka', 'sqlalchemy', 'pydantic', 'rich'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    module, attribute, _ = COMMANDS[name]
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str()


def test_up_status_down(tmp_path: Path) -> None:
    environment = {**os.environ, "KHAYWE_HOME": str(tmp_path / "home")}
    stopped = run(environment, "status", "--json")
    assert stopped.returncode == 1
    assert json.loads(stopped.stdout)["kafka"]["state"] == "stopped"
    try:
        up = run(environment, "up")
        assert up.returncode == 0, up.stderr
        assert "Starting Kafka" in up.stderr
        assert "running" in up.stdout
        status = run(environment, "status", "--json")
        assert status.returncode == 0
        said = json.loads(status.stdout)
        assert said["kafka"]["state"] == said["database"]["state"] == "running"
        password = Settings(_env_file=None, home=tmp_path / "home").database_url().split(":")[2].split("@")[0]
        assert password not in up.stdout + up.stderr + status.stdout
    finally:
        down = run(environment, "down")
    assert down.returncode == 0
    assert down.stdout.splitlines() == ["Kafka is stopped.", "PostgreSQL is stopped."]
    assert run(environment, "status").returncode == 1


def test_up_leaves_what_runs_elsewhere(services: Settings, nowhere: dict[str, str]) -> None:
    elsewhere = {"KHAYWE_KAFKA": services.bootstrap_servers(), "KHAYWE_DATABASE": services.database_url()}
    done = run(nowhere | elsewhere, "up")
    assert done.returncode == 0, done.stderr
    assert "Kafka is not started: KHAYWE_KAFKA says where it is." in done.stdout
    assert "PostgreSQL is not started: KHAYWE_DATABASE says where it is." in done.stdout
    done = run(nowhere | elsewhere, "down")
    assert "is not ours to stop" in done.stdout
    away = run(nowhere | elsewhere | {"KHAYWE_KAFKA": "127.0.0.1:1"}, "up")
    assert away.returncode == 1
    assert "error: Kafka at 127.0.0.1:1 does not answer" in away.stderr


def test_topics_create_list_check(services: Settings, environment: dict[str, str]) -> None:
    assert run(environment, "topics", "create").returncode == 0
    good = run(environment, "topics", "check")
    assert (good.returncode, good.stdout) == (0, "All topics are as they must be.\n")
    listed = json.loads(run(environment, "topics", "list", "--json").stdout)
    assert [topic["name"] for topic in listed] == [topic.name for topic in registry(services)]
    assert all(topic["exists"] for topic in listed)
    assert "customers-changelog" in run(environment, "topics", "list").stdout

    other = environment | {"KHAYWE_PARTITIONS": "8"}
    bad = run(other, "topics", "check")
    assert bad.returncode == 1
    assert "has 4 partitions, not 8" in bad.stdout
    assert "KHAYWE_PARTITIONS=4" in bad.stdout
    as_json = run(other, "topics", "check", "--json")
    assert as_json.returncode == 1
    first = json.loads(as_json.stdout)[0]
    assert (first["topic"], first["what"]) == ("customer-events", "has 4 partitions, not 8")


@pytest.mark.parametrize(
    ("changes", "arguments", "words", "hint"),
    [
        ({}, ["topics", "check"], "error: no Kafka", "khaywe up"),
        ({"KHAYWE_PARTITIONS": "many"}, ["status"], "error: KHAYWE_PARTITIONS: ", "docs/settings.md"),
        (
            {"KHAYWE_DATABASE": "mysql://x"},
            ["up"],
            "error: KHAYWE_DATABASE: must begin with",
            "docs/settings.md",
        ),
        ({"KHAYWE_HOME": "/proc/nowhere"}, ["up"], "error: [Errno", ""),
    ],
)
def test_an_error_is_words_and_no_traceback(
    nowhere: dict[str, str], changes: dict[str, str], arguments: list[str], words: str, hint: str
) -> None:
    done = run(nowhere | changes, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(nowhere: dict[str, str]) -> None:
    assert "Traceback" in run(nowhere, "--debug", "topics", "check").stderr
    assert "Traceback" in run(nowhere | {"KHAYWE_DEBUG": "1"}, "topics", "check").stderr


def test_a_reader_that_has_enough_is_no_error(services: Settings, environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [KHAYWE, "topics", "list"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        assert done.stderr.read() == ""


def test_a_wrong_command_is_told() -> None:
    done = run(dict(os.environ), "nonsense")
    assert done.returncode == 2
    assert "No such command 'nonsense'" in done.stderr
