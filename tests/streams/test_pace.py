"""How many records the next poll may take."""

from __future__ import annotations

from streams.pace import LEAST, WORK_SECONDS, Pace


def test_slow_records_make_polls_small_at_once_and_quick_ones_large_again_step_by_step() -> None:
    pace = Pace(10_000)
    pace.worked(10_000, 8 * WORK_SECONDS)
    assert pace.most == 1_250
    pace.worked(1_250, WORK_SECONDS / 100)
    assert pace.most == 2_500
    for _ in range(3):
        pace.worked(pace.most, WORK_SECONDS / 100)
    assert pace.most == 10_000


def test_a_poll_that_was_not_full_says_only_that_it_took_too_long() -> None:
    pace = Pace(10_000)
    pace.worked(1_000, WORK_SECONDS / 2)
    assert pace.most == 10_000
    pace.worked(1_000, 2 * WORK_SECONDS)
    assert pace.most == LEAST


def test_bounds() -> None:
    pace = Pace(10_000)
    pace.worked(1, 60.0)  # a tick through all customers
    assert pace.most == LEAST
    few = Pace(100)
    few.worked(100, 60.0)
    assert few.most == 100
    few.worked(100, 0.0)
    assert few.most == 100
