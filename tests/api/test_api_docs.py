"""The README's calls, run as printed against `khaywe api` as a process; settings that docs/api.md names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.identity import free_port
from tests.faults.harness import ROOT, Worker, until, workers
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.api.doors import PREFIX
from web.api.parts import Parts

PAGE = (ROOT / "docs" / "api.md").read_text()
CALLS = (ROOT / "README.md").read_text().split("## Five calls")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```sh\n(.*?)```", CALLS, re.DOTALL)


@pytest.fixture(scope="module")
def process(pipeline: Pipeline, parts: Parts, live: Worker) -> Iterator[tuple[str, dict[str, str]]]:
    """`khaywe api`: its port, and the environment of whoever calls it."""
    port = str(free_port("127.0.0.1", 0))
    environment = {"KHAYWE_API_PORT": port, "KHAYWE_WORKER_URL": str(parts.settings.worker_url)}
    run = Worker(
        ["-c", "from cli.main import main; main()", "api"],
        pipeline.environment | environment,
        pipeline.home / "api.log",
    )
    with workers(run):
        run.start()
        until("it listens", lambda: _listens(port), 180, run.log)
        yield port, {**os.environ, **pipeline.environment, **environment}
        assert run.stop() == 0, run.log.read_text()
        assert f"http://127.0.0.1:{port}{PREFIX}/docs" in run.log.read_text()


def _listens(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_the_five_calls_work_as_printed(process: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    assert shutil.which("curl"), "curl is needed"
    port, environment = process
    command = tmp_path / "khaywe"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from cli.main import main; main()" "$@"\n')
    command.chmod(0o755)
    environment = environment | {"PATH": f"{tmp_path}:{environment['PATH']}", "PYTHONPATH": str(ROOT)}
    start, *calls = BLOCKS
    assert len(calls) == 5
    # It runs already, on a port that is free here.
    start = start.replace("khaywe api &\n", "").replace("6080", port)
    key = subprocess.run(
        ["sh", "-ec", f"{start}\necho $KEY"], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert key.startswith("khaywe_")

    def call(block: str) -> Any:
        script = start.replace("KEY=$(khaywe api key create --user me --role admin)", f"KEY={key}") + block
        done = subprocess.run(
            ["sh", "-ec", script], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert call(calls[0]) == {"status": "processed", "event_id": "r-1"}
    until("the customer has points", lambda: call(calls[1]).get("points", {}).get("balance", 0) >= 50)
    assert call(calls[1])["answered_by"] == "worker"
    assert call(calls[2])["status"] in ("done", "pending")
    assert call(calls[3])["now"]["templates"][0]["name"] == "First Call Mission"
    brought = call(calls[4])
    assert (brought["campaign"], brought["uplift"], brought["by_day"]) == (1, None, [])


def test_keys_are_made_listed_and_revoked_by_command(pipeline: Pipeline, parts: Parts, api: Api) -> None:
    create = ("api", "key", "create", "--user", "by-cli", "--role")
    made = json.loads(pipeline.khaywe(*create, "system", "--json"))
    assert made["role"] == "system"
    assert api(key=made["key"]).get("/me/").json() == {"name": "by-cli", "role": "system", "active": True}
    listed = json.loads(pipeline.khaywe("api", "key", "list", "--json"))
    assert made["id"] in [each["id"] for each in listed]
    assert made["key"] not in json.dumps(listed)
    said = pipeline.khaywe(*create, "viewer", fails=True)
    assert "by-cli is system, not viewer" in said
    pipeline.khaywe("api", "key", "revoke", made["id"])
    assert parts.people.caller_of_key(made["key"]) is None


def test_the_page_names_every_role_and_the_default_port() -> None:
    from catalog.governance.people import ROLES
    from config.settings import Settings

    for role in ROLES:
        assert f"| `{role}` |" in PAGE
    settings = Settings(_env_file=None)
    assert str(settings.api_port) in PAGE
    assert settings.api_host == "127.0.0.1"
    named = set(re.findall(r"KHAYWE_([A-Z_]+)", PAGE)) - {"HOME"}
    assert {name.lower() for name in named} <= set(Settings.model_fields)
