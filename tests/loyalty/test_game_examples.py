"""The examples worked out by hand once more, the compiled fold beside the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.loyalty import (
    test_game_reference,
    test_game_reference_asked,
    test_game_reference_given,
    test_game_reference_points,
    test_reference,
    test_reference_foretold,
    test_reference_log,
    test_reference_predictions,
)
from tests.loyalty.agreement import agree
from tests.loyalty.compiled_partition import CompiledPartition
from tests.reference import examples
from tests.reference.fold import ReferenceFold
from tests.reference.streams import run_log

for module in (
    test_game_reference,
    test_game_reference_asked,
    test_game_reference_given,
    test_game_reference_points,
    test_reference,
    test_reference_foretold,
    test_reference_log,
    test_reference_predictions,
):
    for name, each in vars(module).items():
        if name.startswith("test_"):
            assert name not in globals(), f"two examples are called {name}"
            globals()[name] = each


@pytest.fixture(autouse=True)
def compiled_too() -> Iterator[None]:
    examples.ALSO.append(_also)
    yield
    examples.ALSO.remove(_also)


def _also(
    contents: Mapping[int, Any],
    partition: int,
    segments: Sequence[Sequence[Any]],
    fold: ReferenceFold,
    effects: list[Any],
) -> None:
    ours = CompiledPartition(contents=contents, partition=partition)
    agree(ours, run_log(ours, segments), fold, effects)
