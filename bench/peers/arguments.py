"""What every peer is started with; bench/peers/README.md explains the members."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arguments:
    """Broker and topics of a run, the rules, and a directory for state."""

    broker: str
    raw: str
    prefix: str
    partitions: int
    rules: Path
    home: Path
    group: str
    commit_ms: int

    @classmethod
    def of(cls, peer: str) -> Arguments:
        """Those of the command line."""
        parser = ArgumentParser()
        parser.add_argument("--broker", required=True)
        parser.add_argument("--raw", required=True)
        parser.add_argument("--prefix", required=True)
        parser.add_argument("--partitions", type=int, required=True)
        parser.add_argument("--rules", type=Path, required=True)
        parser.add_argument("--home", type=Path, required=True)
        parser.add_argument("--commit-ms", type=int, default=500)
        given = parser.parse_args()
        return cls(
            given.broker,
            given.raw,
            given.prefix,
            given.partitions,
            given.rules,
            given.home,
            given.prefix + peer,
            given.commit_ms,
        )
