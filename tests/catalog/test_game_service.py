"""The game in PostgreSQL: the seed of a fresh installation, loads as revisions, numbers that stay taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, text

from catalog.content import Content
from catalog.draft import Draft, DraftError, read, seed
from catalog.service import CatalogError, CatalogService
from catalog.written import files
from config.settings import Settings
from loyalty.game import Game

Write = Callable[[str], Draft]

MISSION = """\
templates:
  - name: {name}
    category: engagement
    goal: {{kind: count, types: [voice_call]}}
    target: 3
    duration: 14 days
    cooldown: 30 days
    priority: 10
    rewards: {{points: 20}}
    active: {active}
"""


def mission(name: str, active: str = "true") -> str:
    return MISSION.format(name=name, active=active)


def test_a_fresh_installation_has_the_seed(service: CatalogService) -> None:
    content = service.latest()
    assert content.game == seed().onto(Game(), content.decisions.currency_decimals)
    assert (content.revision, len(content.game.templates), len(content.game.badges)) == (1, 29, 12)


def test_a_load_is_one_revision_and_the_same_again_none(
    service: CatalogService, draft: Write, tmp_path: Path
) -> None:
    assert service.load_game(seed()) == 1
    given = draft(mission("Night Calls") + "points_valid_months: 6\n")
    assert service.draft_game(given).points_valid_months == 6
    assert service.latest().revision == 1
    assert service.load_game(given) == 2
    assert service.load_game(given, "again") == 2
    content = service.latest()
    assert (content.note, content.game) == ("loaded rules.yaml", service.draft_game(given))
    assert (content.game.points_valid_months, content.game.templates[-1].number) == (6, 30)
    out = tmp_path / "out"
    out.mkdir()
    for name, said in files(content.game).items():
        (out / name).write_text(said, encoding="utf-8")
    assert service.load_game(read([out])) == 2


def test_other_edits_carry_the_game_on(service: CatalogService, draft: Write) -> None:
    service.load_game(draft(mission("Night Calls")), "for the night")
    assert service.latest().note == "for the night"
    assert service.switch_source("custom", False) == 3
    assert service.latest().game == service.revision(2).game != service.revision(1).game


def test_what_is_refused_changes_nothing(service: CatalogService, draft: Write) -> None:
    before = service.latest()
    with pytest.raises(DraftError):
        service.load_game(draft(mission("Night Calls").replace("points: 20", "offer: Nothing")))
    assert service.latest() == before


def test_every_part_of_the_game_is_stored_and_read_alike(service: CatalogService, draft: Write) -> None:
    service.load_game(
        draft(
            """\
offers: [{name: Extra, description: more}, {offer_id: 0, name: Weekend}]
badges:
  - name: Owl
    description: at night
    active: false
    levels:
      bronze: {condition: tenure_days >= 1, rewards: {points: 1}}
      silver: {condition: tenure_days >= 2, rewards: {offer: Extra}}
      gold: {condition: tenure_days >= 3}
      platinum: {condition: tenure_days >= 4}
tiers: [{name: all, points: 0}, {name: some, points: 10}]
earning: [{name: More, types: payment, points_per_unit: 0.5, where: value > 3}]
points_valid_months: 1
templates:
  - name: Much
    category: revenue
    after: [First Recharge]
    goal: {kind: share, types: [payment], where: on_time = yes, among: value > 1, at_least: 2}
    target: 50
    duration: 30 days
    cooldown: 1 day
    priority: 1
    rewards: {points: 9, offer: Extra, badge: {name: Owl, level: silver}}
    limits: {per_customer: 1, total: 2, budget: 30}
  - name: Personal
    category: revenue
    goal: {kind: sum, types: [data], where: value > 1}
    target: {baseline: data_mb_30_days, stretch: 1.5, low: 1, high: 10}
    duration: 30 days
    cooldown: 1 day
    priority: 1
    rewards: {points: 1}
"""
        )
    )
    content = service.latest()
    game = content.game
    assert game == service.draft_game(draft("points_valid_months: 1"))
    assert [offer.name for offer in game.offers if offer.offer_id in (0, 8)] == ["Weekend", "Extra"]
    assert game.badges[-1].levels[1].rewards.offer == 8
    assert game.templates[-2].rewards.badge == game.badges[-1].number
    assert [tier.name for tier in game.tiers] == ["all", "some"]


def test_what_went_keeps_its_number(service: CatalogService, draft: Write) -> None:
    service.load_game(draft("offers: [{name: Extra}]"))
    assert service.load_game(draft("offers: [{name: Extra, active: false}]")) == 3
    assert service.load_game(draft("offers: [{name: Extra, active: false}]")) == 3
    assert [offer.offer_id for offer in service.latest().game.offers] == list(range(8))
    with pytest.raises(DraftError, match="8 was 'Extra'"):
        service.load_game(draft("offers: [{offer_id: 8, name: Other}]"))
    service.load_game(draft("offers: [{name: Other}]"))
    service.load_game(draft("offers: [{name: Extra}]"))
    assert {offer.name: offer.offer_id for offer in service.latest().game.offers[8:]} == {
        "Extra": 8, "Other": 9,
    }  # fmt: skip
    service.load_game(draft(mission("Night Calls", "false")))
    with pytest.raises(DraftError, match="30 was 'Night Calls'"):
        service.load_game(draft(mission("Day Calls").replace("- name", "- number: 30\n    name")))
    service.load_game(draft(mission("Day Calls")))
    assert [(each.number, each.active) for each in service.latest().game.templates[-2:]] == [
        (30, False), (31, True),
    ]  # fmt: skip


def test_names_change_places_in_the_tables_too(service: CatalogService, draft: Write) -> None:
    service.load_game(
        draft("offers: [{offer_id: 1, name: Recharge Bonus}, {offer_id: 2, name: Welcome Data Pack}]")
    )
    assert [offer.name for offer in service.latest().game.offers[1:3]] == [
        "Recharge Bonus", "Welcome Data Pack",
    ]  # fmt: skip


def test_two_that_load_at_once_do_not_share_a_number(
    database: str, services: Settings, service: CatalogService, tmp_path: Path
) -> None:
    def work(editor: int) -> None:
        mine = CatalogService(database, services)
        for each in range(4):
            path = tmp_path / f"{editor}-{each}.yaml"
            path.write_text(mission(f"Mission {editor} {each}"), encoding="utf-8")
            mine.load_game(read([path]))
        mine.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    content = service.latest()
    assert content.revision == 17
    assert [each.number for each in content.game.templates] == list(range(1, 46))


def test_a_catalog_from_before_the_game_has_none_until_it_is_loaded(
    database: str, service: CatalogService, draft: Write
) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        for table in ("badge_levels", "badges", "templates", "earning_rules", "offers", "tiers", "campaigns"):
            connection.execute(text(f"delete from {table}"))
        connection.execute(text("delete from game_settings"))
        before = msgspec.to_builtins(service.latest()) | {"format": 1}
        del before["game"]
        connection.execute(text("update revisions set content = :old"), {"old": json.dumps(before)})
    engine.dispose()
    old: Content = service.latest()
    assert (old.format, old.game) == (1, Game())
    assert service.ensure_first_revision() == 1
    assert service.switch_source("custom", False) == 2
    assert service.latest().game == Game()
    assert service.load_game(seed()) == 3
    assert len(service.latest().game.templates) == 29


def test_a_revision_that_is_not_there_is_told(service: CatalogService) -> None:
    assert (service.revision(1), service.author(1)) == (service.latest(), "ada")
    with pytest.raises(CatalogError, match="there is no revision 7") as refused:
        service.revision(7)
    assert refused.value.hint == "there are 1 to 1"
