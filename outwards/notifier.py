"""Change notification outwards, beside the agents of a worker: a delivery for each subscription.

However many workers run this, a lease in PostgreSQL gives each subscription to one of them.  All deliveries
run in one event loop in a thread of its own: whoever waits for a receiver holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import KafkaException
from prometheus_client import start_http_server

from catalog.database import connect
from catalog.database import migrate as migrate_catalog
from catalog.governance.store import Store
from catalog.leases import HOLD_SECONDS, Lease, LeaseLost, Leases
from config.errors import KhayweError
from config.settings import Settings
from outwards.delivering import Delivery, Suspended
from outwards.ledger import Changed, Ledger, Look, News
from outwards.store import migrate
from outwards.subscriptions import LEASE
from outwards.trying import Policy
from streams import metrics
from streams.identity import free_port

log = logging.getLogger(__name__)

#: Subscriptions of one process at a time; more want another process.
AT_ONCE = 50
#: Seconds between two looks at what there is, and between two tries to take one lease.
LOOK_SECONDS, TRY_SECONDS = 1.0, 5.0
#: Seconds between two times that old dead letters are removed.
PRUNE_SECONDS = 3_600.0
STOP_SECONDS = 10.0

for _result in ("delivered", "failed", "dead"):
    metrics.NOTIFICATIONS.labels(_result)  # from 0 on, so that the first one is seen to come


def no_step(name: str) -> None:
    """Nobody watches the steps."""


@dataclass(frozen=True, slots=True)
class _Running:
    look: Look
    delivery: Delivery
    task: asyncio.Task[None]


class Notifier:
    """Delivers what there is to deliver, from `start` to `stop`."""

    def __init__(
        self, settings: Settings, holder: str, policy: Policy | None = None, hold: float = HOLD_SECONDS,
        on_step: Callable[[str], None] = no_step,
    ) -> None:  # fmt: skip
        self._settings, self._holder, self._hold, self._on_step = settings, holder, hold, on_step
        self._policy = policy or Policy.of(settings)
        self._running: dict[str, _Running] = {}
        self._tried: dict[str, float] = {}
        self._pruned = -PRUNE_SECONDS
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._begun = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is under way is told again by whoever goes on, unless it was answered."""
        self._begun.wait(STOP_SECONDS)
        with suppress(RuntimeError):  # it has ended already
            if self._loop is not None and self._stopping is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS)

    def until_told(self) -> None:
        """Run until the process is asked to end, where nothing else runs in it; it shows `/metrics` only."""
        told = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: told.set())
        port = free_port(self._settings.web_host, self._settings.web_port)
        server, _ = start_http_server(port, self._settings.web_host)
        log.info("notifier: metrics at http://%s:%d/metrics", self._settings.web_host, port)
        self.start()
        told.wait()
        self.stop()
        server.shutdown()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        # Threads wait for PostgreSQL, and for names that a receiver's name server may never answer.
        self._loop.set_default_executor(ThreadPoolExecutor(AT_ONCE + 16, thread_name_prefix="notifier"))
        self._begun.set()
        engine = connect(self._settings.database_url(), pool=8)
        store, leases = Store(engine), Leases(engine, self._holder, self._hold)
        ledger = Ledger(store, self._settings, leases)
        made = failing = False
        while not self._stopping.is_set():
            try:
                if not made:
                    await asyncio.to_thread(migrate_catalog, engine)
                    await asyncio.to_thread(migrate, store)
                    made = True
                await self._look(ledger, leases)
                failing = False
            except Exception as error:
                if not failing:
                    log.warning("notifier: %s; goes on trying", error)
                failing = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_SECONDS)
        await self._end(list(self._running.values()))
        engine.dispose()

    async def _look(self, ledger: Ledger, leases: Leases) -> None:
        assert self._loop is not None
        now = self._loop.time()
        if now - self._pruned > PRUNE_SECONDS:
            await asyncio.to_thread(ledger.prune)
            self._pruned = now
        found, suspended = await asyncio.to_thread(ledger.looks)
        metrics.NOTIFICATIONS_SUSPENDED.set(suspended)
        looks = {look.id: look for look in found}
        over = [
            each
            for id, each in self._running.items()
            if id not in looks or looks[id].version != each.look.version
        ]
        await self._end(over)
        for each in over:
            self._tried.pop(each.look.id, None)
        self._tried = {id: at for id, at in self._tried.items() if id in looks}
        for id, look in looks.items():
            if id in self._running:
                if look.again:
                    self._running[id].delivery.again.set()
                continue
            if len(self._running) >= AT_ONCE or now - self._tried.get(id, -TRY_SECONDS) < TRY_SECONDS:
                continue
            self._tried[id] = now
            lease = await asyncio.to_thread(leases.take, LEASE + id)
            if lease is not None:
                delivery = Delivery(
                    self._settings, ledger, look, lease, self._policy, self._hold / 4, self._on_step
                )
                task = asyncio.create_task(self._deliver(delivery, ledger, leases, look, lease))
                self._running[id] = _Running(look, delivery, task)

    async def _end(self, over: list[_Running]) -> None:
        for each in over:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in over), return_exceptions=True)

    async def _deliver(
        self, delivery: Delivery, ledger: Ledger, leases: Leases, look: Look, lease: Lease
    ) -> None:
        try:
            await delivery.run()
        except Changed:
            self._tried.pop(look.id, None)
        except LeaseLost as lost:
            log.info("%s", lost)
        except Suspended as why:
            log.warning("subscription %s is suspended: %s", look.id, why)
        except (KhayweError, KafkaException) as error:
            words = f"Kafka: {error.args[0].str()}" if isinstance(error, KafkaException) else str(error)
            log.warning("subscription %s: %s; goes on trying", look.id, words)
            await asyncio.to_thread(self._note, ledger, look, lease, words)
        except Exception:
            log.exception("subscription %s: the delivery failed; goes on trying", look.id)
        finally:
            self._running.pop(look.id, None)
            try:
                await asyncio.shield(asyncio.to_thread(leases.release, lease, None))
            except KhayweError as error:
                log.info("%s", error)

    def _note(self, ledger: Ledger, look: Look, lease: Lease, words: str) -> None:
        """What keeps it from delivering, for whoever looks at the subscription."""
        with suppress(Changed, KhayweError):  # PostgreSQL is what is away, or somebody else has it now
            ledger.keep(look.id, lease, News(error=(words, datetime.now(UTC))))
