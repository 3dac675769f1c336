"""Logs: one line a message on stderr, with time (UTC), level, place and words."""

from __future__ import annotations

import logging
import time

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"
# Libraries that tell at `info` what is of use to their own developers only.
CHATTY = ("aiokafka", "aiohttp", "alembic", "faust", "kafka", "mode", "numba", "sqlalchemy.engine")


class OneLine(logging.Formatter):
    """Line breaks become bars; of an exception its type and words, the traceback only at level `debug`."""

    converter = time.gmtime  # type: ignore[assignment]  # as logging's own documentation has it

    def __init__(self, tracebacks: bool) -> None:
        super().__init__(FORMAT, "%Y-%m-%dT%H:%M:%S")
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        if self._tracebacks:
            return super().format(record)
        plain = logging.makeLogRecord(
            record.__dict__ | {"exc_info": None, "exc_text": None, "stack_info": None}
        )
        text = super().format(plain)
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text += f": {type(error).__name__}: {error}"
        return " | ".join(text.splitlines())


def setup(level: str) -> None:
    """Log to stderr from this level (`debug`, `info`, `warning`, `error`) on, and nowhere else."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(tracebacks=level == "debug"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else logging.WARNING)
