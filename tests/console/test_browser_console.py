"""The console in headless Chromium, against the real stack: accessibility, layout, what its script does.

With SCREENSHOTS=folder a picture of every page is left there.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.console.browsing import context, faults, go, keep
from tests.console.conftest import As
from web.console.rendering import PLACES, texts

WIDTHS = {"wide": 1280, "phone": 390}
PAGES = {
    **{name: target for name, target, _ in PLACES}, "mission": "/missions/1/",
    "mission-edit": "/missions/1/edit",
    "badge": "/badges/1/1/", "revision": "/revisions/1/", "source": "/sources/custom/",
    "product-new": "/products/new",
    "model": "/models/churn/", "audit": "/people/audit", "missing": "/nowhere",
    "customer": "/customers/console-1/", "why": "/customers/console-1/why",
    "points": "/customers/console-1/points",
    "predictions": "/customers/console-1/predictions", "timeline": "/customers/console-1/timeline",
    "decisions": "/customers/console-1/decisions",
}  # fmt: skip


@pytest.mark.parametrize(("scheme", "width"), [("light", "wide"), ("dark", "phone")])
def test_pages_fit_can_be_read_by_all_and_load_nothing_from_elsewhere(
    browser: Browser, address: str, visit: As, known: str, scheme: Any, width: str
) -> None:
    window = context(
        browser,
        address,
        visit("admin"),
        color_scheme=scheme,
        viewport={"width": WIDTHS[width], "height": 844},
    )
    page = window.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(address) else said.append(asked.url))
    wrong = []
    for name, target in PAGES.items():
        go(page, target)
        page.wait_for_function("() => window.htmx !== undefined")
        over = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            wrong.append(f"{name} is {over} px too wide")
        wrong += [f"{name}: {fault}" for fault in faults(page)]
        wrong += [f"{name}: {each}" for each in said if "404" not in each]
        said.clear()
        keep(page, f"{name}-{scheme}-{width}")
    window.close()
    assert wrong == []


def test_somebody_finds_the_reason_of_a_badge(
    browser: Browser, address: str, keys: dict[str, str], known: str
) -> None:
    window = context(browser, address, None)
    page = window.new_page()
    go(page, "/")
    page.get_by_label(texts()["login.key"]).fill(keys["viewer"])
    page.get_by_role("button", name=texts()["login.enter"]).click()
    page.get_by_role("searchbox", name=texts()["layout.find"]).fill(known)
    page.keyboard.press("Enter")
    badge = page.locator("li.badge", has=page.get_by_role("heading", name="Activated"))
    reason = badge.locator(".conditions li").first
    reason.wait_for()
    assert "transactions_lifetime >= " in reason.inner_text()
    assert re.search(r"seen\s+\d", reason.inner_text())
    window.close()


def test_the_keyboard_is_enough(browser: Browser, address: str, visit: As, known: str) -> None:
    window = context(browser, address, visit("viewer"))
    page = window.new_page()
    go(page, "/customers/")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.closest('main') !== null")
    page.locator("#search").focus()
    page.keyboard.type(known[:5])
    row = page.get_by_role("link", name=known, exact=True)
    row.wait_for()
    row.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=known, level=1).wait_for()
    window.close()


def test_dark_is_chosen_and_stays(browser: Browser, address: str, visit: As) -> None:
    window = context(browser, address, visit("viewer"), color_scheme="light")
    page = window.new_page()
    go(page, "/badges/")

    def ground() -> str:
        return str(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))

    light = ground()
    page.get_by_role("button", name=texts()["theme.dark"]).click()
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    assert ground() != light
    go(page, "/missions/")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    window.close()


def test_right_to_left_nothing_runs_out_of_the_page(
    browser: Browser, address: str, visit: As, known: str
) -> None:
    window = context(browser, address, visit("admin"), viewport={"width": 390, "height": 844})
    page = window.new_page()
    for target in (f"/customers/{known}/", "/missions/1/edit", "/badges/", "/pipeline/"):
        go(page, target)
        page.evaluate("() => { document.documentElement.dir = 'rtl' }")
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, target
        heading = page.locator("h1").bounding_box()
        assert heading is not None
        assert heading["x"] >= 0
    window.close()


def test_a_loyalty_manager_writes_a_mission_with_names_offered(
    browser: Browser, address: str, visit: As
) -> None:
    window = context(browser, address, visit("marketer"))
    page = window.new_page()
    go(page, "/missions/new")
    page.get_by_label(texts()["missions.f.name"], exact=True).fill("Browser Mission")
    condition = page.locator('[name="eligibility"]')
    condition.press_sequentially("tenure_d")
    page.get_by_role("option", name="tenure_days").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert condition.input_value() == "tenure_days"
    condition.press_sequentially(" >> 3")
    fault = page.locator("#fault-eligibility")
    page.wait_for_function("() => document.getElementById('fault-eligibility').textContent !== ''")
    assert "column" in fault.inner_text()
    condition.fill("tenure_days >= 3")
    page.locator('[name="goal.types"]').fill("recharge")
    page.locator('[name="target.value"]').fill("2")
    page.locator('[name="rewards.points"]').fill("25")
    page.get_by_text(texts()["missions.fits"]).wait_for()
    assert fault.inner_text() == ""
    page.get_by_role("button", name=texts()["missions.save"]).click()
    page.get_by_text(texts()["drafts.needs_approver"]).wait_for()
    assert page.get_by_role("button", name=texts()["drafts.approve"]).count() == 0
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name=texts()["drafts.withdraw"]).click()
    page.locator(".title .chip", has_text=texts()["draft.withdrawn"]).wait_for()
    window.close()


def test_a_data_engineer_sees_what_becomes_of_a_record(browser: Browser, address: str, visit: As) -> None:
    window = context(browser, address, visit("admin"))
    page = window.new_page()
    go(page, "/sources/new")
    page.locator('[name="name"]').fill("browser-source")
    page.locator('[name="customer_id_field"]').fill("who")
    page.locator('[name="event_type"]').fill("recharge")
    page.locator('[name="value_field"]').fill("amount")
    page.locator('[name="timestamp_field"]').fill("at")
    page.locator('[name="sample"]').fill('{"who": "1", "total": 5, "at": "2026-01-05T10:00:00Z"}')
    page.get_by_text(texts()["sources.fits_not"]).wait_for()
    page.locator('[name="value_field"]').fill("total")
    page.get_by_text(texts()["sources.fits"], exact=True).wait_for()
    window.close()


def test_a_command_is_answered_in_place(browser: Browser, address: str, visit: As, known: str) -> None:
    window = context(browser, address, visit("admin"))
    page = window.new_page()
    go(page, f"/customers/{known}/")
    page.get_by_role("button", name=texts()["customer.action.recalculate"]).click()
    page.locator("#did .note.good, #did .note.warn").wait_for()
    page.locator("#redeem").fill("10000000")
    page.get_by_role("button", name=texts()["customer.action.redeem"], exact=True).click()
    page.locator("#said .note.bad, #did .note.warn").wait_for()
    window.close()


def test_figures_come_by_themselves(browser: Browser, address: str, visit: As, known: str) -> None:
    window = context(browser, address, visit("viewer"))
    page = window.new_page()
    page.add_init_script("addEventListener('htmx:sseMessage', () => { window.came = true })")
    go(page, "/")
    page.wait_for_function("() => window.came && document.querySelector('.figures .value').textContent > ''")
    assert page.locator(".uplot").count() >= 1
    window.close()
