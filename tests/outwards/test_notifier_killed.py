"""Killed or paused between any two steps, a notifier loses nothing; what comes again has the same id."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from uuid import uuid4

import pytest

from config.settings import Settings
from outwards.subscriptions import Subscriptions
from tests.faults.harness import Worker, until, workers
from tests.outwards.conftest import HOLD, Notify, Subscribe
from tests.outwards.receiver import Got, Receiver
from tests.outwards.told import Told


def _child(settings: Settings, step: str, nth: int, number: str, log: Path) -> Worker:
    given = settings.model_dump_json(include={"home", "database", "notify_private"})
    return Worker(
        ["-m", "tests.outwards.notifier_process", given, step, str(nth), number, str(HOLD)], {}, log
    )


def _slowly(got: Got) -> int:
    time.sleep(0.1)
    return 200


def _in_order(receiver: Receiver, ids: dict[str, list[str]]) -> None:
    taken = receiver.taken_ids()
    assert set(taken) == {id for each in ids.values() for id in each}
    for mine in ids.values():
        assert [id for id in taken if id in mine] == mine


@pytest.mark.parametrize(("step", "nth"), [("read", 1), ("delivered", 17), ("kept", 2)])
def test_killed_it_repeats_and_loses_nothing(
    settings: Settings, subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told,
    receiver: Receiver, tmp_path: Path, step: str, nth: int,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    receiver.answer = _slowly  # so that positions are kept while events are under way
    customers = [f"c-{uuid4().hex[:8]}" for _ in range(8)]
    ids = {each: [told.mission(each, number=n) for n in range(4)] for each in customers}
    child = _child(settings, step, nth, "SIGKILL", tmp_path / "child.log")
    with workers(child):
        child.start()
        until("it has killed itself", lambda: not child.alive, 120, child.log)
    if step == "delivered":
        assert len(receiver.taken) >= nth
        assert subscriptions.get(row.id).delivered < len(receiver.taken), "the last one was not kept"
    notify()
    until("all came", lambda: len(receiver.taken_ids()) == 32)
    _in_order(receiver, ids)


def test_paused_it_writes_nothing_once_another_one_has_gone_on(
    settings: Settings, subscribe: Subscribe, subscriptions: Subscriptions, notify: Notify, told: Told,
    receiver: Receiver, tmp_path: Path,
) -> None:  # fmt: skip
    row = subscribe(receiver, "eventType=ScoreCrossingEvent&score=risk&value=50")
    customer = f"c-{uuid4().hex[:8]}"
    ids = [told.scores(customer, risk) for risk in (60.0, 40.0, 60.0)]
    child = _child(settings, "delivered", 2, "SIGSTOP", tmp_path / "child.log")
    with workers(child):
        child.start()
        until("it has stopped itself", lambda: child.stopped, 120, child.log)
        notify()
        until("another one goes on", lambda: receiver.taken_ids() == ids)
        until("and keeps it", lambda: subscriptions.get(row.id).delivered >= 3)
        child.signal(signal.SIGCONT)
        ids.append(told.scores(customer, 10.0))
        until("the last came", lambda: receiver.taken_ids() == ids)
        until("the other one is refused", lambda: "by another one now" in child.log.read_text())
    ids.append(told.scores(customer, 90.0))
    until("and the side is right", lambda: receiver.taken_ids() == ids)
