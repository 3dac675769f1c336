"""Worked examples of the documentation, run as printed: against a worker and the API that other tests use too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml import uci
from tests.docs import forks
from tests.docs.worked import Shell, shows, steps
from tests.faults.harness import ROOT, Worker, until
from tests.faults.pipeline import Pipeline
from web.api.parts import Parts

DOCS = ROOT / "docs"
#: Lines of the file that `add/model.md` says one has; fewer would be too few for it to train on.
CUSTOMERS = 401
#: What runs already, beside the tests.
RUNS = re.compile(r"^khaywe (worker|api) .*&\n", re.MULTILINE)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with forks.khaywe(tmp_path_factory.mktemp("khaywe")) as folder:
        yield folder


@pytest.mark.parametrize(
    "page", ["start.md", *(f"add/{path.name}" for path in sorted((DOCS / "add").glob("*.md")))]
)
def test_what_a_page_says_is_what_happens(
    page: str, typed: Path, pipeline: Pipeline, parts: Parts, live: Worker, address: str, tmp_path: Path
) -> None:
    (tmp_path / "customers.csv").write_text("\n".join(uci.FILE.read_text().splitlines()[:CUSTOMERS]) + "\n")
    shell = Shell(
        tmp_path,
        pipeline.environment
        | {
            "KHAYWE_WORKER_URL": str(parts.settings.worker_url),
            "PATH": f"{typed}:/usr/local/bin:/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",  # threads that wait for each other by spinning, where others work too
        },
    )
    try:
        for step in steps(DOCS / page):
            shell.write(step.files)
            commands = RUNS.sub("", step.commands).replace("http://127.0.0.1:6080", address)
            output = shell.run(commands)
            for line in step.shows:
                assert shows(output, line), f"{commands}\n{output}\nhas no: {line}"
            until("workers have the newest revision", lambda: _taken_over(parts), 60, live.log)
    finally:
        shell.close()


def _taken_over(parts: Parts) -> bool:
    """Whether the newest revision decides in every partition."""
    newest = parts.catalog.revisions(None, 1)[0].number
    partitions = httpx.get(f"{parts.settings.worker_url}/tables").json()["partitions"]
    return {each["revision"] for each in partitions} == {newest}
