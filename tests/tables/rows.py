"""Rows and a changelog for the tests of the customer table."""

from __future__ import annotations

from typing import Any

import numpy as np
from confluent_kafka import Producer

from config.settings import Settings
from loyalty.packing import opened, pack
from loyalty.row import FORMAT, OPEN, ROW
from loyalty.state import ROW_KEY


def row(due: int) -> bytes:
    """An open row that is told by its `due`."""
    one = np.zeros(1, ROW)
    one["format"], one["state"], one["due"], one["as_of"] = FORMAT, OPEN, due, due // 2
    return pack(one, np.array([0]))[0]


def due_of(value: bytes) -> int:
    """The `due` that tells a row."""
    return int(opened(value)["due"][0])


def key(number: int) -> bytes:
    """Changelog key of a customer."""
    return ROW_KEY + b"c%06d" % number


def producer(settings: Settings, name: str = "") -> Producer:
    """A producer; a transactional one if it has a name."""
    more: dict[str, Any] = {"transactional.id": name} if name else {}
    made = Producer(settings.producer_config(**{"linger.ms": 5, **more}))
    if name:
        made.init_transactions(10)
    return made
