"""The projection's first rows: whom nobody may know, and what only a snapshot still tells.

Topics begin where retention has cut them.  Of customers who were silent since, a snapshot of the customer
table tells when they were seen, their badges, tier, points and running missions; how those came, nothing.
Whoever is erased stands on topic `erasures`, which is never cut, and is raised by nothing here.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from agents.places import starts
from agents.tail import KafkaAway, Tail
from config import topics
from config.settings import Settings
from loyalty import standing
from loyalty.effects import digest, mission_id
from loyalty.game import LEVELS
from loyalty.moving import in_control
from loyalty.points import balance
from loyalty.policy import compile_policy
from loyalty.row import OPEN
from loyalty.state import ROW_KEY
from loyalty.times import iso, parse_many
from loyalty.upgrade import current_many
from projection import founding
from projection.eras import Contents, Eras
from projection.writer import TOPICS, Start, Writer
from streams.batches import Aborted, Partition
from streams.topics import width
from tables import snapshots
from tables.errors import TableError

log = logging.getLogger(__name__)

_COMPACTED = (topics.BEHAVIOR_SCORES, topics.PREDICTIONS, topics.ERASURES)


def found(settings: Settings, writer: Writer, contents: Contents, again: bool = False) -> None:
    """Make the projection's first rows, where nobody has yet; `again`: empty it, and make them anew.

    Raises Away, WrongVersion, KafkaException, Aborted where Kafka went meanwhile.
    """
    writer.found(lambda cursor: _fill(settings, contents, cursor), again)


def _fill(settings: Settings, contents: Contents, cursor: Any) -> None:
    erased = _erased(settings)
    founding.erased(cursor, erased.items())
    admin = AdminClient(settings.kafka_config(log_level=2))
    places = [Partition(topic, number) for topic in TOPICS for number in range(width(settings))]
    found = starts(admin, places)
    cut = {place[1] for place, start in found.items() if start.low and place[0] not in _COMPACTED}
    known: set[bytes] = set()
    for partition in sorted(cut):
        seeds = _Seeds(cursor, contents, partition, erased)
        known |= _sown(settings, seeds, partition, found[topics.CUSTOMER_EVENTS, partition])
    if cut:
        founding.closed(cursor, erased.keys() - known)


def _erased(settings: Settings) -> dict[bytes, int]:
    """Hash of whoever is erased -> when that was recorded, ms."""
    found: dict[bytes, int] = {}
    try:
        tail = Tail(settings, topics.ERASURES)
        try:
            for record in tail.to_end():
                key = record.key() or b""
                if len(key) == 32 and record.value() is not None:
                    found[bytes.fromhex(key.decode())] = record.timestamp()[1]
        finally:
            tail.close()
    except KafkaAway as away:
        raise Aborted(str(away)) from away
    return found


def _sown(settings: Settings, seeds: _Seeds, partition: int, start: Start) -> set[bytes]:
    """Hashes of the customers whom the newest snapshot that can be used tells of."""
    root = snapshots.directory(settings)
    for path in reversed(snapshots.found(root, partition)):
        try:
            header = snapshots.read_header(path)
            if header.log == start.topic_id and header.partitions == settings.partitions:
                return seeds.sow(path)
            log.warning("projection: %s is of another log or of other partitions: left out", path)
        except TableError as error:
            log.warning("projection: %s", error)
    log.warning(
        "projection: retention has cut the topics of partition %d, and there is no snapshot of it in %s: "
        "customers who were silent since are not known", partition, root,
    )  # fmt: skip
    return set()


class _Seeds:
    """Rows of one partition's snapshot."""

    def __init__(self, cursor: Any, contents: Contents, partition: int, erased: dict[bytes, int]) -> None:
        self._cursor = cursor
        self._contents = contents
        self._eras = Eras(contents)
        self._partition = partition
        self._erased = erased

    def sow(self, path: Path) -> set[bytes]:
        """Write what open customers' rows tell; returns the hashes of their ids.

        Raises TableError, and has written nothing then.
        """
        self._cursor.execute("savepoint sown")
        try:
            return self._sow(path)
        except TableError:
            self._cursor.execute("rollback to savepoint sown")
            raise

    def _sow(self, path: Path) -> set[bytes]:
        header = snapshots.read_header(path)
        # In whole seconds, rounded down: whoever was erased within that second is not raised either.
        created = round(datetime.fromisoformat(header.created_at).timestamp() * 1000)
        sown: set[bytes] = set()
        for block in snapshots.read(path):
            entries = [(key[1:], value) for key, value in block if key[:1] == ROW_KEY]
            if entries:
                sown |= self._block(entries, header.revision, created)
        log.info("projection: %d customers of partition %d from %s", len(sown), self._partition, path)
        return sown

    def _block(self, entries: Sequence[tuple[bytes, bytes]], revision: int, created: int) -> set[bytes]:
        rows = current_many([id for id, _ in entries], [value for _, value in entries])
        content = self._contents(revision)
        game, policy = content.game, compile_policy(content, revision)[0]
        values: defaultdict[str, list[tuple[object, ...]]] = defaultdict(list)
        sown = set()
        for (id, _), row in zip(entries, rows, strict=True):
            hash_ = digest(id)
            if row["state"] != OPEN or self._erased.get(hash_, -1) >= created:
                continue
            sown.add(hash_)
            customer, as_of, place = id.decode(), iso(int(row["as_of"])), (self._partition, iso(created))
            day = self._eras.date(int(row["day"]))
            first = int(row["first_event"]) or int(row["as_of"])
            opened = int(row["opened_at"])
            values["customers"].append((
                customer, hash_, "open", iso(opened) if opened else None, iso(first),
                iso(int(row["last_activity"]) or first), b"", *place,
            ))  # fmt: skip
            if in_control(row["id_hash"], policy):
                continue  # the same fold runs for them, but nothing of it is theirs
            for mission in standing.missions(row, self._contents):
                if mission["status"] == "active":
                    started = int(parse_many([mission["started_at"]])[0]) // 1000
                    values["missions"].append((
                        mission_id(customer, mission["number"], started), customer, mission["number"],
                        mission["name"], mission["category"], "active", "", mission["progress"],
                        mission["target"], mission["percent"] // 10, mission["started_at"],
                        mission["ends_at"], as_of, day, mission["revision"], *place,
                    ))  # fmt: skip
            for badge in game.badges:
                for level in standing.held_levels(row, badge.number):
                    named = f"snapshot:{badge.number}:{level}"
                    values["badges"].append((
                        customer, as_of, digest(named.encode()).hex(), day, revision, "khaywe", named,
                        *place, -1, badge.number, badge.name, level, LEVELS[level - 1], "snapshot",
                    ))  # fmt: skip
            tier = int(row["tier"])
            if tier and tier < len(game.tiers):
                values["tiers"].append((customer, tier, game.tiers[tier].name, as_of, *place))
            points = int(balance(row))
            if points:
                values["balances"].append((customer, points, as_of, *place))
        for table, each in values.items():
            founding.rows(self._cursor, table, each)
        return sown
