"""A worker for tests of transport and transaction alone: one record out for each record in.

Settings come from the environment: ECHO_APP (group), ECHO_SOURCE, ECHO_OUT (topics), ECHO_KILL (a step after
which the process kills itself, with a count: `offsets:3`), ECHO_STOP (the same, but with SIGSTOP).
"""

from __future__ import annotations

import os
import signal
from typing import Any

from config.settings import settings
from streams.batches import Commit, Epoch, Partition, Poll, Sink
from streams.identity import worker_name
from streams.record_app import RecordApp

SOURCE, OUT = os.environ["ECHO_SOURCE"], os.environ["ECHO_OUT"]


def fault() -> Any:
    """What happens at the steps of a transaction."""
    plans: list[list[Any]] = []
    for name, number in (("ECHO_KILL", signal.SIGKILL), ("ECHO_STOP", signal.SIGSTOP)):
        if name in os.environ:
            step, _, count = os.environ[name].partition(":")
            plans.append([step, int(count or 1), number])

    def at(step: str) -> None:
        for plan in plans:
            if plan[0] == step:
                plan[1] -= 1
                if plan[1] == 0:
                    os.kill(os.getpid(), plan[2])

    return at


class Echo:
    """Sends `partition:offset` for each record, one transaction a poll."""

    def reads(self, assigned: frozenset[Partition]) -> set[Partition]:
        return set(assigned)

    def take(self, epoch: Epoch) -> None:
        pass

    def process(self, poll: Poll, commit: Commit) -> None:
        if not poll.batches:
            return

        def fill(sink: Sink) -> None:
            for batch in poll.batches:
                for record in batch.records:
                    sink.send(OUT, b"", b"%d:%d" % (batch.source.partition, record.offset()))

        commit({batch.source: batch.end for batch in poll.batches}, fill)

    def drop(self) -> None:
        pass

    def close(self) -> None:
        pass


config = settings()
app = RecordApp(os.environ["ECHO_APP"], SOURCE, config, worker_name(config), web_enabled=False)
app.transactor.on_step = fault()
app.behind = Echo


@app.agent(app.records(SOURCE))
async def echo(polls: Any) -> None:
    """One poll after another."""
    async for poll in polls:
        await app.handle(poll)


if __name__ == "__main__":
    app.main()
