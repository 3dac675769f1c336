"""Campaigns as people write them: read, refused with their field, stored, with products as they were sold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catalog.differences import differences
from catalog.draft import Draft, DraftError, read, seed
from catalog.products import ProductCatalogService
from catalog.service import CatalogService
from catalog.written import dump, files, written
from loyalty.game import Contact, Game, OnCrossing, OnEvent, OnSchedule, Sold

Write = Callable[[str], Draft]

FULL = """\
contact:
  most: 3
  days: 2 weeks
  quiet_from: 21:30
  quiet_to: "07:00"
  zones: [Africa/Lagos]
offers: [{name: Extra, description: more}]
campaigns:
  - name: Rising Risk
    description: all of it
    trigger: {kind: crossing, when: risk >= 60}
    audience: tenure_days >= 90
    priority: 7
    valid_from: 2026-03-01T00:00:00+02:00
    valid_to: "2026-04-01T00:00:00.500Z"
    cooldown: 8 weeks
    limits: {per_customer: 4, total: 3_000_000_000, budget: 900}
    cost: 30
    service: true
    control_share: 0.25
    conversion: {types: [recharge, calls], where: value > 3}
    window: 1 week
    offer: Extra
    offer_config: {code: {of: [1, 2.5, null]}}
    messages:
      no: Hei {{ customer_id }}
      en: "{{ offer.name }}: {{ validity_days }}"
    active: false
  - {name: By Event, trigger: {kind: event, types: calls, where: value > 10}}
  - {name: On Weekdays, trigger: {kind: schedule, weekdays: [friday, monday, friday]}}
  - {name: Every Day, trigger: {kind: schedule}}
"""


@pytest.fixture
def products(database: str, service: CatalogService) -> Iterator[ProductCatalogService]:
    found = ProductCatalogService(database)
    yield found
    found.close()


def test_readable_forms_become_what_the_fold_reads(draft: Write) -> None:
    game = draft(FULL).onto(Game(), 2)
    full, event, days, daily = game.campaigns
    assert game.contact == Contact(3, 14, 21 * 60 + 30, 7 * 60, ["Africa/Lagos"])
    assert full.trigger == OnCrossing("risk >= 60")
    assert (full.valid_from, full.valid_to) == (1_772_316_000_000, 1_775_001_600_500)
    assert (full.cooldown_days, full.window_days, full.total) == (56, 7, 3_000_000_000)
    assert list(full.messages) == ["no", "en"]
    assert full.conversion.types == ["voice_call", "roaming_call", "recharge"]
    assert event.trigger == OnEvent(["voice_call", "roaming_call"], "value > 10")
    assert (days.trigger, daily.trigger) == (OnSchedule([1, 5]), OnSchedule())
    assert [each.number for each in game.campaigns] == [1, 2, 3, 4]


def test_what_is_written_out_is_read_again_as_the_same(draft: Write, tmp_path: Path) -> None:
    game = draft(FULL).onto(Game(), 2)
    assert draft(dump(written(game))).onto(Game(), 2) == game
    (tmp_path / "out").mkdir()
    for name, text in files(game).items():
        (tmp_path / "out" / name).write_text(text, encoding="utf-8")
    assert read([tmp_path / "out"]).onto(Game(), 2) == game
    shown = written(game)
    assert shown["contact"]["quiet_from"] == "21:30"
    assert shown["campaigns"][0]["valid_from"] == "2026-02-28T22:00:00Z"
    assert shown["campaigns"][1] == {
        "number": 2, "name": "By Event", "cooldown": "30 days", "window": "14 days",
        "trigger": {"kind": "event", "types": ["calls"], "where": "value > 10"},
    }  # fmt: skip


def campaign(more: str) -> str:
    return f"campaigns:\n  - name: Mine\n    trigger: {{kind: schedule}}\n    {more}\n"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (campaign("valid_from: 2026-03-01"), "valid_from", "must be a time with its offset"),
        (campaign("valid_to: 2026-03-01T00:00:00"), "valid_to", "must be a time with its offset"),
        (campaign("cooldown: 0 days"), "cooldown", "must be 1 to 3,650 days, not 0"),
        (campaign("cooldown: a while"), "cooldown", "must be like '14 days'"),
        (campaign("window: 100 days"), "window", "must be 1 to 90 days"),
        (campaign("limits: {budget: 10}"), "limits.budget", "say its cost"),
        (campaign("limits: {per_customer: 256}"), "limits.per_customer", "must be 0 to 255 times"),
        (campaign("offer: Nothing"), "offer", "there is no offer 'Nothing'"),
        (campaign("offer_config: {a: 1}"), "offer_config", "belongs to an offer"),
        (campaign("offer_config: {a: .nan}"), "offer_config.a", ""),
        (campaign("audience: tenure_dais > 3"), "audience", "tenure_days"),
        (campaign("messages: {en: '{{ offer.name }}'}"), "messages.en", ""),
        (campaign("messages: {en: '{% if %}'}"), "messages.en", ""),
        (campaign("messages: {e n: hello}"), "messages.e n", ""),
        (campaign("product_id: 5"), "product_id", "there is no product 5; `khaywe product list`"),
        (campaign("product_id: five"), "product_id", "valid integer"),
        (campaign("conversion: {where: value > 1}"), "conversion.types", "must name at least one"),
        (campaign("budget: 5"), "budget", "there is no such field"),
        (campaign("priority: 5").replace("schedule}", "event}"), "trigger.types", "at least one event type"),
        (
            campaign("priority: 5").replace("schedule}", "event, types: sms, when: risk > 1}"),
            "trigger",
            "`when` belongs to the kind crossing; this one is event",
        ),
        (
            campaign("priority: 5").replace("schedule}", "schedule, weekdays: [fri]}"),
            "trigger.weekdays.0",
            "",
        ),
        (campaign("priority: 5").replace("schedule", "sometimes"), "trigger.kind", ""),
    ],
)
def test_what_is_wrong_is_told_with_file_entry_and_field(
    draft: Write, text: str, place: str, words: str
) -> None:
    with pytest.raises(DraftError) as error:
        draft(text).onto(seed().onto(Game(), 2), 2)
    [fault] = error.value.faults
    where, _, what = fault.partition(f'campaigns["Mine"].{place}: ')
    assert "rules.yaml:" in where, fault
    assert words in what


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("contact: {most: 9}", "rules.yaml:1: contact.most: must be 0 to 8 contacts, not 9"),
        ("contact: {quiet_from: noon}", "rules.yaml:1: contact.quiet_from: must be a time of the day"),
        ("contact: {quiet_from: 24:00}", "rules.yaml:1: contact.quiet_from: must be a time of the day"),
        ("contact: {zones: [Africa/Lagoz]}", "rules.yaml:1: contact.zones[0]: there is no timezone"),
        ("contact: {mots: 2}", "rules.yaml:1: contact.mots: there is no such field; is it most?"),
        ("contact: 5", "rules.yaml:1: contact: must be fields with their values"),
    ],
)
def test_rules_of_contact_that_cannot_be_are_told(draft: Write, text: str, told: str) -> None:
    with pytest.raises(DraftError) as error:
        draft(text).onto(Game(), 2)
    assert told in error.value.faults[0]


def test_the_seed_speaks_to_nobody_until_it_is_told_to() -> None:
    game = seed().onto(Game(), 2)
    assert {each.trigger.__class__ for each in game.campaigns} == {OnEvent, OnCrossing, OnSchedule}
    for each in game.campaigns:
        assert not each.active
        assert set(each.messages) == {"en", "fr"}
        assert each.conversion.types
    quiet = (game.contact.quiet_from, game.contact.quiet_to)
    assert (game.contact.most, game.contact.days, quiet) == (2, 7, (1260, 480))


def test_campaigns_are_stored_as_they_are_and_keep_their_numbers(
    service: CatalogService, draft: Write
) -> None:
    before = service.latest()
    assert service.load_game(draft(FULL)) == 2
    content = service.latest()
    assert content.game == service.draft_game(draft("points_valid_months: 12"))
    assert content.game.campaigns[3:] == [
        msgspec.structs.replace(each, number=each.number + 3, offer=8 if each.offer >= 0 else -1)
        for each in draft(FULL).onto(Game(), 2).campaigns
    ]
    assert service.load_game(draft(FULL)) == 2
    changes = differences(before, content)
    assert ("contact", "", "changed") in [(each.section, each.name, each.change) for each in changes]
    [rising] = [each for each in changes if each.name == "Rising Risk"]
    assert rising.fields["trigger.when"] == (None, "risk >= 60")
    # Numbers stay taken, also of what is switched off.
    service.load_game(draft(campaign("active: false")))
    with pytest.raises(DraftError, match="was 'Mine'; numbers are never used again"):
        service.load_game(draft(campaign("number: 8").replace("Mine", "Other")))


PRODUCT: dict[str, Any] = {
    "external_product_id": "data-10", "name": "Data 10 GB", "product_type": "data", "price": "9.9",
    "currency": "USD", "attributes": {"validity_days": 21},
}  # fmt: skip


def test_a_product_is_copied_as_it_is_sold_when_the_campaign_is_loaded(
    service: CatalogService, products: ProductCatalogService, draft: Write
) -> None:
    made = products.create(PRODUCT)
    said = campaign(
        f"product_id: {made.id}\n    messages: {{en: '{{{{ product.name }}}} {{{{ product.price }}}}'}}"
    )
    first = service.load_game(draft(said))
    assert service.latest().game.campaigns[-1].product == Sold(str(made.id), "Data 10 GB", "9.90", "USD", 21)

    # Its price changes: what was published stays, until the campaign is published again.
    products.edit(made.id, {"price": "12.50", "attributes": {}, "recurring": True, "billing_cycle": "weekly"})
    service.load_game(draft("points_valid_months: 6"))
    assert service.latest().game.campaigns[-1].product.price == "9.90"  # type: ignore[union-attr]
    again = service.load_game(draft(said))
    assert service.latest().game.campaigns[-1].product == Sold(str(made.id), "Data 10 GB", "12.50", "USD", 7)
    [change] = differences(service.revision(first), service.revision(again))[:1]
    assert change.fields["product.price"] == ("9.90", "12.50")

    # One that is not sold any more is refused, in words; the campaign can be switched off all the same.
    for field, words in (("is_available", "cannot be sold now"), ("is_active", "is not active")):
        products.edit(made.id, {field: False})
        with pytest.raises(DraftError, match=f"product_id: product {made.id}, 'Data 10 GB', {words}"):
            service.load_game(draft(said))
    service.load_game(draft(said + "    active: false\n"))
    off = service.latest().game.campaigns[-1]
    assert (off.active, off.product is not None) == (False, True)
    assert read_again(service, draft).campaigns[-1] == off
    products.delete(made.id)
    with pytest.raises(DraftError, match=f"there is no product {made.id};"):
        service.load_game(draft(said))


def read_again(service: CatalogService, draft: Write) -> Game:
    """The game, exported and laid over itself."""
    return service.draft_game(draft(dump(written(service.latest().game))))
