"""The page of cores and disks for an operator of 13 million customers, from what bench/results.json holds.

A figure that is not there yet makes everything that needs it "not measured yet"; nothing is guessed for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from config import topics
from config.settings import Settings
from docs.made.markdown import table
from docs.made.results import MISSING, Results, at, number, read
from loyalty.asking import SETS
from loyalty.row import ROW

SETTINGS = Settings.model_construct()
REGISTRY = {topic.name: topic for topic in topics.registry(SETTINGS)}
#: Topics that the projector reads.
EFFECTS = (
    topics.BEHAVIOR_SCORES, topics.MISSION_PROGRESS, topics.BADGE_AWARDS, topics.REWARD_GRANTS,
    topics.DECISIONS, topics.CAMPAIGN_TRIGGERS, topics.PREDICTIONS,
)  # fmt: skip

# What is assumed; `_assumed` says of each what it is, and where it is from.
CUSTOMERS, EVENTS, PEAK, LOAD = 13_000_000, 900_000, 2, 0.6
CORES, PARTITIONS = 2, 4
REPLICAS, DAYS, SEGMENT = 3, 7, 1 << 30
OLD = float(REGISTRY[topics.CHANGELOG].config()["min.cleanable.dirty.ratio"])
STORE_ROOM = 2
SERVERS, TABLE_ROOM = 2, 1.5
DISK, FILLED = 4_000_000_000_000, 0.7
AWAY = SETTINGS.session_timeout
DAY = 86_400

HEAD = f"""\
# Capacity

Cores, memory and disks for {CUSTOMERS:,} customers and {EVENTS:,} raw events a second, computed from what was
measured ([Performance](performance.md)) and what is assumed. Every assumption is a row of the first table:
put your own in its place and follow the formulas. The measurements are of a small machine; ratios travel
between machines, rates do not, so measure yours (`make bench`).

Signs stand for rows of the first two tables. What needs a figure that no benchmark has brought yet says
"{MISSING}". This page is made from `bench/results.json`: `python -m docs.made`.
"""

Value = float | None


def page(results: Results | None = None) -> str:
    """The page, in Markdown; `results` are shaped like bench/results.json, which is read without them."""
    costs = _Costs(read() if results is None else results)
    measured = table(("sign", "what", "value", "in `bench/results.json`"), costs.rows())
    sections = {
        "Assumed": table(("sign", "what", "value", "from"), _assumed()),
        "Measured": [*measured, "", costs.when()],
        "Workers": _workers(costs),
        "One worker": _one(costs),
        "Kafka": _kafka(costs),
        "PostgreSQL": _postgresql(costs),
        "In all": _all(costs),
    }
    lines = [HEAD]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines).rstrip() + "\n"


def _assumed() -> list[tuple[str, str, str, str]]:
    sizing = "[Operating](operating.md#sizing)"
    return [
        ("C", "customers", f"{CUSTOMERS:,}", "the operator this is computed for"),
        ("E", "raw events a second, mean of a day", f"{EVENTS:,}", "the operator this is computed for"),
        ("P", "busiest minute over the mean", f"{PEAK}", "chosen; 1 where E is the peak already"),
        ("U", "load of a worker at the peak", f"{LOAD:.0%}", "chosen: the rest works off what has waited"),
        ("W", "cores of a worker", f"{CORES}", f"{sizing}: one for the work of both apps, which share a GIL"),
        ("Q", "partitions of a worker", f"{PARTITIONS}", sizing),
        ("R", "replicas on Kafka", f"{REPLICAS}", "`KHAYWE_REPLICATION` in production"),
        (
            "D",
            "days that Kafka keeps",
            f"{DAYS}",
            f"chosen; `KHAYWE_RETENTION` is {SETTINGS.retention} by itself",
        ),
        (
            "K",
            "share of a compacted log that may be old",
            f"{OLD:.0%}",
            "`config/topics.py`, for the changelog",
        ),
        ("G", "segment of a log, not compacted while it is written", _bytes(SEGMENT), "Kafka's default"),
        ("S", "room of a store over its rows", f"{STORE_ROOM}", f"{sizing}: RocksDB while it compacts"),
        ("B", "PostgreSQL servers with all of the data", f"{SERVERS}", "chosen: one, and a standby"),
        ("T", "room of tables, indexes, WAL over what was measured", f"{TABLE_ROOM}", "chosen"),
        ("N", "size of a disk", _bytes(DISK), "chosen"),
        ("F", "how full a disk may be", f"{FILLED:.0%}", "chosen"),
        (
            "L",
            "until a dead worker's partitions move on",
            f"{AWAY:g} s",
            "`KHAYWE_SESSION_TIMEOUT` by itself",
        ),
    ]


class _Costs:
    """What was measured, None where it was not, and what follows of workers."""

    def __init__(self, results: Results) -> None:
        self._results = results
        rate = "khaywe.events_per_cpu_second"
        self.dense_at = f"comparison.{rate}" if self._of(f"comparison.{rate}") else rate
        self.dense = self._of(self.dense_at)
        self.sparse_at = "khaywe.sparse_events_per_cpu_second"
        self.sparse = self._of(self.sparse_at)
        if self.sparse is None:
            # Known by the clock alone: the CPU's share is taken for the same.
            self.sparse_at = "khaywe.sparse_events_per_second / khaywe.events_per_second"
            self.sparse = _given(lambda r, part: r * part, self.dense, self._share(self.sparse_at))
        self.million = self._of("settled.1000000.events_per_cpu_second")
        self.models = self._of("khaywe.models_rate_share")
        self.due = self._of("khaywe.microseconds_a_due_customer")
        self.resident = self._of("khaywe.resident_bytes")
        self.cold = self._share("khaywe.restore_resident_bytes / khaywe.rows")
        self.stored = self._of("khaywe.stored_row_bytes")
        self.empty = self._of("khaywe.restore_rows_per_second")
        self.warm = self._of("khaywe.warm_start_rows_per_second")
        self.sql = self._share("console.database_bytes / console.customers")
        self.projected = self._of("projection.effects_per_cpu_second_with_postgresql")
        soak = results.get("soak", {})
        self.bytes_of: dict[str, float] = soak.get("bytes_a_record", {})
        self.records_of: dict[str, float] = soak.get("records_a_record", {})

        self.workers = self.workers_at(self.dense)
        self.own = _given(lambda workers: CUSTOMERS / workers, self.workers)

    def _of(self, path: str) -> Value:
        found = at(self._results, path)
        return None if found is None else float(found)

    def _share(self, paths: str) -> Value:
        return _given(lambda a, b: a / b, *map(self._of, paths.split(" / ")))

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Of the table."""
        rate = "raw events a CPU second of a worker, both hops"
        yield "r", f"{rate}, 150 records a customer", number(self.dense), f"`{self.dense_at}`"
        yield (
            "r'",
            f"{rate}, 15 records a customer",
            number(self.sparse),
            f"`{self.sparse_at}`" + (", of r" if "/" in self.sparse_at else ""),
        )
        place = "`settled.1000000.events_per_cpu_second`"
        yield "r''", f"{rate}, a million customers", number(self.million), place
        place = "`khaywe.models_rate_share`, by the clock"
        yield "m", "rate with models inline, of that without", number(self.models, ",.3f"), place
        place = "`khaywe.microseconds_a_due_customer`"
        yield "t", "CPU of a customer's daily refresh", number(self.due, ",.1f", " µs"), place
        place = "`khaywe.resident_bytes`"
        yield "b", "memory of a worker at full load, few customers", _bytes(self.resident), place
        place = "`khaywe.restore_resident_bytes / khaywe.rows`, the process itself included"
        yield "i", "memory for a customer whose row is on disk", _bytes(self.cold), place
        yield "h", "memory of a row that is held", _bytes(ROW.itemsize), "not there, but in `loyalty/row.py`"
        yield "s", "a row as stored", _bytes(self.stored), "`khaywe.stored_row_bytes`"
        place = "`khaywe.restore_rows_per_second`"
        yield "c", "rows a second from the changelog into an empty store", number(self.empty), place
        place = "`khaywe.warm_start_rows_per_second`"
        yield "w", "rows a second from a store that is there", number(self.warm), place
        place = "`console.database_bytes / console.customers`"
        yield "q", "PostgreSQL for a customer with a year of rows", _bytes(self.sql), place
        place = "`projection.effects_per_cpu_second_with_postgresql`"
        yield "j", "effects a CPU second, projector and PostgreSQL", number(self.projected), place

    def when(self) -> str:
        """Commits of the measurements."""
        commits = sorted(self._results.get("commits", {}).items())
        told = ", ".join(f"`{part}` at {commit}" for part, commit in commits)
        return f"Measured by `python -m bench`: {told or 'nothing'}. What stands without one is older."

    def busy(self, rate: Value) -> Value:
        """Cores that workers keep busy at the peak, by raw events a CPU second."""
        return _given(
            lambda rate, models, due: EVENTS * PEAK / (rate * models) + CUSTOMERS * due / 1e6 / DAY,
            rate,
            self.models,
            self.due,
        )

    def workers_at(self, rate: Value) -> Value:
        """How many it takes."""
        return _given(lambda busy: math.ceil(busy / LOAD), self.busy(rate))


def _given(formula: Callable[..., float], *values: Value) -> Value:
    """The figure, None where one of its values is."""
    return None if None in values else formula(*values)


def _workers(costs: _Costs) -> list[str]:
    loads = {
        "customers with much behind them": ("r", costs.dense),
        "first days of everybody": ("r'", costs.sparse),
        "a million customers a worker": ("r''", costs.million),
    }
    rows = []
    for load, (sign, rate) in loads.items():
        workers = costs.workers_at(rate)
        cores = _given(lambda workers: workers * CORES, workers)
        partitions = _given(lambda workers: workers * PARTITIONS, workers)
        figures = (number(costs.busy(rate), ",.1f"), number(workers), number(cores), number(partitions))
        rows.append((load, sign, *figures))
    return [
        *table(("load", "rate", "cores busy at the peak", "workers", "cores", "partitions"), rows),
        "",
        f"Cores busy = E · P / (rate · m) + C · t / {DAY:,}; workers = ceil(cores busy / U);",
        "cores = workers · W; partitions = workers · Q.",
        "",
        f"Such a customer has {EVENTS * DAY / CUSTOMERS:,.0f} records a day, more than in any run:",
        "what follows is computed with the first row. Projector, poller, notifier and API are not in it.",
    ]


def _one(costs: _Costs) -> list[str]:
    memory = _given(
        lambda base, cold, own: base + own * (cold + ROW.itemsize), costs.resident, costs.cold, costs.own
    )
    disk = _given(lambda stored, own: STORE_ROOM * stored * own, costs.stored, costs.own)
    empty, warm = (
        _given(lambda own, rate: AWAY + own / rate, costs.own, rate) for rate in (costs.empty, costs.warm)
    )
    waited = _given(lambda seconds: seconds * LOAD / (1 - LOAD), empty)
    return table(
        ("what", "formula", "figure"),
        [
            ("its customers, all of them held: `KHAYWE_CACHE_ROWS`", "C / workers", number(costs.own)),
            ("memory", "b + C / workers · (i + h)", _bytes(memory)),
            ("disk of its store", "S · s · C / workers", _bytes(disk)),
            (
                "until one other works for a dead one's customers",
                "L + C / workers / c",
                number(empty, ",.1f", " s"),
            ),
            ("the same, where its store is there", "L + C / workers / w", number(warm, ",.1f", " s")),
            (
                "until what waited meanwhile, at the peak, is worked off",
                "(L + C / workers / c) · U / (1 − U)",
                number(waited, ",.1f", " s"),
            ),
        ],
    )


#: Disk of a topic that keeps days, and of one that keeps the last of each key.
_DAYS, _LAST = f"v · E · {DAY:,} · D · R", "R · (C · z / (1 − K) + workers · Q · G)"


def _disk_of(costs: _Costs) -> dict[str, tuple[str, Value]]:
    """By topic: formula, and disk of all brokers."""
    raw = [name for name in costs.bytes_of if name.startswith("raw_")] or ["raw topics"]
    found = {name: (_DAYS, _days(costs, name)) for name in raw}
    for name, topic in REGISTRY.items():
        if topic.compacted and topic.with_customers and name != topics.ERASURES:
            found[name] = (_LAST, _last(costs, name))
        elif name == topics.CUSTOMER_EVENTS or (name in costs.bytes_of and topic.retention_days):
            found[name] = (_DAYS, _days(costs, name))
    return found


def _days(costs: _Costs, name: str) -> Value:
    return _given(lambda size: size * EVENTS * DAY * DAYS * REPLICAS, costs.bytes_of.get(name))


def _last(costs: _Costs, name: str) -> Value:
    size = costs.stored
    if name != topics.CHANGELOG:
        keys = len(SETS) if name == topics.PREDICTIONS else 1
        size = _given(lambda v, n: keys * v / n, costs.bytes_of.get(name), costs.records_of.get(name))
    return _given(
        lambda size, workers: REPLICAS * (CUSTOMERS * size / (1 - OLD) + workers * PARTITIONS * SEGMENT),
        size,
        costs.workers,
    )


def _kafka(costs: _Costs) -> list[str]:
    disks = _disk_of(costs)
    rows = []
    for name, (formula, size) in disks.items():
        each = costs.bytes_of.get(name)
        written = _given(lambda each: each * EVENTS * PEAK * REPLICAS, each)
        rate = MISSING if written is None else f"{_bytes(written)}/s"
        rows.append((name, number(each, ",.1f"), formula, _bytes(size), rate))
    heads = ("topic", "v: bytes a raw event", "disk, formula", "disk of all brokers", "written at the peak")
    return [
        *table(heads, rows),
        "",
        f"In all {_total(disks, _bytes)}. Written at the peak, by all replicas = v · E · P · R.",
        "v is `soak.bytes_a_record`: of calls of 200 bytes, not compressed by their sender, and of customers",
        "in their first days, who have more effects an event than later. z, bytes of a customer, is s for",
        "the changelog, for others v by their `soak.records_a_record`, for predictions times their sets.",
        f"Cores of the brokers: {MISSING}.",
    ]


def _total(disks: dict[str, tuple[str, Value]], shown: Callable[[float], str]) -> str:
    """What is known of all topics, and which are not."""
    known = [size for _, size in disks.values() if size is not None]
    unknown = [name for name, (_, size) in disks.items() if size is None]
    if not known:
        return MISSING
    return shown(sum(known)) + (f" and what is {MISSING}: {', '.join(unknown)}" if unknown else "")


def _disks(size: Value) -> Value:
    return _given(lambda size: math.ceil(size / (DISK * FILLED)), size)


def _sql(costs: _Costs) -> Value:
    """Disk of one server."""
    return _given(lambda each: each * CUSTOMERS * TABLE_ROOM, costs.sql)


def _postgresql(costs: _Costs) -> list[str]:
    effects = sum(costs.records_of.get(name, 0.0) for name in EFFECTS) if costs.records_of else None
    cores = _given(lambda effects, rate: effects * EVENTS * PEAK / rate, effects, costs.projected)
    return table(
        ("what", "formula", "figure"),
        [
            ("disk of a server", "q · C · T", _bytes(_sql(costs))),
            ("effects a raw event", "`soak.records_a_record`, summed up", number(effects, ",.3f")),
            ("cores of projectors and PostgreSQL at the peak", "effects · E · P / j", number(cores, ",.1f")),
        ],
    )


def _all(costs: _Costs) -> list[str]:
    memory = _given(
        lambda workers, base, cold: workers * base + CUSTOMERS * (cold + ROW.itemsize),
        costs.workers,
        costs.resident,
        costs.cold,
    )
    cores = _given(lambda workers: workers * CORES, costs.workers)
    stores = _given(lambda stored: STORE_ROOM * stored * CUSTOMERS, costs.stored)
    kafka = _disk_of(costs)
    sql = _given(lambda disks: disks * SERVERS, _disks(_sql(costs)))
    return table(
        ("what", "formula", "figure"),
        [
            ("workers", "ceil((E · P / (r · m) + C · t / 86,400) / U)", number(costs.workers)),
            ("cores of workers", "workers · W", number(cores)),
            ("memory of workers", "workers · b + C · (i + h)", _bytes(memory)),
            ("disk of workers", "S · s · C", _bytes(stores)),
            ("disks of Kafka", "ceil(disk / (N · F))", _total(kafka, lambda size: number(_disks(size)))),
            ("disks of PostgreSQL", "B · ceil(q · C · T / (N · F))", number(sql)),
        ],
    )


def _bytes(value: Value) -> str:
    if value is None:
        return MISSING
    if value < 10_000:
        return f"{value:,.0f} bytes"
    power = min(int(math.log10(value)) // 3, 5)
    shown = f"{value / 1000**power:,.1f}".removesuffix(".0")
    return f"{shown} {('', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"
