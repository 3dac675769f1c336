"""What the API is made of, put together in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request

from catalog.content import Content
from catalog.database import connect
from catalog.governance.answers import Answers
from catalog.governance.audit import Caller, record
from catalog.governance.drafts import Drafts
from catalog.governance.people import People
from catalog.governance.store import Store
from catalog.governance.vault import Vault
from catalog.product_sync import ProductSyncService
from catalog.products import ProductCatalogService
from catalog.service import CatalogService, check_settings
from config.errors import KhayweError
from config.settings import Settings
from projection import schema
from web.api.desk import Desk
from web.api.oidc import Oidc
from web.api.sending import Sending
from web.api.simulating import Simulations

T = TypeVar("T")


@dataclass(slots=True)
class Parts:
    """Everything that routers use; `close` ends it."""

    settings: Settings
    store: Store
    catalog: CatalogService
    people: People
    drafts: Drafts
    vault: Vault
    answers: Answers
    oidc: Oidc
    sending: Sending
    desk: Desk
    products: ProductCatalogService
    product_sync: ProductSyncService
    simulations: Simulations
    #: What routers keep between requests, by its type.
    kept: dict[type[Any], Any] = field(default_factory=dict)
    _content: Content | None = field(default=None)
    _looking: Lock = field(default_factory=Lock)

    @staticmethod
    def open(settings: Settings) -> Parts:
        """Connect, and bring the schemas up to date.  Raises KhayweError."""
        store = Store(connect(settings.database_url(), pool=20))
        catalog = CatalogService(settings.database_url(), settings)
        catalog.ensure_first_revision()
        store.migrate()
        schema.ensure(store.engine)
        differing = check_settings(catalog.latest(), settings)
        if differing:
            raise KhayweError(
                "settings differ from the catalog: " + "; ".join(str(each) for each in differing),
                hint="the catalog counts: unset them",
            )
        people = People(store)
        sending = Sending(settings)
        simulations = Simulations(settings, store)
        simulations.give_up_lost()
        return Parts(
            settings=settings,
            store=store,
            catalog=catalog,
            people=people,
            drafts=Drafts(store, catalog),
            vault=Vault(store, settings),
            answers=Answers(store),
            oidc=Oidc(settings, people),
            sending=sending,
            desk=Desk(settings, store, sending),
            products=ProductCatalogService(settings.database_url()),
            product_sync=ProductSyncService(settings.database_url(), settings),
            simulations=simulations,
        )

    def close(self) -> None:
        """Let go of all connections."""
        self.simulations.close()
        self.desk.close()
        self.products.close()
        self.product_sync.close()
        self.sending.close()
        self.catalog.close()
        self.store.engine.dispose()

    def content(self) -> Content:
        """The newest revision; read whole only when there is a new one."""
        newest = self.catalog.revisions(None, 1)
        if self._content is None or not newest or newest[0].number != self._content.revision:
            self._content = self.catalog.latest()
        return self._content

    def lately(self, kind: type[T], look: Callable[[Parts], T], seconds: float) -> T:
        """What `look` gives, not older than that; one looks at a time."""
        with self._looking:
            at, found = self.kept.get(kind, (0.0, None))
            if found is None or monotonic() - at > seconds:
                found = look(self)
                self.kept[kind] = monotonic(), found
            return cast(T, found)

    def note(self, caller: Caller, action: str, resource: str, before: Any = None, after: Any = None) -> None:
        """Write a change that was made elsewhere into the audit log."""
        with self.store.session() as session:
            record(session, caller, action, resource, before, after)

    def publish(self) -> dict[str, Any]:
        """Bring revisions to Kafka; what an answer says of it."""
        away = self.sending.publish(self.catalog)
        return {"published": not away} | ({"reason": away} if away else {})


def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


#: The parts, in an endpoint.
P = Annotated[Parts, Depends(_parts)]
