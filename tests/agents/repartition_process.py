"""`khaywe repartition` that kills itself at a step: `python -m tests.agents.repartition_process 4 fenced`."""

from __future__ import annotations

import os
import signal
import sys

from agents.lag import Hop, Pipeline
from agents.repartition import repartition
from config import topics
from config.settings import Settings
from streams.names import CUSTOMERS_GROUP


def main(partitions: int, step: str) -> None:
    """Run to that step."""

    def at(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    config = Settings(_env_file=None)
    pipeline = Pipeline(config, [Hop("customers", CUSTOMERS_GROUP, (topics.CUSTOMER_EVENTS,))])
    repartition(config, partitions, lambda: pipeline.look().total, lambda what, share: None, at)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
