"""What the processes of tests have imported and compiled when they begin: see `forked`.

Nothing imported here may read the settings.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module

import numpy as np

from loyalty import census, why
from loyalty.prepare import prepare
from loyalty.row import ROW
from ml import features
from streams import librdkafka

for name in (
    "agents.dead_letters", "agents.folding", "agents.normalizing", "agents.poller", "agents.portrait",
    "agents.projecting", "alembic.command", "catalog.service", "cli.lag", "cli.source", "faust.cli.base",
    "outwards.notifier", "streams.record_app", "tests.faults.forked",
):  # fmt: skip
    import_module(name)
prepare()
why.prepare()
census.prepare()
librdkafka.prepare()
features.matrix(np.zeros(1, ROW))
assert "streams.app" not in sys.modules, "it would have the settings of whoever imported it first"
gc.freeze()
