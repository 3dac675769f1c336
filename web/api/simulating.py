"""Runs simulations for the API, one at a time, in a process of its own: they take a core for minutes.

While an API runs one, it holds a lock of PostgreSQL's on it, which ends with the API: so whoever looks knows
which of those that say `running` nobody runs any more.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

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
#: The first number of the locks; the second is the simulation's.
LOCK = 7_310_426
LOST = "the API that ran it has ended; simulate again"
_HOLD = text("select pg_advisory_lock(:lock, :id)")
_LET_GO = text("select pg_advisory_unlock(:lock, :id)")


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
    _holding: Connection | None = None
    _holder: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, id: int) -> None:
        """Say that this process runs one, before anybody else can see it."""
        with self._holder:
            if self._holding is None:
                connection = self.store.engine.connect()
                self._holding = connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                self._holding.execute(_HOLD, {"lock": LOCK, "id": id})
            except SQLAlchemyError:
                self._holding.close()
                self._holding = None
                raise

    def _let_go(self, id: int) -> None:
        with self._holder:
            if self._holding is not None:
                try:
                    self._holding.execute(_LET_GO, {"lock": LOCK, "id": id})
                except SQLAlchemyError:  # with the connection the lock is gone, too
                    self._holding.close()
                    self._holding = None

    def give_up_lost(self) -> None:
        """Those that nobody runs any more have failed: their process has ended."""
        with self.store.session() as session:
            running = select(SimulationRow.id).where(SimulationRow.status == RUNNING)
            for id in session.scalars(running).all():
                if session.scalar(select(func.pg_try_advisory_xact_lock(LOCK, id))):
                    session.execute(
                        update(SimulationRow)
                        .where(SimulationRow.id == id, SimulationRow.status == RUNNING)
                        .values(status=FAILED, ended_at=func.now(), error=LOST)
                    )

    def start(self, id: int, draft: Content, since: str | None, until: str | None) -> None:
        """Run one when those before are done."""
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
            future = self._pool.submit(run, self.settings, encode(draft), since, until)
        future.add_done_callback(lambda done: self._ended(id, done))

    def _ended(self, id: int, done: Future[dict[str, Any]]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        values: dict[str, Any] = {"ended_at": datetime.now(UTC)}
        if error is None:
            values |= {"status": DONE, "report": done.result()}
        else:
            words = str(error) if isinstance(error, KhayweError) else f"{type(error).__name__}: {error}"
            values |= {"status": FAILED, "error": words}
        with self.store.session() as session:
            session.execute(update(SimulationRow).where(SimulationRow.id == id).values(values))
        self._let_go(id)

    def close(self) -> None:
        """Give up what is not done."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                for process in list((self._pool._processes or {}).values()):
                    process.terminate()
        with self._holder:
            if self._holding is not None:
                self._holding.close()
                self._holding = None
