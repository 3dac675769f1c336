"""What tests of the transport share."""

from __future__ import annotations

from uuid import uuid4

import pytest

from config.settings import Settings
from streams import topics


@pytest.fixture
def topic(services: Settings) -> str:
    """A topic of its own."""
    name = f"streams-{uuid4().hex}"
    topics.ensure_raw_topic(services, name)
    return name
