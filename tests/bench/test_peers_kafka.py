"""Peers on a real broker, as processes, exactly once: what they tell is what the reference tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.peers import check, start
from config.settings import Settings


@pytest.mark.parametrize("peer", start.PEERS)
def test_a_peer_tells_what_is_right(peer: str, services: Settings) -> None:
    check.verify(peer, services)


def test_a_peer_with_other_rules_is_wrong(services: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    right = start.write

    def write(path: Path) -> Path:
        """One template less."""
        rules = json.loads(right(path).read_bytes())
        rules["templates"] = [each for each in rules["templates"] if each["name"] != "First Recharge"]
        path.write_text(json.dumps(rules))
        return path

    monkeypatch.setattr(start, "write", write)
    with pytest.raises(check.Wrong, match="quix_streams does not tell"):
        check.verify("quix_streams", services)
