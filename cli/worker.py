"""`khaywe worker`: the agents, together or apart."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import logging
import signal
import sys

import click

from config.errors import KhayweError
from config.logging import setup
from config.settings import settings

#: Faust apps, and what runs beside them in threads of its own.
APPS, BESIDE = ("normalizer", "customers", "projector"), ("poller", "notifier")
AGENTS = APPS + BESIDE
#: mallopt(3)
M_ARENA_MAX = -8


@click.command()
@click.option(
    "--agents",
    default=",".join(AGENTS),
    show_default=True,
    help="Which agents this worker runs, separated by commas.",
)
def worker(agents: str) -> None:
    """Run a worker: it takes its share of the partitions and works until it is stopped."""
    names = [name.strip() for name in agents.split(",") if name.strip()]
    unknown = sorted(set(names) - set(AGENTS))
    if unknown or not names:
        raise click.BadParameter(f"agents are {', '.join(AGENTS)}", param_hint="--agents")
    config = settings()
    setup(config.log_level)
    faulthandler.enable()  # a crash of native code says where it came from
    faulthandler.register(signal.SIGUSR1)  # what every thread does now, for whoever wonders
    _few_heaps()
    # Only now: the apps are made from the settings, and need Kafka's address.
    from faust.cli.base import prepare_app

    from agents.worker import check, predicting
    from outwards.notifier import Notifier
    from streams import app as apps

    check(config)
    if "customers" in names:
        predicting()

    log = logging.getLogger("khaywe")
    name = apps.customers.worker_name
    polls = None
    if "poller" in names:
        from agents.poller import poller

        polls = poller(config, name)
    tells = Notifier(config, name) if "notifier" in names else None
    beside = [each for each in (polls, tells) if each is not None]
    apps.customers.companions = []
    chosen = [getattr(apps, name) for name in APPS if name in names]
    if not chosen:
        log.info("worker %s runs %s", name, " and ".join(names))
        if tells is None:
            assert polls is not None
            polls.until_told()
            return
        if polls is not None:
            polls.start()
        tells.until_told()
        if polls is not None:
            polls.stop()
        return
    main = apps.customers if apps.customers in chosen else chosen[0]
    main.companions = [app for app in chosen if app is not main]
    for app in chosen:
        prepare_app(app, "streams.app")
    log.info(
        "worker %s runs %s; web views at %s", main.worker_name, " and ".join(names), main.conf.canonical_url
    )
    # Records and effects come by the thousands, in no cycles: looking for some took a seventh of the time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    service = main.Worker(
        loglevel=config.log_level.upper(),
        logging_config=None,
        override_logging=False,
        quiet=True,
        daemon=True,
    )
    for each in beside:
        each.start()
    try:
        service.execute_from_commandline()
    except SystemExit as end:
        if end.code:
            reasons = (app.crash_reason for app in chosen)
            known = next((reason for reason in reasons if isinstance(reason, KhayweError)), None)
            raise known or KhayweError("the worker stopped on an error; its reason stands above") from None
    finally:
        for each in beside:
            each.stop()
    sys.exit(0)


def _few_heaps() -> None:
    """Of glibc: each keeps what was used of it once, but with one its lock takes a tenth of the speed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 4)
