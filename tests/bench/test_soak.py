"""What a raw record brings onto Kafka is read off its logs."""

from __future__ import annotations

from pathlib import Path

from bench.pipeline import Metrics
from bench.soak import _volume


def test_what_a_record_brings(tmp_path: Path) -> None:
    for name, size in {
        "raw_cdr_events-0/0.log": 1_500, "raw_cdr_events-1/0.log": 500, "raw_cdr_events-1/0.index": 9_999,
        "customer-events-0/0.log": 300, "customer-events-0/7.log": 100, "decisions-0/0.log": 0,
        "__consumer_offsets-0/0.log": 700,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    metrics: Metrics = {
        ("khaywe_records_in_total", "raw_cdr_events"): 10.0,
        ("khaywe_records_in_total", "customer-events"): 8.0,
        ("khaywe_records_out_total", "customer-events"): 8.0,
        ("khaywe_records_out_total", "decisions"): 2.5,
    }
    assert _volume(tmp_path, metrics, "raw_cdr_events") == {
        "bytes_a_record": {"customer-events": 40.0, "raw_cdr_events": 200.0},
        "records_a_record": {"customer-events": 0.8, "decisions": 0.25},
    }
