"""The compiled parts one by one: hashes, days, times, integers, bytes that are no records, scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import loyalty
from loyalty import events
from loyalty.calendar import calendar, day_of, last_refresh, week_of
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.decode import decode, integers
from loyalty.explain import explain
from loyalty.game import Game
from loyalty.hashing import hash64, hash64_many, word_hash
from loyalty.log import joined
from loyalty.policy import compile_policy
from loyalty.times import NO_TIME, iso, iso_many, parse_many
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference import model
from tests.reference.records import CONTENTS, command, event, marker, tick
from tests.reference.streams import broken, realistic, run_log

TIMES = st.integers(31_536_000_000, 4_102_444_799_999)  # 1971 to 2099
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80)))
def test_hashes_are_those_of_the_page(items: list[bytes]) -> None:
    assert hash64_many(items).tolist() == [model.hash64(item) for item in items]


def test_hashes_of_a_few_words_stay() -> None:
    assert [hash64(b""), hash64(b"abc"), word_hash("gold"), word_hash("")] == [
        17665956581633026203, 996580060897260808, model.hash64(b"gold") % 2**32, 0,
    ]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(TIMES, st.sampled_from(ZONES))
@example(1325239200000 - 1, "Pacific/Apia")
@example(1325239200000, "Pacific/Apia")  # a day that never was
@example(1540695600000, "America/Sao_Paulo")
def test_days_are_those_of_the_timezone(time: int, zone: str) -> None:
    day = day_of(time, calendar(zone)[0])
    assert day == model.local_day(time, zone)
    assert week_of(day) == model.week(day)


@settings(deadline=None)
@given(TIMES, st.text(min_size=1, max_size=20))
def test_refreshes_are_those_of_the_page(time: int, customer: str) -> None:
    minute = hash64(customer.encode()) % 1440
    assert last_refresh(time, minute) == model.last_refresh(customer, time)


@settings(deadline=None)
@given(st.lists(TIMES))
def test_times_go_out_and_come_back(times: list[int]) -> None:
    texts = iso_many(np.array(times, np.int64))
    assert texts == [model.iso(time) for time in times]
    assert parse_many(texts).tolist() == times
    assert not times or iso(times[0]) == texts[0]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.from_regex(
                r"(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\.[0-9]{3}Z\n?"
            ),
        )
    )
)
def test_texts_that_are_no_times_are_none(texts: list[str]) -> None:
    def expected(text: str) -> int:
        try:
            return model.parse_time(text)
        except model.Undecodable:
            return NO_TIME

    assert parse_many(texts).tolist() == [expected(text) for text in texts]


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(10**9), 10**9).map(lambda n: n / 2048),
        st.integers(-(10**9), 10**9).map(lambda n: n / 2000),
        st.integers(0, 10**17).map(float),
    ),
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.sampled_from(["voice_call", "sms", "data_session", "recharge", "complaint"]),
)
@example(0.285, "USD", "recharge")
@example(1.005, "USD", "recharge")
@example(2.675, "USD", "recharge")
@example(0.00048828125, "USD", "data_session")
@example(12345678.00048828125, "USD", "data_session")
def test_values_become_integers_in_decimal(value: float, currency: str, kind: str) -> None:
    decimals = {"USD": 2, "JPY": 0, "KWD": 3}[currency]
    content = _content(Decisions(currency=currency, currency_decimals=decimals))
    found = integers(np.array([value]), np.array([events.CODES[kind]], np.uint8), compile_policy(content))
    assert found.tolist() == [model.integer(kind, value, decimals)]


def _content(decisions: Decisions) -> Any:
    class Content:
        def __init__(self) -> None:
            self.decisions, self.policy, self.game = decisions, ScoringPolicy(), Game()
            self.predictions = Predictions()

    return Content()


WHOLE = event("ключ", "payment", "2020-01-01", 5.5, "e1", on_time="yes", more={"deep": [1, None]})


@settings(max_examples=1_000, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, len(WHOLE)), st.binary(max_size=3)).map(
            lambda cut: WHOLE[: cut[0]] + cut[2] + WHOLE[cut[0] + cut[1] % 4 :]
        ),
        st.sampled_from(broken()),
    )
)
def test_what_is_no_record_is_put_aside_with_a_reason(raw: bytes | None) -> None:
    batch = decode(joined([(7, WHOLE), (8, raw), (9, WHOLE)]))
    try:
        record = model.read(raw, lambda text: 1 / 0)  # type: ignore[arg-type, return-value]
        known = record.event_type in model.UNIT_OF or record.event_type in model.SYSTEM
        expected = [] if known else [(8, "unknown_event_type")]
    except model.Undecodable:
        expected = [(8, "undecodable")]
    assert [(offset, reason) for offset, reason, _ in batch.dead] == expected
    assert batch.offsets == ([7, 9] if expected else [7, 8, 9])
    assert all(message for _, _, message in batch.dead)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "a\0"}, "customer_id"),
        ({"value": "5"}, "value"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"attributes": None}, "attributes"),
        ({"event_type": "teleport"}, "teleport"),
        ({"event_type": "_tick", "attributes": {"at": "now"}}, "attributes.at"),
        ({"event_type": "_marker"}, "attributes.revision"),
        ({"event_type": "_command"}, "attributes.command_id"),
        ({"event_type": "_merge", "attributes": {"row": "AAAA"}}, "attributes.row"),
    ],
)
def test_the_message_of_a_dead_letter_names_the_field(change: dict[str, Any], field: str) -> None:
    ((_, _, message),) = decode(joined([(1, json.dumps(json.loads(WHOLE) | change).encode())])).dead
    assert field in message


def test_what_is_shown_is_what_was_published() -> None:
    ours = CompiledPartition()
    records = realistic(5, customers=30, events=600, days=40)
    run_log(ours, [[marker(2), *records, command("", name="recalculate", segment="all")]])
    shown = 0
    for customer in ours.rows:
        slot = ours.state.find(customer.encode())
        row = ours.state.rows[slot]
        if row["state"] == 1:
            scores = explain(row, CONTENTS[2])
            assert [round(score["value"] * 100) for score in scores.values()] == row["published"].tolist()
            shown += any(score["value"] for score in scores.values())
    assert shown > 20


def test_compiled_code_of_other_sources_is_never_used(tmp_path: Path) -> None:
    """numba looks at the changes of one file; a constant that it took over from another must count too."""
    copy = tmp_path / "loyalty"
    shutil.copytree(Path(loyalty.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    program = """
import numpy as np
from loyalty.content import Decisions, Predictions, ScoringPolicy
from loyalty.game import Game
from loyalty.policy import compile_policy, MEASURES
from loyalty.row import empty
from loyalty.scores import measure

class Content:
    decisions, policy, game, predictions = Decisions(), ScoringPolicy(), Game(), Predictions()

row, out = empty()[0], np.zeros(len(MEASURES))
row["day"], row["first_event"] = 100, 86_400_000
measure(row, compile_policy(Content())[0], out)
print(out[9])
"""

    def tenure() -> float:
        run = [sys.executable, "-c", program]
        return float(subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)

    assert tenure() == tenure() == 99
    source, offset = (copy / "calendar.py").read_text(), "calendar.offsets[low]"
    (copy / "calendar.py").write_text(source.replace(offset, f"{offset} - DAY_MS"))
    assert tenure() == 100


def test_a_command_for_nobody_is_the_first_thing_a_partition_sees() -> None:
    ours = CompiledPartition()
    (effect,) = run_log(ours, [[command("nobody")]])
    assert (effect["value"]["status"], effect["value"]["reason"]) == ("refused", "unknown_customer")
    assert not ours.rows
    assert run_log(CompiledPartition(), [[], [tick("2020-01-01")]]) == []


def test_what_is_prepared_is_all_that_is_ever_compiled() -> None:
    program = """
from numba.core.dispatcher import Dispatcher
import importlib, pkgutil, loyalty
from loyalty.prepare import prepare

def compiled():
    names = [room.name for room in pkgutil.iter_modules(loyalty.__path__)]
    rooms = [importlib.import_module(f"loyalty.{name}") for name in names]
    found = {id(f): f for room in rooms for f in vars(room).values() if isinstance(f, Dispatcher)}
    return sorted((f.__name__, str(each)) for f in found.values() for each in f.signatures)

prepare()
before = compiled()
wanted = {"fold", "merge", "tick_rows", "command_rows", "take_back_grants", "answer_reservation", "_parse"}
assert wanted <= {name for name, _ in before}
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference.records import command, event, marker, tick
from tests.reference.streams import realistic, run_log
records = realistic(3, customers=20, events=400, days=200)
end = [command("", segment="all"), tick("2025-01-01"), command("27820000001", command_id="c2")]
run_log(CompiledPartition(sizes=[1, 300], chunk=3), [[marker(4), *records, *end]])
from tests.reference.streams_game import playing
run_log(CompiledPartition(sizes=[1, 300], chunk=3), playing(3, 6, 600, 30, (20, 23, 25)))
assert compiled() == before, set(compiled()) - set(before)
"""
    here = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], cwd=here, check=True)
