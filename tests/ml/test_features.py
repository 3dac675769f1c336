"""The matrix against sums over the very events that made the rows."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.calendar import DAY_MS
from loyalty.hashing import word_hash
from loyalty.row import OPEN, ROW
from loyalty.times import iso
from ml import features
from ml.simulator import AS_OF_DAY, fold
from tests.ml import plain_features
from tests.ml.customers import small

END = (AS_OF_DAY + 1) * DAY_MS


def record(n: int, kind: str, ago: float, value: float = 1.0, **attributes: object) -> bytes:
    at = iso(int(END - 1 - ago * DAY_MS))
    return msgspec.json.encode(
        {
            "event_id": f"{kind}-{n}", "customer_id": "c", "event_type": kind, "source": "test",
            "value": value, "occurred_at": at, "received_at": at, "attributes": attributes,
        }
    )  # fmt: skip


def one(events: list[tuple[str, float, float]], **more: object) -> dict[str, float]:
    """The features of a customer with these events (kind, days ago, value), told in order of time."""
    ordered = sorted(events, key=lambda event: -event[1])
    rows = fold([record(n, *event) for n, event in enumerate(ordered)], ["c"])
    return dict(zip(features.NAMES, features.matrix(rows, **more)[0].tolist(), strict=True))  # type: ignore[arg-type]


def test_the_table_names_every_column_once() -> None:
    assert len(set(features.NAMES)) == len(features.NAMES)
    assert all(each.unit and each.window and each.about for each in features.FEATURES)
    assert set(features.NAMES) >= features.UNKNOWNS
    assert features.matrix(np.zeros(2, ROW)).shape == (2, len(features.NAMES))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 59), st.integers(1, 500)), min_size=1, max_size=40))
def test_sums_and_trends_are_those_of_the_events(calls: list[tuple[int, int]]) -> None:
    found = one([("voice_call", float(ago), float(seconds)) for ago, seconds in calls])
    now, before = (
        [seconds for ago, seconds in calls if low <= ago < high] for low, high in ((0, 15), (15, 30))
    )
    assert found["calls_30d"] == len(now) + len(before)
    assert found["seconds_30d"] == sum(now) + sum(before)
    both = len(now) + len(before)
    assert found["calls_trend"] == pytest.approx((len(now) - len(before)) / both if both else 0)
    assert found["active_days_30"] == len({ago for ago, _ in calls if ago < 30})
    assert found["active_days_90"] == len({ago for ago, _ in calls})
    assert found["active_days_7"] == len({ago for ago, _ in calls if ago < 7})
    assert found["days_since_activity"] == min(ago for ago, _ in calls)
    assert found["tenure_days"] == max(ago for ago, _ in calls)
    assert found["days_since_transaction"] == -1


def test_money_is_in_units_of_currency() -> None:
    events = [("recharge", 2.0, 10.0), ("recharge", 40.0, 4.0), ("payment", 80.0, 6.0)]
    found = one(events)
    assert (found["recharge_30d"], found["revenue_30d"], found["revenue_90d"]) == (10, 10, 20)
    assert found["revenue_trend"] == pytest.approx((10 - 4) / 14)
    assert (found["paying_days_90d"], found["recharge_days_30d"]) == (3, 1)
    assert one(events, decimals=3)["revenue_90d"] == pytest.approx(2.0)


def test_a_later_day_moves_the_windows_and_an_earlier_one_is_refused() -> None:
    events = [("voice_call", 0.0, 60.0), ("voice_call", 10.0, 60.0), ("recharge", 29.0, 5.0)]
    found = one(events, day=AS_OF_DAY + 20)
    assert (found["calls_30d"], found["recharge_30d"], found["revenue_90d"]) == (1, 0, 5)
    assert (found["calls_trend"], found["active_days_30"], found["active_days_90"]) == (-1, 1, 3)
    assert found["days_since_activity"] == 20
    with pytest.raises(ValueError, match="later day"):
        one(events, day=AS_OF_DAY - 1)


def test_days_are_those_of_the_operators_timezone() -> None:
    """Half an hour before midnight UTC is the next day in Asia/Tokyo."""
    rows = np.zeros(1, ROW)
    rows["state"], rows["day"] = OPEN, AS_OF_DAY + 1
    rows["last_activity"] = END - 1_800_000
    at = features.NAMES.index("days_since_activity")
    assert features.matrix(rows, timezone="Asia/Tokyo")[0, at] == 0
    assert features.matrix(rows)[0, at] == 1


def test_tariffs_have_codes_and_others_buckets() -> None:
    rows = np.zeros(4, ROW)
    rows["tariff"] = [0, word_hash("prepaid"), word_hash("hybrid"), word_hash("Gold 5G")]
    found = features.matrix(rows)[:, features.NAMES.index("tariff")].tolist()
    assert found[:3] == [0, 1, 3]
    assert 4 <= found[3] < 4 + features.TARIFF_BUCKETS


def test_the_same_matrix_row_by_row_and_all_at_once() -> None:
    population, _ = small()
    whole = features.matrix(population.rows, population.day)
    assert np.isfinite(whole).all()
    assert whole.dtype == np.float32
    for at in (0, 7, 150):
        np.testing.assert_array_equal(features.matrix(population.rows[at : at + 1]), whole[at : at + 1])


@pytest.mark.parametrize(("timezone", "decimals"), [("UTC", 2), ("Asia/Tokyo", 3)])
@pytest.mark.parametrize("later", [0, 1, 200])
def test_compiled_and_plain_give_the_same_bits(timezone: str, decimals: int, later: int) -> None:
    rows = small()[0].rows
    days = rows["day"].astype(np.int64) + np.arange(len(rows)) % (later + 1)
    found = features.matrix(rows, days, decimals=decimals, timezone=timezone)
    wanted = plain_features.matrix(rows, days, decimals, timezone)
    assert found.tobytes() == wanted.tobytes()


def test_rows_of_any_bytes_give_the_same_bits() -> None:
    """Cells, counts and words as no fold would leave them; times of a century."""
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 256, (400, ROW.itemsize), np.uint8).reshape(-1).view(ROW)
    rows["day"] = rng.integers(0, 40_000, len(rows))
    for name in ("activation", "first_event", "last_activity", "last_transaction"):
        rows[name] = rng.integers(-5, 4_000_000_000_000, len(rows)) * rng.integers(0, 2, len(rows))
    for name in ("complaints", "referrals", "payments_known", "payments_on_time"):
        rows[f"life_{name}"] = rng.integers(0, 1_000, len(rows))
    days = rows["day"].astype(np.int64) + rng.integers(0, 100, len(rows))
    assert features.matrix(rows, days).tobytes() == plain_features.matrix(rows, days).tobytes()


def test_who_has_too_little_history() -> None:
    def known(*events: tuple[str, float, float]) -> bool:
        rows = fold([record(n, *event) for n, event in enumerate(events)], ["c"])
        return not features.insufficient_history(features.matrix(rows))[0]

    call = [("voice_call", float(ago), 60.0) for ago in (89, 80, 70, 3)]
    assert known(*call)
    assert not known(("activation", 5.0, 1.0), *[("voice_call", float(ago), 9.0) for ago in (4, 3, 2, 1)])
    assert not known(("activation", 40.0, 1.0), ("voice_call", 1.0, 60.0))
    assert known(("activation", 400.0, 1.0)), "long silent is history too"
    assert features.insufficient_history(features.matrix(np.zeros(1, ROW)))[0]
