"""Follows the topic `catalog` and keeps every revision by its number, for the agents of one process."""

from __future__ import annotations

import logging
import threading
import time

from agents.tail import Tail
from catalog.content import Content, decode
from config import topics
from config.settings import Settings
from loyalty.content import Decisions, Predictions, ScoringPolicy
from streams import metrics

log = logging.getLogger(__name__)

#: Seconds until Kafka is asked again, when it was away or the topic is missing.
AGAIN_SECONDS = 1.0
#: What counts before the first marker of a partition.
DEFAULTS = Content(
    revision=0, created_at="", decisions=Decisions(), policy=ScoringPolicy(),
    predictions=Predictions(enabled=False),
)  # fmt: skip


class CatalogFeed:
    """Every revision, as a thread of its own reads it.  Kafka away means waiting, with what there is."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._revisions: dict[int, Content] = {}
        self._latest: Content | None = None
        self._caught_up = False
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="catalog feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def latest(self) -> Content | None:
        """The newest revision read so far."""
        return self._latest

    def get(self, revision: int, timeout: float) -> Content | None:
        """The revision of that number, once it is there; None after `timeout` seconds.  0 is the defaults."""
        if revision == 0:
            return DEFAULTS
        with self._changed:
            self._changed.wait_for(lambda: revision in self._revisions, timeout)
            return self._revisions.get(revision)

    def wait_first(self, timeout: float) -> Content | None:
        """The newest revision, once the topic is read to its end; None if there is none within `timeout`."""
        with self._changed:
            self._changed.wait_for(lambda: self._caught_up and self._latest is not None, timeout)
            return self._latest if self._caught_up else None

    @property
    def revisions(self) -> list[int]:
        """Numbers read so far, ascending."""
        return sorted(self._revisions)

    def stop(self) -> None:
        """Stop reading."""
        self._stopping = True
        self._thread.join(timeout=10)

    def _run(self) -> None:
        said = ""
        while not self._stopping:
            try:
                self._follow()
            except Exception as error:
                if str(error) != said:
                    log.warning("waiting for the catalog: %s", error)
                said = str(error)
                time.sleep(AGAIN_SECONDS)

    def _follow(self) -> None:
        tail = Tail(self._settings, topics.CATALOG)
        try:
            for record in tail.to_end():
                self._take(record.value(), record.offset())
            with self._changed:
                self._caught_up = True
                self._changed.notify_all()
            while not self._stopping:
                for record in tail.poll(0.1):
                    self._take(record.value(), record.offset())
        finally:
            tail.close()

    def _take(self, value: bytes | None, offset: int | None) -> None:
        try:
            content = decode(value or b"")
            content.policy.validate()
        except ValueError as error:
            log.error("%s, offset %s: left out, it is no revision: %s", topics.CATALOG, offset, error)
            return
        with self._changed:
            self._revisions[content.revision] = content
            if self._latest is None or content.revision > self._latest.revision:
                self._latest = content
                metrics.CATALOG_REVISION.set(content.revision)
            self._changed.notify_all()
