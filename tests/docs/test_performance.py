"""The page of speed says what was measured, whether it is enough, and what was not measured."""

from __future__ import annotations

from typing import Any

from docs.made import performance

ENGINE: dict[str, Any] = {
    "events": 1_000, "customers": 10, "events_per_second": 100_001, "events_per_cpu_second": 90_000,
    "seconds": 1.0, "cpu_seconds": 1.0, "resident_bytes": 512_000_000, "share_of_librdkafka": 0.59,
    "latency": [
        {"latency_p50_ms": 60.0, "latency_p99_ms": 90.0}, {"latency_p50_ms": 80.0, "latency_p99_ms": 251.0},
    ],
}  # fmt: skip
RESULTS: dict[str, Any] = {
    "comparison": {"khaywe": ENGINE, "librdkafka": {**ENGINE, "customers": 0, "latency": []}},
    "peers": {"quix_streams": {**ENGINE, "khaywe_times_cpu": 6.0}},
    "scaling": {
        "customers": {
            "10000": {**ENGINE, "events_per_second": 100},
            "1000000": {**ENGINE, "events_per_second": 71},
        },
        "partitions": {},
        "workers": {},
    },
    "settled": {
        "10000": {**ENGINE, "events_per_second": 100},
        "1000000": {**ENGINE, "events_per_second": 69, "resident_bytes": 1 << 31},
    },
    "latency": {"loads": [{"records_per_second": 50_000, "latency_p50_ms": 80.4, "latency_p99_ms": 199.6}]},
    "commits": {"peers": "abc1234"},
}


def cells(text: str, first: str) -> list[str]:
    """The other cells of the row that begins so."""
    [line] = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_goals_are_reached_or_not() -> None:
    text = performance.page(RESULTS)
    assert cells(text, "raw events a second of one worker") == ["100,001", "100,000", "yes"]
    assert cells(text, "events a second of CPU, times Quix Streams 3.28") == ["6.0", "6.0", "yes"]
    assert cells(text, "share of librdkafka's limit") == ["59%", "60%", "no"]
    assert cells(text, "p99 of latency at half load, ms") == ["251", "at most 250", "no"]
    assert cells(text, "speed with 1 million customers, of that with 10,000") == ["69%", "70%", "no"]
    assert cells(text, "the same on a million customers' first day") == ["71%", "70%", "yes"]
    assert cells(text, "memory of a worker with 1 million customers, MiB") == ["2,048", "at most 1,024", "no"]
    assert cells(text, "rows restored a second") == ["not measured yet", "200,000", ""]


def test_engines_and_where_their_figures_are_from() -> None:
    text = performance.page(RESULTS)
    assert "`python -m bench peers`, at commit abc1234." in text
    assert cells(text, "khaywe") == ["100,001", "90,000", "", "60 / 90", "80 / 251", "512", "1,000", "10"]
    assert cells(text, "Quix Streams 3.28")[2] == "6.0"
    assert cells(text, "librdkafka alone")[-1] == ""
    assert cells(text, "50,000") == ["80", "200"]


def test_without_results_nothing_is_made_up() -> None:
    text = performance.page({})
    for part in ("peers", "latency", "pipeline", "settled", "scaling", "restore", "ticks", "soak", "api"):
        assert f"`python -m bench {part}`: not measured yet." in text
