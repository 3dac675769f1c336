"""What granting an offer means: written, refused, kept in PostgreSQL, told as a difference."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from catalog.content import decode, encode
from catalog.differences import differences
from catalog.draft import DraftError, read
from catalog.service import CatalogService
from catalog.written import files
from loyalty.game import Game, Offer

OFFER = """\
offers:
  - name: Student Night
    description: Free data after ten
    category: data
    lifecycle_stage: growth
    target_value_segment: low_medium
    segments: [student, youth]
    kind: data
    value: 2.5
    cost: 0.25
    points_factor: 1.5
    discount: 12.5
    bonus: {data_mb: 512, night_passes: 1}
    valid_days: 3
"""


def test_an_offer_is_kept_whole_and_told_field_by_field(service: CatalogService, tmp_path: Path) -> None:
    path = tmp_path / "offers.yaml"
    path.write_text(OFFER)
    before = service.latest()
    service.load_game(read([path]))
    after = service.latest()
    assert after.game.offers[-1] == Offer(
        8, "Student Night", "Free data after ten", "data", "growth", "low_medium", ["student", "youth"],
        "data", 2.5, 0.25, 1.5, 12.5, {"data_mb": 512.0, "night_passes": 1.0}, 3,
    )  # fmt: skip
    assert after.game.offers[-1].for_value == {"low", "medium"}
    (told,) = differences(before, after)
    assert {"    bonus.data_mb: 512.0", "    segments: student, youth"} <= set(told.lines())

    path.write_text(files(after.game)["offers.yaml"])
    assert read([path]).onto(Game(), 2).offers == after.game.offers

    path.write_text("offers: [{name: Student Night, cost: 0.5}]\n")
    service.load_game(read([path]))
    assert service.latest().game.offers[-1] == Offer(8, "Student Night", cost=0.5)


def test_a_revision_of_before_has_plain_offers(service: CatalogService) -> None:
    content = msgspec.json.decode(encode(service.latest()))
    content["game"]["offers"] = [{"offer_id": 0, "name": "Old", "description": "as it was"}]
    assert decode(msgspec.json.encode(content)).game.offers == [Offer(0, "Old", "as it was")]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("cost: -1", "cost: Input should be greater than or equal to 0"),
        ("points_factor: 0.5", "points_factor: Input should be greater than or equal to 1"),
        ("discount: 101", "discount: Input should be less than or equal to 100"),
        ("bonus: {data_mb: 0}", "bonus.data_mb: Input should be greater than 0"),
        ("valid_days: -1", "valid_days: Input should be greater than or equal to 0"),
        ("segments: ['']", "segments.0: String should have at least 1 character"),
        ("lifecyle_stage: all", "lifecyle_stage: there is no such field; is it lifecycle_stage?"),
    ],
)
def test_what_cannot_be_granted_is_refused_with_its_field(tmp_path: Path, said: str, fault: str) -> None:
    path = tmp_path / "o.yaml"
    path.write_text(f"offers: [{{name: A, {said}}}]\n")
    with pytest.raises(DraftError) as error:
        read([path])
    assert error.value.faults == [f'{path}:1: offers["A"].{fault}']


@pytest.mark.parametrize("said", ["kind: gift", "target_value_segment: rich"])
def test_words_that_nothing_knows_are_refused(tmp_path: Path, said: str) -> None:
    path = tmp_path / "o.yaml"
    path.write_text(f"offers: [{{name: A, {said}}}]\n")
    with pytest.raises(DraftError, match="Input should be"):
        read([path])
