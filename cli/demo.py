"""`khaywe demo`: the product at work on two months of real-shaped records, from nothing to figures.

It uses the embedded services in a home of its own and nobody else's Kafka, sends the records in the order
they happened, shows what a worker makes of them, and ends with what came out.
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from urllib.parse import quote

import click
from confluent_kafka import Producer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy import make_url

from agents.asking import send_command, wait_results
from agents.commands import DONE, RECALCULATE, TICK, instant
from agents.lag import Pipeline
from catalog.draft import read
from catalog.service import CatalogService
from cli import demo_campaign, demo_home, lag, ui
from cli.demo_campaign import Gateway, report_campaign
from cli.demo_home import DemoError, Home
from cli.demo_input import DAYS, END, GATEWAY, SOURCES, Record, replay
from cli.demo_report import Figures, figures, report
from cli.ingest import Sender
from cli.projection import look, nothing
from config.settings import Settings
from config.topics import raw_topic
from projection.writer import Writer
from streams import topics as on_brokers
from streams.embedded import services
from web.api.doors import PREFIX
from web.ask_worker import web_url

#: Records sent and not yet normalised, at most: so that days keep their order over three topics.
AHEAD = 40_000
LOOK_SECONDS = 0.1
SHOW_SECONDS = 0.3
#: Seconds without any progress after which something is wrong.
STUCK_SECONDS = 120.0
ANSWER_SECONDS = 60.0

#: How this command was called: what can be typed again.
KHAYWE = sys.argv[0] if sys.argv[0].endswith("/khaywe") else "khaywe"

console = Console(highlight=False, width=None if sys.stdout.isatty() else ui.PIPE_WIDTH)


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end.")
@click.option("--stop", is_flag=True, help="Stop a demo that was left running.")
def demo(keep: bool, stop: bool) -> None:
    """Show the product at work on two months of records of 925 subscribers.

    Everything happens in .khaywe-demo here (or KHAYWE_HOME).  A demo that was left running (--keep) is shown
    again; otherwise every run starts fresh.
    """
    # Whoever ends us, what we started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = demo_home.home()
    if stop:
        _stop(home)
        return
    if home.runs():
        assert home.state is not None
        console.print(
            f"A demo of {home.state.started} runs in {home.shown}: it goes on, nothing is sent again.\n"
        )
        told = _report(home, None)
        _addresses(home, told, home.make_key())
        return
    home.check()
    kept = False
    try:
        _prepare(home)
        gateway = Gateway(home.settings())
        took = _replay(home, gateway)
        _settle(home, gateway)
        gateway.close()
        _project(home)
        told = _report(home, took)
        if keep:
            key = home.make_key()
            home.keep()
            kept = True
            _addresses(home, told, key)
        else:
            console.print(
                "\nEverything stops now. `make demo KEEP=1` (khaywe demo --keep) leaves it running,\n"
                f"to look at customers in the console and ask why. The logs stay in {home.shown}/logs.",
                soft_wrap=True,
            )
    except KeyboardInterrupt:
        console.print("\nStopped before its end.")
        sys.exit(130)
    finally:
        if not kept:
            _clean_up(home)


def _report(home: Home, took: float | None) -> str:
    """Print what came out; the customer whose story is told."""
    told = report(console, home.settings(), figures(home.settings()), took)
    report_campaign(console, home.settings())
    return told


def _prepare(home: Home) -> None:
    if home.used:
        console.print(f"Starting fresh: what an earlier demo left in {home.shown} is removed.")
    started = time.monotonic()
    with ui.progress_line() as progress:
        home.fresh(progress)
        config = home.settings()
        found = services.up(config, progress)
    _done(f"Kafka {found.kafka.version} and PostgreSQL {found.database.version} run in {home.shown}", started)

    started = time.monotonic()
    made = on_brokers.create(config)
    service = CatalogService(config.database_url(), config)
    try:
        service.ensure_first_revision()
        service.load_game(read([demo_campaign.FILE]), "the demo's campaign")
        revision = service.add_sources(SOURCES)
        service.publish_outbox(Producer(config.producer_config()))
    finally:
        service.close()
    for source in SOURCES:
        on_brokers.ensure_raw_topic(config, raw_topic(source["name"]))
    names = ", ".join(source["name"] for source in SOURCES)
    _done(f"{len(made)} topics; data sources {names}; a campaign (catalog revision {revision})", started)

    started = time.monotonic()
    with ui.progress_line() as progress:
        home.start_worker(progress)
        wanted = config.partitions * (1 + len(SOURCES))
        _until(home, lambda: figures(config).reads >= wanted, "the worker does not read the data sources")
    _done(f"a worker, web views at {web_url(config)}", started)

    started = time.monotonic()
    with ui.progress_line() as progress:
        home.start_api(progress)
    _done(f"the REST API at {home.docs_url}, the console at {home.console_url}", started)


def _until(home: Home, done: Callable[[], bool], otherwise: str) -> None:
    """Look until it is done.  Raises DemoError, at the latest after STUCK_SECONDS."""
    end = time.monotonic() + STUCK_SECONDS
    while True:
        with suppress(OSError):  # no answer: the worker is busy, or dead
            if done():
                return
        if not home.alive():
            raise home.dead()
        if time.monotonic() > end:
            raise DemoError(f"{otherwise}, after {STUCK_SECONDS:.0f} s", f"the worker's log is {home.log}")
        time.sleep(LOOK_SECONDS)


def _done(what: str, started: float) -> None:
    console.print(Text.assemble(("✓ ", "green"), what, (f"  {time.monotonic() - started:.1f} s", "dim")))


@dataclass
class Sending:
    """What was sent so far, for people to watch."""

    started: float = field(default_factory=time.monotonic)
    day: str = ""
    days: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    #: Records normalised at the last look, and when that was.
    normalised: int = 0
    looked: float = 0.0

    def should_look(self) -> bool:
        """Whether too much may wait, or what is shown is old."""
        return self.waiting > AHEAD or time.monotonic() - self.looked > SHOW_SECONDS

    @property
    def waiting(self) -> int:
        """Records sent and not normalised, as far as is known."""
        return self.sent.total() - self.normalised

    def seconds(self) -> float:
        """Since the first record."""
        return time.monotonic() - self.started

    def show(self, now: Figures) -> Group:
        """The day, the sources, and what became of their records."""
        self.normalised, self.looked = now.normalised.total(), time.monotonic()
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for name in ("", "sent", "normalised", "dead letters"):
            table.add_column(name, justify="right" if name else "left")
        for source in SOURCES:
            name = source["name"]
            table.add_row(
                name, f"{self.sent[name]:,}", f"{now.normalised[name]:,}", f"{now.dead_by_source[name]:,}"
            )
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(self.day, "bold"), ProgressBar(DAYS, self.days, width=40), f"day {self.days} of {DAYS}"
        )
        rate = self.normalised / self.seconds()
        line = Text.assemble(
            (f"{now.folded:,}", "bold"), " events folded   ",
            (f"{now.published:,}", "bold"), " scores published   ",
            (f"{rate:,.0f}", "bold"), " records a second",
        )  # fmt: skip
        return Group(Text(), bar, Text(), table, Text(), line, Text())


def _replay(home: Home, gateway: Gateway) -> float:
    """Send two months and wait until they are folded; returns the seconds that took."""
    config = home.settings()
    console.print("\nTwo months of 925 subscribers, in the order they happened:")
    senders = {source["name"]: Sender(config, raw_topic(source["name"])) for source in SOURCES}
    pipeline = Pipeline(config, lag.hops(config))
    sending = Sending()
    with Live(console=console, refresh_per_second=8) as live:

        def folded() -> None:
            lag.wait(pipeline, STUCK_SECONDS, lambda what, _: live.update(sending.show(figures(config))))

        for sending.days, (sending.day, records) in enumerate(_by_day(replay()), 1):
            for record in records:
                senders[record.source].send(record.value, record.key)
                sending.sent[record.source] += 1
            sending.sent[GATEWAY] += gateway.answer()
            if sending.should_look():
                _watch(home, live, sending, AHEAD)
        for sender in senders.values():
            sender.flush()
        _watch(home, live, sending, 0)
        folded()
        sending.sent[GATEWAY] += gateway.answer_all()
        _watch(home, live, sending, 0)
        folded()
        seconds = sending.seconds()
        live.update(sending.show(figures(config)))
    pipeline.close()
    return seconds


def _by_day(records: Iterator[Record]) -> Iterator[tuple[str, Iterator[Record]]]:
    return groupby(records, key=lambda record: record.at[:10])


def _watch(home: Home, live: Live, sending: Sending, ahead: int) -> None:
    """Show how it goes until no more than `ahead` records wait for the normaliser.  Raises DemoError."""
    config = home.settings()

    def near() -> bool:
        now = figures(config)
        live.update(sending.show(now))
        return sending.waiting <= ahead

    _until(home, near, "the worker does not keep up")


def _settle(home: Home, gateway: Gateway) -> None:
    """Bring every customer to the end of the data, and have all scores of that moment published."""
    config = home.settings()
    started = time.monotonic()
    moment = instant(END.isoformat())
    pipeline = Pipeline(config, lag.hops(config))
    try:
        _command(config, TICK, at=moment)
        # What the tick's refreshes ask the models is answered after it in the log: the scores wait for that.
        lag.wait(pipeline, STUCK_SECONDS, lambda what, _: None)
        gateway.answer_all()
        lag.wait(pipeline, STUCK_SECONDS, lambda what, _: None)
        _command(config, RECALCULATE, segment="all")
        lag.wait(pipeline, STUCK_SECONDS, lambda what, _: None)
    finally:
        pipeline.close()
    _done(f"every customer brought to {moment} (khaywe tick), all scores published", started)


def _project(home: Home) -> None:
    """Wait until lists and figures have it all.  Raises DemoError where they get no further."""
    config = home.settings()
    started = time.monotonic()
    writer = Writer(config.database_url(), nothing)
    try:
        least, moved = sys.maxsize, started
        while behind := sum(place.behind for place in look(config, writer)):
            if behind < least:
                least, moved = behind, time.monotonic()
            if not home.alive():
                raise home.dead()
            if time.monotonic() - moved > STUCK_SECONDS:
                raise DemoError(f"the projection stays {behind:,} behind", f"the worker's log is {home.log}")
            time.sleep(LOOK_SECONDS)
    finally:
        writer.close()
    _done("lists and figures in PostgreSQL (khaywe projection status)", started)


def _command(config: Settings, command: str, **whom: str) -> None:
    results = list(wait_results(config, send_command(config, command, **whom), ANSWER_SECONDS))
    bad = [result for result in results if result.status != DONE]
    if bad or not results:
        raise DemoError(f"the command {command} was {f'refused: {bad[0].reason}' if bad else 'not answered'}")


def _addresses(home: Home, customer_id: str, key: str) -> None:
    """Where to click: `customer_id` is whose story was told; `key` opens the console and the API."""
    config = home.settings()
    with_ = " ".join(f"{name}={shlex.quote(value)}" for name, value in home.environment().items())
    web, url, id = web_url(config), make_url(config.database_url()), quote(customer_id, safe="")
    page = f"{home.console_url}customers/{id}/"
    performance = f"{home.api_url}{PREFIX}/campaigns/{demo_campaign.NUMBER}/performance/"
    here = "" if home.shown == demo_home.DEFAULT else f"KHAYWE_HOME={shlex.quote(str(home.path))} "

    def lines(*pairs: tuple[str, str]) -> None:
        for what, where in pairs:
            console.print(f"  {what:16}{where}", soft_wrap=True, markup=False)

    console.print("\n[bold]It runs on[/bold]: commands find it with")
    console.print(f"  export {with_}", soft_wrap=True, markup=False)
    console.print(
        f"for instance\n  {KHAYWE} customer show {customer_id}\n"
        f"  {KHAYWE} customer predictions {customer_id}\n  {KHAYWE} why {customer_id}\n"
        f"  {KHAYWE} command redeem --customer {customer_id} --points 10\n  {KHAYWE} points\n"
        f"  {KHAYWE} dead-letters list\n  {KHAYWE} lag\n"
        f'  curl -s -H "X-API-Key: {key}" {performance}',
        soft_wrap=True,
        markup=False,
    )
    console.print("and there are")
    lines(
        ("REST API", home.docs_url),
        ("open grants", f"{web}/grants"),
        ("points owed", f"{web}/points"),
        ("tables, health", f"{web}/tables  {web}/health"),
        ("metrics", f"{web}/metrics"),
        ("Kafka", config.bootstrap_servers()),
        ("PostgreSQL", f"{url.host}:{url.port}/{url.database} (its password is in services.json)"),
        ("worker's log", str(home.log)),
    )
    console.print(
        f"`{here}{KHAYWE} demo --stop` stops it; the demo called again shows it again.", markup=False
    )
    console.print("\n[bold]The console[/bold]: open it in a browser, it asks for the key once")
    lines(("address", home.console_url), ("its key", key))
    console.print("[bold]Where to look first[/bold]")
    lines(
        ("a customer", f"{page}  the badges come first, each with the conditions that held"),
        ("why not", f"{page}why  what the next badge, or any mission, still wants"),
        ("everything", f"{home.console_url}  figures as they come; any customer by the field at the top"),
    )


def _stop(home: Home) -> None:
    if home.state is None:
        console.print(f"There is no demo in {home.shown}.")
        return
    with ui.progress_line() as progress:
        home.stop(progress)
    console.print(f"The demo in {home.shown} is stopped; the next one starts fresh.")


def _clean_up(home: Home) -> None:
    """Stop what was started, whatever else the user presses."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ui.progress_line() as progress:
            home.stop(progress)
    finally:
        signal.signal(signal.SIGINT, before)
