"""`python -m tests.hostile --records 1000000 --seed 1`: hostile records by hand, as many as wanted."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time

from tests.hostile.hostile import ROUND, Wild

#: Seconds a round may take before where it hangs is printed and the run ends.
HANG = 300


def main() -> None:
    """Run, show how far it is, print the figures; a traceback and exit code 1 for the first fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    wild = Wild(said.seed)
    started, went, shown = time.monotonic(), 0, 0.0

    def done(records: int) -> None:
        nonlocal went, shown
        went += records
        faulthandler.dump_traceback_later(HANG, exit=True)
        now = time.monotonic()
        if now - shown >= 5:
            shown = now
            rate = went / (now - started)
            print(
                f"{went:>12,} of {said.records:,} records, {rate:,.0f} a second", file=sys.stderr, flush=True
            )

    faulthandler.dump_traceback_later(HANG, exit=True)
    try:
        wild.run(said.records, done)
    except BaseException:
        print(f"seed {said.seed}: after {went:,} records, in round {went // ROUND + 1}:", file=sys.stderr)
        raise
    faulthandler.cancel_dump_traceback_later()
    print(f"seed {said.seed}, {time.monotonic() - started:.0f} s; nothing lost, both folds agree")
    for line in wild.books.lines():
        print(line)


if __name__ == "__main__":
    main()
