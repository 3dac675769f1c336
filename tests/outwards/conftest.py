"""Subscriptions in a database of their own, what is told on real topics, receivers, notifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from catalog.database import connect
from catalog.database import migrate as migrate_catalog
from catalog.governance.audit import Caller
from catalog.governance.store import Store
from catalog.governance.vault import Vault
from catalog.service import Away
from config.settings import Settings
from config.topics import registry
from outwards.models import SubscriptionRow
from outwards.notifier import Notifier
from outwards.reading import places
from outwards.store import migrate
from outwards.subscriptions import Subscriptions, Wanted
from outwards.trying import Policy
from streams import topics
from tests.faults.harness import until
from tests.outwards.receiver import Receiver
from tests.outwards.told import Told

BY_TEST = Caller("test", "admin", "cli")
SECRET = "a secret of the tests"
#: Quick, where a test does not wait for the end of it.
QUICK = Policy(tries=4, hours=1.0, first=0.05, longest=0.2)
#: Seconds a lease is held; a killed notifier's subscriptions wait that long.
HOLD = 3.0


@pytest.fixture
def settings(services: Settings, database: str) -> Settings:
    """Its topics are there, callbacks may be of this machine."""
    if topics.create(services):
        until("the new topics have leaders", lambda: _asked(services))
    return services.model_copy(update={"database": database, "notify_private": True, "notify_timeout": 2.0})


def _asked(settings: Settings) -> bool:
    try:
        return bool(places(settings, {topic.name for topic in registry(settings)}))
    except Away:
        return False


@pytest.fixture
def subscriptions(settings: Settings) -> Iterator[Subscriptions]:
    """Empty."""
    engine = connect(settings.database_url())
    store = Store(engine)
    migrate_catalog(engine)
    store.migrate()
    migrate(store)
    yield Subscriptions(store, Vault(store, settings), settings)
    engine.dispose()


@pytest.fixture
def told(settings: Settings) -> Told:
    """What sends effects."""
    return Told(settings)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that takes everything until told otherwise."""
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another one."""
    found = Receiver()
    yield found
    found.close()


Subscribe = Callable[..., SubscriptionRow]


@pytest.fixture
def subscribe(subscriptions: Subscriptions) -> Subscribe:
    """`subscribe(receiver, query)`."""

    def made(receiver: Receiver, query: str = "") -> SubscriptionRow:
        return subscriptions.add(Wanted(receiver.url, query), SECRET, BY_TEST)[0]

    return made


Notify = Callable[..., Notifier]


@pytest.fixture
def notify(settings: Settings) -> Iterator[Notify]:
    """`notify()` starts a notifier, which ends with the test if not before."""
    begun: list[Notifier] = []

    def started(policy: Policy = QUICK, **more: object) -> Notifier:
        found = Notifier(settings.model_copy(update=more), f"n-{uuid4().hex[:4]}", policy, HOLD)
        found.start()
        begun.append(found)
        return found

    yield started
    for each in begun:
        each.stop()


@pytest.fixture
def customer() -> str:
    """An id of nobody else."""
    return f"c-{uuid4().hex[:10]}"
