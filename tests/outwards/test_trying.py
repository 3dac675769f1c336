"""When a delivery is tried again, and when it is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from outwards.trying import Policy, Verdict

POLICY = Policy.of(Settings(_env_file=None))
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def test_pauses_double_up_to_ten_minutes() -> None:
    assert [POLICY.pause(n) for n in range(1, 13)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert POLICY.pause(10_000) == 600
    two_hours = sum(POLICY.pause(n) for n in range(1, POLICY.tries))
    assert 1.5 * 3600 < two_hours < 2.1 * 3600, "docs/outwards.md says about two hours"


@pytest.mark.parametrize(
    ("tries", "hours", "last_success", "refused", "verdict"),
    [
        (1, 0, None, False, Verdict.AGAIN),
        (2, 0, None, True, Verdict.AGAIN),
        (3, 0, None, True, Verdict.DEAD),
        (19, 2, 1, False, Verdict.AGAIN),
        (20, 2, 1, False, Verdict.DEAD),
        (20, 2, -1, False, Verdict.AGAIN),
        (99, 23.9, None, False, Verdict.AGAIN),
        (99, 24, None, False, Verdict.SUSPEND),
        (99, 24, -1, False, Verdict.SUSPEND),
        (9, 24, 1, False, Verdict.DEAD),
    ],
)
def test_verdicts(
    tries: int, hours: float, last_success: float | None, refused: bool, verdict: Verdict
) -> None:
    """`hours` since the first try; `last_success`: hours after it."""
    taken = None if last_success is None else BEGAN + timedelta(hours=last_success)
    now = BEGAN + timedelta(hours=hours)
    assert POLICY.verdict(tries, BEGAN, now, taken, refused) is verdict
