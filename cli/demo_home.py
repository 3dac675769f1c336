"""The demo's own home: its embedded services, its worker and API, and what an earlier demo left there.

KHAYWE_HOME/demo.json says that a directory is a demo's, so that nothing else is ever removed, and which
processes run there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

from config.errors import KhayweError
from config.settings import Settings
from streams.embedded import process as processes
from streams.embedded import services
from streams.embedded.process import Progress
from streams.identity import free_port
from web.api.doors import PREFIX
from web.ask_worker import web_url
from web.console.app import PATH as CONSOLE

DEFAULT = ".khaywe-demo"
STATE = "demo.json"
KHAYWE = (sys.executable, "-c", "from cli.main import main; main()")
READY_SECONDS = 120.0
STOP_SECONDS = 30.0


class DemoError(KhayweError):
    """The demo cannot go on."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process and when it began, so that a later one of the same id is not taken for it."""

    id: int
    began: float

    @staticmethod
    def of(id: int) -> Process:
        """A process that lives."""
        return Process(id, psutil.Process(id).create_time())

    def find(self) -> psutil.Process | None:
        """The process, if it lives."""
        try:
            found = psutil.Process(self.id)
            # The clock that start times are told by may be set meanwhile.
            same = abs(found.create_time() - self.began) < 5
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True, slots=True)
class State:
    """What runs in a demo's home: the demo itself, until it ends, its worker and its API."""

    started: str
    web_port: int
    api_port: int
    demo: Process
    worker: Process | None = None
    api: Process | None = None
    kept: bool = False

    def running(self) -> psutil.Process | None:
        """The worker, if it lives."""
        return self.worker.find() if self.worker is not None else None


def home() -> Home:
    """At KHAYWE_HOME, or .khaywe-demo here; other KHAYWE_* no longer count: a demo uses nobody's Kafka."""
    path = Path(os.environ.get("KHAYWE_HOME") or DEFAULT).expanduser().absolute()
    for name in [name for name in os.environ if name.startswith("KHAYWE_")]:
        del os.environ[name]
    return Home(path)


class Home:
    """A directory with everything of one demo."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = self._read()

    @property
    def shown(self) -> str:
        """The path, short where it can be."""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    @property
    def log(self) -> Path:
        """The worker's log."""
        return self._log_of("worker")

    @property
    def api_url(self) -> str:
        """Where the REST API listens."""
        assert self.state is not None
        return f"http://127.0.0.1:{self.state.api_port}"

    @property
    def docs_url(self) -> str:
        """The page of the API's endpoints."""
        return f"{self.api_url}{PREFIX}/docs"

    @property
    def console_url(self) -> str:
        """The console's first page."""
        return f"{self.api_url}{CONSOLE}/"

    @property
    def used(self) -> bool:
        """Whether there is anything."""
        return self.path.exists() and any(self.path.iterdir())

    def environment(self) -> dict[str, str]:
        """The settings of the demo, as `khaywe` commands want them."""
        assert self.state is not None
        return {
            "KHAYWE_HOME": str(self.path),
            "KHAYWE_CLOCK": "event",
            "KHAYWE_WEB_PORT": str(self.state.web_port),
            "KHAYWE_API_PORT": str(self.state.api_port),
        }

    def settings(self) -> Settings:
        """The same for this process."""
        assert self.state is not None
        return Settings(
            _env_file=None, home=self.path, clock="event", web_port=self.state.web_port,
            api_port=self.state.api_port,
        )  # fmt: skip

    def runs(self) -> bool:
        """Whether a demo that was kept runs here."""
        return self.state is not None and self.state.kept and self.state.running() is not None

    def check(self) -> None:
        """Raises DemoError where the directory is not ours to use."""
        if not self.used:
            return
        if self.state is None:
            raise DemoError(
                f"{self.path} is no demo's directory: nothing in it is touched",
                hint="unset KHAYWE_HOME, or set it to a directory that does not exist",
            )
        other = self.state.demo.find()
        if other is not None and other.pid != os.getpid() and not self.state.kept:
            raise DemoError(
                f"a demo is at work in {self.shown} (process {other.pid})",
                hint="wait for its end, or set KHAYWE_HOME to another directory",
            )

    def fresh(self, progress: Progress) -> None:
        """Stop what is left of an earlier demo, remove it, and begin anew."""
        if self.used:
            self.stop(progress)
            self._empty()
        self.path.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        web, api = free_port("127.0.0.1", 0), free_port("127.0.0.1", 0)
        self._write(State(now, web, api, Process.of(os.getpid())))

    def keep(self) -> None:
        """Let everything run on."""
        assert self.state is not None
        self._write(replace(self.state, kept=True))

    def start_worker(self, progress: Progress) -> None:
        """Start a worker of its own session and wait until it is well.  Raises DemoError."""
        assert self.state is not None
        process = self._start("worker")
        self._write(replace(self.state, worker=Process.of(process.pid)))
        progress("Starting a worker (the first one here compiles the fold)", None)
        self._await(process, "worker", web_url(self.settings()))

    def start_api(self, progress: Progress) -> None:
        """Start the REST API in the same way and wait until it answers.  Raises DemoError."""
        assert self.state is not None
        process = self._start("api")
        self._write(replace(self.state, api=Process.of(process.pid)))
        progress("Starting the REST API", None)
        self._await(process, "api", self.api_url)

    def make_key(self) -> str:
        """A key of the console and the API, an admin's.  Raises DemoError."""
        done = subprocess.run(
            [*KHAYWE, "api", "key", "create", "--user", "demo", "--role", "admin"],
            cwd=self.path, env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DemoError(f"no key of the API could be made: {done.stderr.strip()}")
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment(), "KHAYWE_WORKER": "demo"}

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        log = self._log_of(command)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            return subprocess.Popen(
                [*KHAYWE, command],
                cwd=self.path,  # where no .env of somebody else's lies
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _await(self, process: subprocess.Popen[bytes], command: str, url: str) -> None:
        end = time.monotonic() + READY_SECONDS
        while faults := _faults(url):
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                if time.monotonic() > end:
                    raise DemoError(
                        f"the {command} is not ready after {READY_SECONDS:.0f} s: {faults}",
                        self._hint(command),
                    ) from None
            else:
                raise self.dead(command)

    def dead(self, command: str = "worker") -> DemoError:
        """The error that the worker, or the API, has stopped."""
        lines = self._log_of(command).read_text(errors="replace").splitlines()
        reasons = [line for line in lines if " ERROR " in line or line.startswith("error: ")] or lines[-3:]
        return DemoError(f"the {command} has stopped:\n" + "\n".join(reasons[:3]), self._hint(command))

    def alive(self) -> bool:
        """Whether the worker lives."""
        return self.state is not None and self.state.running() is not None

    def stop(self, progress: Progress) -> None:
        """Stop the API, the worker and the services; the data stays."""
        for what, process in (
            ("API", self.state and self.state.api),
            ("worker", self.state and self.state.worker),
        ):
            found = process.find() if process else None
            if found is None:
                continue
            progress(f"Stopping the {what}", None)
            found.terminate()
            try:
                found.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                found.kill()
                found.wait(STOP_SECONDS)
        services.down(Settings(_env_file=None, home=self.path), progress)

    def _log_of(self, command: str) -> Path:
        return self.path / "logs" / f"{command}.log"

    def _hint(self, command: str) -> str:
        return f"its log is {self._log_of(command)}"

    def _empty(self) -> None:
        """Remove everything, the mark that this is a demo's directory last."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != STATE:
                path.unlink()

    def _read(self) -> State | None:
        try:
            return msgspec.json.decode((self.path / STATE).read_bytes(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _write(self, state: State) -> None:
        self.state = state
        processes.write_atomically(self.path / STATE, msgspec.json.encode(state).decode() + "\n")


def _faults(url: str) -> str:
    """Why what answers at an address is not well yet, in words; empty when it is."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")
    except OSError as error:
        return str(error)
