"""Ids and their ordinals, against a dict."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.hashing import hash64_many
from loyalty.ids import Ids
from loyalty.spans import Spans

ids_of_any_kind = st.lists(st.lists(st.binary(max_size=6), max_size=40), max_size=8)


@settings(deadline=None)  # it may have to be compiled
@given(ids_of_any_kind)
def test_as_a_dict(batches: list[list[bytes]]) -> None:
    """Ids with repetitions in a batch, empty ones, and where the table grows at nearly each."""
    ids, known = Ids(), dict[bytes, int]()
    for batch in batches:
        assert ids.find(batch).tolist() == [known.get(id, -1) for id in batch]
        for id in batch:
            known.setdefault(id, len(known))
        assert ids.add(batch).tolist() == [known[id] for id in batch]
        assert len(ids) == len(known)
        assert ids.all().all() == list(known)
        assert [ids.one(id) for id in batch] == [known[id] for id in batch]


@settings(deadline=None)  # it may have to be compiled
@given(ids_of_any_kind, st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
def test_few_hashes(batches: list[list[bytes]], few: set[int]) -> None:
    """Ids that share a hash are told apart by their bytes."""
    by_id = {id: sorted(few)[sum(id) % len(few)] for batch in batches for id in batch}
    ids, known = Ids(), dict[bytes, int]()
    for batch in batches:
        for id in batch:
            known.setdefault(id, len(known))
        hashes = np.array([by_id[id] for id in batch], np.uint64)
        assert ids.add(batch, hashes).tolist() == [known[id] for id in batch]
        assert ids.find(Spans.of(batch), hashes).tolist() == [known[id] for id in batch]


def test_pieces_of_a_text() -> None:
    """Ids are looked up where they stand, in any order, with hashes that stand apart from each other."""
    text = np.frombuffer(b"..anna,bert;carl", np.uint8)
    spans = Spans(text, np.array([7, 2, 12, 7]), np.array([11, 6, 16, 11]))
    hashes = np.repeat(hash64_many(spans), 2)[::2]
    ids = Ids()
    assert ids.add(spans, hashes).tolist() == [0, 1, 2, 0]
    assert ids.find([b"carl", b"anna", b"dora"]).tolist() == [2, 1, -1]
    assert ids.at(np.array([2, 0, 2])).all() == [b"carl", b"bert", b"carl"]


def test_looked_at_while_it_grows() -> None:
    """Whoever looks meanwhile sees what was there before, wherever the table has moved to."""
    ids, failed = Ids(), list[int]()
    ids.add([b"%d" % n for n in range(100)])
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            for n in range(100):
                if ids.one(b"%d" % n) != n:
                    failed.append(n)

    reader = threading.Thread(target=look)
    reader.start()
    for start in range(100, 200_000, 500):
        ids.add([b"%d" % n for n in range(start, start + 500)])
    ended.set()
    reader.join()
    assert not failed
