"""What is due on a schedule, fetched beside the agents of a worker: polled data sources and products.

However many workers run this, a lease in PostgreSQL gives each run to one of them.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaException
from sqlalchemy import Engine

from agents.background import Repeating
from agents.catalog_feed import CatalogFeed
from agents.polling import PREFIX, run
from catalog.content import SourceContent
from catalog.database import connect, migrate
from catalog.leases import Lease, LeaseLost, Leases
from catalog.product_sync import frequencies, sync_system
from catalog.schema import Connection
from config.errors import KhayweError
from config.settings import Settings

log = logging.getLogger(__name__)

#: Runs of one worker at a time; others wait for their turn.
AT_ONCE = 4
#: Seconds between two looks at what is due.
LOOK_SECONDS = 1.0
#: Seconds at most between two tries to take one lease: another worker may have died holding it.
TRY_SECONDS = 5.0
STOP_SECONDS = 10.0

#: A run of something that is due, on a lease that was taken.
Job = Callable[[Leases, Lease, threading.Event], object]
#: By name of the lease: seconds between two runs, and the run.
Due = Callable[[Engine], dict[str, tuple[float, Job]]]


class Poller:
    """Runs what is due, in threads of its own, beside the agents of a worker."""

    def __init__(self, settings: Settings, holder: str, due: Due) -> None:
        self._settings, self._holder, self._due = settings, holder, due
        self._engine: Engine | None = None
        self._running: dict[str, threading.Thread] = {}
        self._tried: dict[str, float] = {}
        self._stopping = threading.Event()
        self._looking = Repeating("poller", LOOK_SECONDS, self._look)

    def start(self) -> None:
        """Begin."""
        self._looking.start()

    def stop(self) -> None:
        """End after the pages under way; what is left goes on in another worker."""
        self._stopping.set()
        self._looking.stop()
        end = time.monotonic() + STOP_SECONDS
        for thread in list(self._running.values()):
            thread.join(max(0.0, end - time.monotonic()))

    def until_told(self) -> None:
        """Run until the process is asked to end, where nothing else runs in it."""
        told = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: told.set())
        self.start()
        told.wait()
        self.stop()

    def _look(self) -> None:
        if self._engine is None:
            engine = connect(self._settings.database_url())
            migrate(engine)
            self._engine = engine
        leases = Leases(self._engine, self._holder)
        now = time.monotonic()
        for name, (every, job) in self._due(self._engine).items():
            self._running = {each: thread for each, thread in self._running.items() if thread.is_alive()}
            if self._stopping.is_set() or len(self._running) >= AT_ONCE:
                return
            if name in self._running or now - self._tried.get(name, -TRY_SECONDS) < min(every, TRY_SECONDS):
                continue
            self._tried[name] = now
            lease = leases.take(name, every)
            if lease is not None:
                # Daemons: an answer that does not come must not keep the process.
                thread = threading.Thread(target=self._do, args=(job, leases, lease), name=name, daemon=True)
                self._running[name] = thread
                thread.start()

    def _do(self, job: Job, leases: Leases, lease: Lease) -> None:
        try:
            job(leases, lease, self._stopping)
        except LeaseLost as lost:
            log.info("%s", lost)
        except KhayweError as error:
            log.warning("%s: %s%s", lease.name, error, f" ({error.hint})" if error.hint else "")
        except KafkaException as error:
            log.warning("%s: Kafka: %s", lease.name, error.args[0].str())
        except Exception:
            log.exception("%s: the run failed", lease.name)


def poller(settings: Settings, worker: str) -> Poller:
    """All that this worker may fetch: polled data sources, and products whose syncs are scheduled."""
    feed = CatalogFeed(settings)
    feed.start()
    sources, products = source_jobs(settings, feed), product_jobs(settings)
    return Poller(settings, worker, lambda engine: sources(engine) | products(engine))


def source_jobs(settings: Settings, feed: CatalogFeed) -> Due:
    """The polled data sources that are switched on, as the newest revision has them."""

    def job(source: SourceContent) -> Job:
        return lambda leases, lease, stopping: run(settings, leases, lease, source, stopping)

    def due(engine: Engine) -> dict[str, tuple[float, Job]]:
        content = feed.latest()
        found: dict[str, tuple[float, Job]] = {}
        for source in content.sources if content is not None else ():
            if source.is_active and source.connection_config.get("poll") is not None:
                interval = Connection.model_validate(source.connection_config).interval
                found[PREFIX + source.name] = (interval, job(source))
        return found

    return due


def product_jobs(settings: Settings) -> Due:
    """The systems whose products are synced on a schedule, as PostgreSQL has them."""
    known: dict[str, tuple[float, Job]] = {}
    looked = -TRY_SECONDS

    def due(engine: Engine) -> dict[str, tuple[float, Job]]:
        nonlocal known, looked
        if time.monotonic() - looked >= TRY_SECONDS:

            def job(leases: Leases, lease: Lease, stopping: threading.Event) -> object:
                return sync_system(engine, settings, leases, lease, stopping.wait)

            known = {name: (every, job) for name, every in frequencies(engine).items()}
            looked = time.monotonic()
        return known

    return due
