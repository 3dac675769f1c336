"""`khaywe worker --agents notifier` as a process: it delivers, shows its metrics, and ends when asked to."""

from __future__ import annotations

from pathlib import Path

import httpx

from config.settings import Settings
from outwards.subscriptions import Subscriptions
from streams.identity import free_port
from tests.faults.harness import Worker, until, workers
from tests.outwards.conftest import Subscribe
from tests.outwards.receiver import Receiver
from tests.outwards.told import Told


def test_it_runs_apart(
    settings: Settings, environment: dict[str, str], subscribe: Subscribe, subscriptions: Subscriptions,
    told: Told, receiver: Receiver, customer: str, tmp_path: Path,
) -> None:  # fmt: skip
    row = subscribe(receiver)
    port = free_port("127.0.0.1", 0)
    more = {
        "KHAYWE_DATABASE": settings.database_url(), "KHAYWE_WEB_PORT": str(port), "KHAYWE_WORKER": "n",
        "KHAYWE_NOTIFY_PRIVATE": "true",
    }  # fmt: skip
    command = ["-c", "from cli.main import main; main()", "worker", "--agents", "poller,notifier"]
    run = Worker(command, environment | more, tmp_path / "notifier.log")
    with workers(run):
        run.start()
        ids = [told.mission(customer, number=n) for n in range(3)]
        until("all came", lambda: receiver.taken_ids() == ids, 120, run.log)
        until("it is kept", lambda: subscriptions.get(row.id).delivered == 3, 60, run.log)
        shown = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert 'khaywe_notifications_total{result="delivered"} 3.0' in shown
        assert 'khaywe_notifications_total{result="dead"} 0.0' in shown
        assert f'khaywe_notification_lag_records{{subscription="{row.id}"}}' in shown
        assert run.stop() == 0, run.log.read_text()
    assert "Traceback" not in run.log.read_text()
