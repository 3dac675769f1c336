"""Runs simulations for the API, one at a time, in a process of its own: they take a core for minutes."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import msgspec
from sqlalchemy import update

from agents.recorded import Contents
from agents.simulation import Simulation
from agents.simulation_report import plain
from catalog.content import Content, decode, encode
from catalog.governance.models import SimulationRow
from catalog.governance.store import Store
from config.errors import KhayweError
from config.settings import Settings
from loyalty.prepare import prepare

RUNNING, DONE, FAILED = "running", "done", "failed"


def run(settings: Settings, draft: bytes, since: str | None, until: str | None) -> dict[str, Any]:
    """The report.  In the child process.  Raises KhayweError."""
    content = decode(draft)
    try:
        contents = Contents(settings)
        base = contents.last
        content = msgspec.structs.replace(content, revision=base.revision + 1)
        prepare()
        found = Simulation(settings, content, contents, since, until).run(lambda _: None)
    except KhayweError as error:
        raise KhayweError(str(error), error.hint) from None  # its class may not travel between processes
    return {"revision": base.revision} | plain(found, content.game, base.game)


@dataclass(slots=True)
class Simulations:
    """Those that this process runs."""

    settings: Settings
    store: Store
    _pool: ProcessPoolExecutor | None = field(default=None)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, id: int, draft: Content, since: str | None, until: str | None) -> None:
        """Run one when those before are done."""
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            future = self._pool.submit(run, self.settings, encode(draft), since, until)
        future.add_done_callback(lambda done: self._ended(id, done))

    def _ended(self, id: int, done: Future[dict[str, Any]]) -> None:
        error = done.exception()
        values: dict[str, Any] = {"ended_at": datetime.now(UTC)}
        if error is None:
            values |= {"status": DONE, "report": done.result()}
        else:
            words = str(error) if isinstance(error, KhayweError) else f"{type(error).__name__}: {error}"
            values |= {"status": FAILED, "error": words}
        with self.store.session() as session:
            session.execute(update(SimulationRow).where(SimulationRow.id == id).values(values))

    def close(self) -> None:
        """Give up what is not done."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                for process in list((self._pool._processes or {}).values()):
                    process.terminate()
