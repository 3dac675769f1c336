"""Ids hashed together are those that hashlib gives one by one."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.effects import hexes
from loyalty.spans import Texts


def check(texts: list[bytes]) -> None:
    wanted = [blake2b(text, digest_size=16).hexdigest().encode() for text in texts]
    assert hexes(Texts.of(texts).hashed()) == wanted


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=600), max_size=8))
def test_any_texts(texts: list[bytes]) -> None:
    check(texts)


def test_every_length_around_a_block() -> None:
    check([bytes(range(256))[:length] for length in range(257)] + [b"x" * 100_000, b""])
