"""Whole ways through the console in headless Chromium: from what somebody wants to what a customer has."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Locator, Page, expect

from tests.console.browsing import come_back_until, context, go
from tests.console.conftest import As
from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.console.rendering import texts

TEMPLATE, NAME = 10, "App Feature Adoption"
RULE = "app_login_30_days >= 1 and tenure_days <= 400"


def chip(page: Page, words: str) -> None:
    """Wait until this stands beside the page's heading."""
    expect(page.locator(".title .chip", has_text=words)).to_be_visible()


def press(page: Page, words: str) -> None:
    """A button, by what stands on it."""
    page.get_by_role("button", name=texts()[words], exact=True).click()


def revisions(page: Page) -> list[str]:
    """The revision of each partition, as workers say."""
    go(page, "/pipeline/")
    return page.locator("ul.tiles.wide td:last-child").all_inner_texts()


def approved_and_published(browser: Browser, address: str, visit: As, page: Page, change: str = "") -> str:
    """The draft of a page: a second person sees the change and agrees.  The number of the revision."""
    draft = page.url.removeprefix(f"{address}/console")
    second = context(browser, address, visit("approver"))
    theirs = second.new_page()
    go(theirs, "/drafts/")
    theirs.locator(f'a[href$="{draft}"]').first.click()
    if change:
        expect(theirs.locator("ins", has_text=change)).to_be_visible()
    press(theirs, "drafts.approve")
    chip(theirs, texts()["draft.approved"])
    second.close()
    page.reload()
    press(page, "drafts.publish")
    chip(page, texts()["draft.published"])
    return str(page.locator('.steps a[href*="/revisions/"]').get_attribute("href")).split("/")[-2]


def test_a_loyalty_manager_changes_a_mission_and_a_customer_gets_it(
    browser: Browser, address: str, visit: As, api: Api, pipeline: Pipeline, live: Worker, known: str
) -> None:
    manager = context(browser, address, visit("marketer"))
    manager.on("dialog", lambda dialog: dialog.accept())
    page = manager.new_page()

    go(page, "/missions/")
    page.get_by_role("link", name=NAME).click()
    page.get_by_role("link", name=texts()["missions.edit"], exact=True).click()
    rule = page.locator('[name="eligibility"]')
    fault = page.locator("#fault-eligibility")
    rule.fill("app_login_30_days >= 1 and tenure <= 400")
    expect(fault).to_contain_text("tenure")
    rule.fill(RULE)
    expect(fault).to_have_text("")
    expect(page.locator("#verdict")).to_contain_text(texts()["missions.fits"])
    page.locator('[name="priority"]').fill("91")
    expect(page.locator("#verdict ins", has_text="91")).to_be_visible()
    page.locator('[name="note"]').fill("newcomers too")
    press(page, "missions.save")
    expect(page.get_by_text(texts()["drafts.needs_approver"])).to_be_visible()
    press(page, "drafts.simulate")
    expect(page.locator("#runs .chip", has_text=texts()["simulation.done"])).to_be_visible()
    row = page.locator("#runs tr", has_text=texts()["simulation.customers"])
    assert int(row.locator("td").nth(1).inner_text()) >= 1, "what is recorded counts"

    revision = approved_and_published(browser, address, visit, page, RULE)
    until("workers have taken the revision up", lambda: set(revisions(page)) == {revision}, 120, live.log)

    login = {"event_id": "way-1", "customer_id": "way-1", "event_type": "app_login", "value": 1}
    sent = api("system").post(
        "/webhooks/customer-event", json={"event": login | {"occurred_at": "2026-01-11T10:00:00Z"}}
    )
    assert sent.status_code == 200
    come_back_until(page, "/customers/way-1/", "li.card h3", NAME, live.log)
    mission = page.locator("li.card", has=page.get_by_role("heading", name=NAME))
    mission.get_by_text(texts()["customer.why_given"]).click()
    why = mission.locator(".conditions li", has_text="tenure_days <= 400")
    expect(why).to_be_visible()
    expect(why.locator(".seen b")).to_have_text("0")
    manager.close()


def test_a_data_engineer_mends_a_mapping_and_nothing_is_lost(
    browser: Browser, address: str, visit: As, pipeline: Pipeline, live: Worker, known: str
) -> None:
    window = context(browser, address, visit("admin"))
    page = window.new_page()
    go(page, "/sources/")
    page.get_by_role("link", name=texts()["sources.new"]).click()
    for name, value in (
        ("name", "browser-billing"), ("customer_id_field", "who"), ("event_type", "recharge"),
        ("value_field", "amount"), ("timestamp_field", "at"), ("event_id_field", "id"),
    ):  # fmt: skip
        page.locator(f'[name="{name}"]').fill(value)
    press(page, "sources.save")
    page.get_by_role("link", name="browser-billing", exact=True).wait_for()

    record = {"who": "way-2", "total": 12, "at": "2026-01-05T10:00:00Z", "id": "b-1"}
    pipeline.send([record], "raw_browser-billing_events")
    letters = "/dead-letters/?source=browser-billing"
    come_back_until(page, letters, "td", "amount", live.log)
    page.get_by_text(texts()["letters.show"], exact=True).click()
    expect(page.locator("td.record pre")).to_contain_text('"total"')
    page.get_by_role("link", name=texts()["letters.mend"]).click()

    tried = page.locator("#tried")
    expect(page.locator('[name="sample"]')).to_have_value(
        '{\n  "who": "way-2",\n  "total": 12,\n  "at": "2026-01-05T10:00:00Z",\n  "id": "b-1"\n}'
    )
    expect(tried).to_contain_text(texts()["sources.fits_not"])
    page.locator('[name="value_field"]').fill("total")
    expect(tried.get_by_text(texts()["sources.fits"], exact=True)).to_be_visible()
    press(page, "sources.save")
    page.get_by_role("link", name="browser-billing", exact=True).wait_for()

    def mapped_again() -> bool:
        go(page, letters)
        if page.locator('[name="id"]').count() == 0:
            return True
        page.locator('[name="id"]').check()
        press(page, "letters.replay")
        page.locator("#did .note").wait_for()
        return False

    until("with the worker's new mapping the letter is gone", mapped_again, 120, live.log)
    expect(page.get_by_text(texts()["letters.none_found"])).to_be_visible()
    come_back_until(page, "/customers/way-2/timeline", "main", "recharge, 12", live.log)
    window.close()


def test_a_campaign_manager_speaks_to_customers_and_sees_what_came_of_it(
    browser: Browser, address: str, visit: As, api: Api, pipeline: Pipeline, live: Worker, known: str
) -> None:
    product = {"external_product_id": "way-3", "name": "Way Data", "price": "4.5", "currency": "USD"}
    added = api("marketer").post("/products/", json=product | {"product_type": "data"})
    assert added.status_code == 201, added.text

    def happens(kind: str, day: int, **attributes: str) -> None:
        event = {
            "event_id": f"way-3-{day}", "customer_id": "way-3", "event_type": kind, "value": 20,
            "occurred_at": f"2026-01-{day}T10:00:00Z", "attributes": attributes,
        }  # fmt: skip
        assert api("system").post("/webhooks/customer-event", json={"event": event}).status_code == 200

    happens("recharge", 12)
    pipeline.settled(live.log)
    manager = context(browser, address, visit("marketer"))
    manager.on("dialog", lambda dialog: dialog.accept())
    page = manager.new_page()

    def field(name: str) -> Locator:
        return page.locator(f'[name="{name}"]')

    go(page, "/campaigns/")
    page.get_by_role("link", name=texts()["campaigns.new"]).click()
    field("name").fill("Way Back")
    field("audience").fill("recharge_count >= 100000")
    expect(page.locator("#meant .count b")).to_have_text(re.compile(r"^(≈ )?0$"))
    field("audience").fill("recharge_count >= 1")
    expect(page.locator("#meant .count b")).to_have_text(re.compile("[1-9]"))
    field("service").check()
    field("trigger.kind").select_option("event")
    field("trigger.types").fill("complaint")
    page.keyboard.press("Escape")
    field("product_search").fill("way d")
    page.locator('[name="product_id"] option', has_text="Way Data").wait_for(state="attached")
    choice = page.locator('[name="product_id"] option', has_text="Way Data").get_attribute("value")
    field("product_id").select_option(choice)
    expect(page.locator("#offered")).to_contain_text("4.50 USD")
    field("message.0.language").fill("en")
    field("message.0.text").fill("Sorry, {{ customer_id }}. {{ product.name }} is yours.")
    field("customer").fill("way-3")
    expect(page.locator("#reading .bubble")).to_have_text("Sorry, way-3. Way Data is yours.")
    field("cooldown").fill("1 week")
    field("cost").fill("0.25")
    field("limits.budget").fill("100")
    field("conversion.types").fill("recharge")
    page.keyboard.press("Escape")
    expect(page.locator("#verdict")).to_contain_text(texts()["missions.fits"])
    press(page, "missions.save")
    revision = approved_and_published(browser, address, visit, page)
    until("workers have taken the revision up", lambda: set(revisions(page)) == {revision}, 120, live.log)

    happens("complaint", 13)
    go(page, "/campaigns/")
    page.get_by_role("link", name="Way Back").click()
    campaign = page.url.removeprefix(f"{address}/console")
    come_back_until(page, f"{campaign}customers", "td.message", "Sorry, way-3.", live.log)
    told = api("viewer").get("/campaign-triggers/", params={"customer_id": "way-3"}).json()["items"]
    happens("campaign_delivered", 14, trigger_id=told[0]["trigger_id"])
    happens("recharge", 15)
    come_back_until(page, f"{campaign}customers?status=converted", "tr", "way-3", live.log)
    page.get_by_role("link", name=texts()["campaigns.why_link"]).click()
    expect(page.locator("main")).to_contain_text("recharge_count >= 1")
    go(page, campaign)
    for name, value in (("triggered", "1"), ("converted", "1"), ("spent", "0.25 USD")):
        figure = page.locator(".figure", has=page.locator("dt", has_text=texts()[f"campaigns.{name}"]))
        expect(figure.locator(".value").first).to_have_text(value)
    manager.close()
