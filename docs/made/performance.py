"""The page of speed: every figure of bench/results.json, with the command and the commit it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.settings import Settings
from docs.made.markdown import table
from docs.made.results import MISSING, Results, at, number, read

DOCS = Path(__file__).parents[1]

HEAD = """\
# Performance

Every table is made from `bench/results.json` (`python -m docs.made`), which the command beside it fills.
All were measured with Kafka, PostgreSQL and the workers on one small machine that did nothing else:
{machine}. Ratios travel between machines, rates do not; measure yours with `make bench`. What it would take
at an operator's size: [Capacity](capacity.md).

A raw record is a CDR of 200 bytes. "The whole way" is both hops (raw topic, customer-events, effects and
changelog), exactly once, five scores, 29 templates and 48 badge levels, by one worker process (`--agents
normalizer,customers`). A fifth of the records is worked off first; the others become
visible all at once, by the end of a transaction, and then the clock starts: it runs until the last of them is
folded, so both hops count in full.
"""

PEERS = {
    "khaywe": "khaywe", "kafka_streams": "Kafka Streams 4.1, Java", "quix_streams": "Quix Streams 3.28",
    "faust_tutorial": "Faust as its tutorial shows it",
}  # fmt: skip
LIMITS = {
    "librdkafka": "librdkafka alone",
}
STAGES = {
    "all": "all", "map": "read and map", "fold": "decode, fold, write effects", "predict": "models",
    "produce": "queue records for Kafka", "commit": "Kafka: deliver and commit", "store": "note what is "
    "committed",
}  # fmt: skip

PEERS_NOTE = """\
Each peer does the whole game, and its results were the reference fold's before it was timed
([how](decisions/0005-peers.md)). Turns alternate on one broker; figures are medians. CPU is that of the
engine's processes, the broker's apart. A slow peer gets fewer records of fewer customers, which is in its
favour. Latency: from handing a raw record to librdkafka until the scores it changed are read by a consumer of
what is committed (badges and rewards stand in the same transaction), at a quarter and at half of each
engine's own rate. Sender, reader and broker share the two cores with the engine: with them there, half of a
fast engine's rate is about all that the machine can do, and records wait."""

LIMIT_NOTE = """\
The limit moves the same records in and out over both hops by confluent-kafka, in transactions of the same
size, and does nothing with them."""

WHY_NOT = """\
What stands between, by profile (`perf record -e cpu-clock -g -p PID` on a worker at full load, at commit
a717bca, before effects went in columns: a quarter to two fifths libpython, a fifth librdkafka, a seventh the
kernel, the rest compiled code):

* **Three times Kafka Streams** a second of CPU would be less CPU than librdkafka alone takes to move
  the records of both hops. Kafka Streams moves its records by the JVM's client, which costs less per
  record, and the peer is well written (one thread, rows cached, commits of 100 ms).
* **p99 at half load.** Of its own rate, that is; "Latency by load" below is another run, in a noisier
  quarter of an hour (half an hour before, p99 at 50,000 a second was 299 ms). Broker, sender, reader and
  worker keep both cores busy then (`vmstat`: 88 to 98 %), and a record waits for a core at each step of its
  way: two polls, mapping and fold, two transactions of 30 to 40 ms.
* **A million customers.** 20 us a record instead of 7: nearly every record changes another row, so that each
  goes to the changelog and to RocksDB, and 900,000 of the rows are read from there (`KHAYWE_CACHE_ROWS`).
  What the thread that folds does with a settled million (`khaywe_stage_seconds_total`, and `py-spy record
  --native` for the first): 19 % reading cold rows, 30 % the rest of the fold, 32 % queueing records for Kafka
  and waiting until it has them, 17 % writing rows to RocksDB. On their first day the game's beginnings come
  to that: nine records each instead of 150. With all rows in memory ("all rows in memory" below) the reading
  is gone, for 2,368 bytes a row.

Rates hang on the hour: the same code did 80,000 to 107,000 and, an hour later, 113,000 to 133,000 on this
machine, which others use too. Shares and multiples within one run move less; the share of librdkafka's limit
was 68, 83 and 83 % in the three turns, because the limit itself moved.

What would bring more: one hop instead of two where the raw topic is already keyed by customer (half of
all that librdkafka does); rows written behind and folded again at a restore (a third of what the second
hop writes with 150 records a customer, all but the effects with 15); cold rows of the next poll read while
this one is committed."""


def page(results: Results | None = None) -> str:
    """The page, in Markdown; `results` are shaped like bench/results.json, which is read without them."""
    found = read() if results is None else results
    sections = {
        "Goals": _goals(found), "Peers": _peers(found), "Latency by load": _latency(found),
        "The whole way of a record": _pipeline(found),
        "A million customers": _settled(found), "Scaling": _scaling(found),
        "Restore and memory": _restore(found), "Silent customers": _ticks(found),
        "Models": _plain(found, "predictions"), "Projection": _plain(found, "projection"),
        "Reads of the API": _api(found),
        "Pages of the console": _console(found), "An hour at half load": _soak(found),
    }  # fmt: skip
    machine = found.get("machine")
    said = (
        f"{machine['cores']} cores that it shares with others, {machine['memory_bytes'] / 2**30:.0f} GiB,"
        f" Python {machine['python']}"
        if machine
        else MISSING
    )
    lines = [HEAD.format(machine=said)]
    for title, body in sections.items():
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines).rstrip() + "\n"


def _from(found: Results, part: str, command: str | None = None) -> str:
    """The command and the commit of a part."""
    commit = found.get("commits", {}).get(part)
    said = f", at commit {commit}." if commit else f": {MISSING}."
    run = command or f"python -m bench {part}"
    return f"`{run}`{said}"


def _goals(found: Results) -> list[str]:
    """What issue and design ask for, and what was measured."""
    engine = "comparison.khaywe"
    late = at(found, f"{engine}.latency")
    settled, beginning = (_share_of_a_million(found, part) for part in ("settled", "scaling.customers"))
    resident = [at(found, f"{part}.1000000.resident_bytes") for part in ("settled", "scaling.customers")]
    memory = max(resident) / 2**20 if all(resident) else None
    rows = [
        (
            f"events a second of CPU, times {PEERS[peer]}",
            at(found, f"peers.{peer}.khaywe_times_cpu"), goal, ".1f", 1,
        )
        for peer, goal in (("kafka_streams", 3.0), ("quix_streams", 6.0), ("faust_tutorial", 50.0))
    ] + [
        ("raw events a second of one worker", at(found, f"{engine}.events_per_second"), 100_000, ",.0f", 1),
        ("share of librdkafka's limit", at(found, f"{engine}.share_of_librdkafka"), 0.6, ".0%", 1),
        ("p99 of latency at half load, ms", late[-1]["latency_p99_ms"] if late else None, 250, ",.0f", -1),
        ("speed with 1 million customers, of that with 10,000", settled, 0.7, ".0%", 1),
        ("the same on a million customers' first day", beginning, 0.7, ".0%", 1),
        ("memory of a worker with 1 million customers, MiB", memory, 1024, ",.0f", -1),
        ("rows restored a second", at(found, "khaywe.restore_rows_per_second"), 200_000, ",.0f", 1),
        ("models' share of the time", at(found, "khaywe.models_share_of_time"), 0.15, ".0%", -1),
        ("the game, of scores alone", at(found, "khaywe.full_work_share"), 0.8, ".0%", 1),
        ("290 templates, of 29", at(found, "khaywe.templates_290_share"), 0.5, ".0%", 1),
    ]  # fmt: skip
    lines = table(
        ("what", "measured", "goal", "reached"),
        [
            (what, number(value, form), f"{'at most ' if sign < 0 else ''}{goal:{form}}",
             "" if value is None else "yes" if sign * value >= sign * goal else "no")
            for what, value, goal, form, sign in rows
        ],
    )  # fmt: skip
    return [*lines, "", WHY_NOT]


def _share_of_a_million(found: Results, part: str) -> float | None:
    """The speed with a million customers as a share of that with 10,000."""
    rates = [at(found, f"{part}.{customers}.events_per_second") for customers in ("1000000", "10000")]
    return rates[0] / rates[1] if all(rates) else None


def _peers(found: Results) -> list[str]:
    engines = {**found.get("comparison", {}), **found.get("peers", {})}
    rows = []
    for name, title in (PEERS | LIMITS).items():
        its = engines.get(name)
        if its is None:
            continue
        late = [
            f"{number(each['latency_p50_ms'])} / {number(each['latency_p99_ms'])}"
            for each in its.get("latency", ())
        ]
        rows.append((
            title, number(its["events_per_second"]), number(its["events_per_cpu_second"]),
            number(its.get("khaywe_times_cpu"), ".1f") if "khaywe_times_cpu" in its else "",
            *(late or ["", ""]),
            number(its["resident_bytes"] / 1e6), number(its["events"]),
            number(its["customers"]) if its["customers"] else "",
        ))  # fmt: skip
    if not rows:
        return [_from(found, "peers")]
    headers = (
        "engine", "events a second", "a second of CPU", "khaywe times (CPU)",
        "p50 / p99 at a quarter, ms", "p50 / p99 at half, ms", "memory, MB", "records of a turn", "customers",
    )  # fmt: skip
    picture = ["![Events a second of CPU](peers.svg)", ""] if (DOCS / "peers.svg").exists() else []
    return [_from(found, "peers"), "", *table(headers, rows), "", *picture, PEERS_NOTE, "", LIMIT_NOTE]


def _latency(found: Results) -> list[str]:
    its = found.get("latency")
    if not its:
        return [_from(found, "latency")]
    rows = [
        (number(each["records_per_second"]), number(each["latency_p50_ms"]), number(each["latency_p99_ms"]))
        for each in its["loads"]
    ]
    return [
        _from(found, "latency"), "",
        "khaywe alone, measured as above; 50,000 a second are half of the goal of 100,000.", "",
        *table(("raw records a second", "p50, ms", "p99, ms"), rows),
    ]  # fmt: skip


def _pipeline(found: Results) -> list[str]:
    its = found.get("khaywe", {})
    if "events_per_second" not in its:
        return [_from(found, "pipeline")]
    game = "scores, 29 templates, 48 badge levels"
    few, sparse = number(its["customers"]), number(its["sparse_customers"])
    rows = [
        ("five scores alone", few, its["scores_only_events_per_second"], ""),
        (game, few, its["events_per_second"], f"{its['full_work_share']:.0%} of scores alone"),
        ("the same with 290 templates", few, its["templates_290_events_per_second"],
         f"{its['templates_290_share']:.0%} of 29"),
        ("the game with models inline", few, its["models_events_per_second"],
         f"models take {its['models_share_of_time']:.1%} of the time"),
        ("five scores alone", sparse, its["sparse_scores_only_events_per_second"], ""),
        (game, sparse, its["sparse_events_per_second"],
         f"{its['sparse_full_work_share']:.0%} of scores alone"),
    ]  # fmt: skip
    shown = [(what, customers, number(rate), share) for what, customers, rate, share in rows]
    return [
        _from(found, "pipeline"), "",
        *table(("what is decided", "customers", "raw events a second", "share"), shown), "",
        f"{its['events_per_cpu_second']:,} a second of the worker's CPU, {its['resident_bytes'] / 1e6:,.0f}"
        " MB at the end. With"
        f" {few} customers there are 150 records a customer, with {sparse} there are 15: then most of what"
        " happens is the game of first"
        " days, when five missions are given to everybody, and each row is in the changelog for nearly "
        "every record. An operator of 13"
        " million customers with 900,000 events a second has 12,000 a customer in two days.", "",
        f"Where the working threads of both apps spend the {its['seconds']} s with the game, and with models"
        " (`khaywe_stage_seconds_total`; they share a GIL and two cores, and wait for both):", "",
        *table(("stage", "normaliser", "customers", "customers, with models"), list(_stages(its))),
    ]  # fmt: skip


def _stages(its: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    columns = (
        ("khaywe-normalizer", "stages"), ("khaywe-customers", "stages"),
        ("khaywe-customers", "models_stages"),
    )  # fmt: skip
    for stage, title in STAGES.items():
        values = [its[run].get(f"{app}/{stage}") for app, run in columns]
        yield title, *("" if value is None else f"{value:.1f}" for value in values)


def _settled(found: Results) -> list[str]:
    its = found.get("settled")
    if not its:
        return [_from(found, "settled")]
    return [
        _from(found, "settled"), "",
        "10,000 customers, and a million who are as far in the game: each of the 10,000 a hundred times, rows"
        " and grants, after 270 records and three and a half days. Of both, 1.2 million records are measured,"
        " 75 a customer and day, half of them of a tenth of the customers. What differs is what many rows"
        " cost: nearly every record changes another one, and those that do not fit into memory"
        " (`KHAYWE_CACHE_ROWS`) lie in RocksDB.", "",
        *_runs("customers", its),
    ]  # fmt: skip


def _runs(title: str, runs: Mapping[str, Any]) -> list[str]:
    """Runs of `bench.pipeline` by what differs."""
    rows = [
        (number(int(count)), number(each["events_per_second"]), number(each["events_per_cpu_second"]),
         number(each["resident_bytes"] / 1e6))
        for count, each in runs.items()
    ]  # fmt: skip
    return table((title, "events a second", "a second of CPU", "memory, MB"), rows)


def _scaling(found: Results) -> list[str]:
    its = found.get("scaling")
    if not its:
        return [_from(found, "scaling")]
    lines = [
        _from(found, "scaling"), "",
        "The seed's game without models. Each customer makes 75 records a day, so a million of them have"
        " three hours, nine records each, and 1.2 million records are measured after eight million that made"
        " them known. Workers share the machine's cores: what counts there is that a second of CPU does as"
        " much.",
        "",
    ]  # fmt: skip
    titles = {
        "customers": "customers", "held": "customers, all rows in memory", "partitions": "partitions",
        "workers": "workers, 8 partitions",
    }  # fmt: skip
    for what, title in titles.items():
        lines += [*_runs(title, its.get(what, {})), ""]
    return lines[:-1]


def _restore(found: Results) -> list[str]:
    its = found.get("khaywe", {})
    resident = its.get("restore_resident_bytes")
    memory = number(resident / 1e6 if resident else None)
    rows = [
        ("rows a second from the changelog", number(its.get("restore_rows_per_second"))),
        ("rows a second from a warm store", number(its.get("warm_start_rows_per_second"))),
        ("resident memory of the restored table, rows cold, MB", memory),
        ("a row in memory, bytes", number(its.get("row_bytes"))),
        ("a row as stored, bytes, mean", number(its.get("stored_row_bytes"))),
    ]
    return [
        _from(found, "restore"), "",
        "A million rows from a real changelog, four partitions, into an empty store and then from "
        f"RocksDB. `KHAYWE_CACHE_ROWS` ({Settings.model_fields['cache_rows'].default:,}"
        " by default) bounds the rows held in memory.", "", *table(("figure", "measured"), rows),
    ]  # fmt: skip


def _ticks(found: Results) -> list[str]:
    its = found.get("khaywe", {})
    if "due_in_an_hour" not in its:
        return [_from(found, "ticks")]
    return [
        _from(found, "ticks"), "",
        f"A tick a minute over {its['silent_customers']:,} customers who send nothing: "
        f"{its['due_in_an_hour']:,} are due in an hour (each"
        f" one's daily refresh), {its['microseconds_a_due_customer']} us each; "
        f"{its['microseconds_a_tick_with_nobody_due']:.0f} us for a tick"
        f" with nobody due; {its['seconds_of_cpu_a_day']} seconds of CPU a day for all of them.",
    ]  # fmt: skip


def _plain(found: Results, part: str) -> list[str]:
    """A table of what a part says in numbers."""
    its = found.get(part)
    if not its:
        return [_from(found, part)]
    rows = [
        (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else f"{value:,.2f}")
        for name, value in its.items()
        if isinstance(value, int | float)
    ]
    return [_from(found, part), "", *table(("figure", "measured"), rows)]


def _api(found: Results) -> list[str]:
    its = found.get("api")
    if not its:
        return [_from(found, "api")]
    rows = [(name, f"{each['p50_ms']:.0f}", f"{each['p99_ms']:.0f}") for name, each in its["by_read"].items()]
    return [
        _from(found, "api"), "",
        "Four clients ask `khaywe api` one question after another while a worker (all agents, models "
        "inline, the projector too) has all the"
        f" work it can take, on the same cores: {its['reads_per_second']:,.0f} reads a second beside "
        f"{its['worker_events_per_second']:,} events.", "",
        *table(("read", "p50, ms", "p99, ms"), rows), "",
        "Live reads wait for the worker's GIL; what comes from the projection does not.",
    ]  # fmt: skip


def _console(found: Results) -> list[str]:
    its = found.get("console")
    if not its:
        return [_from(found, "console")]
    pages = [
        (name, f"{each['median_ms']:.0f}", f"{each['p95_ms']:.0f}") for name, each in its["pages"].items()
    ]
    return [
        _from(found, "console", "make bench-console"), "",
        f"{its['customers']:,} customers in PostgreSQL with {sum(its['rows'].values()):,} rows of a year"
        f" ({its['database_bytes'] / 1e9:.0f} GB), one in a hundred with ten times as much; each page 20 "
        "times over HTTP, another customer"
        " each time, no worker running. Goal: 200 ms.", "",
        *table(("page", "median, ms", "p95, ms"), pages), "",
        "What is above 200 ms at p95 is a sum over everybody that was asked for the first time: later it "
        "is renewed in the background"
        ' (`web/console/kept.py`). "source now" reads the newest records of its raw topic with a new consumer'
        " at every look; nothing else"
        " waits for Kafka.",
    ]  # fmt: skip


def _soak(found: Results) -> list[str]:
    its = found.get("soak")
    if not its:
        return [_from(found, "soak")]
    names = [name for name in its["early"] if name != "seconds"]
    rows = [
        (name.replace("_", " "), f"{its['early'][name]:,.1f}", f"{its['late'][name]:,.1f}") for name in names
    ]
    drawn = (DOCS / "soak.svg").exists()
    picture = ["", "![Memory, files, stores, a transaction](soak.svg)"] if drawn else []
    return [
        _from(found, "soak"), "",
        f"{its['seconds']:,} s at {its['records_per_second']:,} records a second. What still grows between"
        " the second quarter and the last"
        " grows for ever; but for Kafka's disk, which the two large topics fill up to what they keep here: 2"
        " GiB a partition, eight partitions.", "",
        *table(("mean", "second quarter", "last quarter"), rows), *picture,
    ]  # fmt: skip
