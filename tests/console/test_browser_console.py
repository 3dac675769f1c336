"""The console in headless Chromium, against the real stack: accessibility, layout, what its script does.

With SCREENSHOTS=folder a picture of every page is left there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from starlette.routing import Mount

from tests.console.browsing import context, faults, go, keep
from tests.console.conftest import As
from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.console.app import PATH
from web.console.rendering import texts

WIDTHS = {"wide": 1280, "phone": 390}
LOOKED = "Looked At"
#: What is sent as a part of a page, or is none.
PARTS = {
    "/live", "/login", "/login/back", "/login/provider", "/drafts/{id}/simulations", "/campaigns/products",
    "/pipeline/health",
}  # fmt: skip


@pytest.fixture(scope="module")
def shown(
    app: FastAPI, visit: As, api: Api, known: str, pipeline: Pipeline, live: Worker
) -> Iterator[dict[str, str]]:
    """Every page of the console with something on it: its name, its path."""
    marketer, admin = visit("marketer"), visit("admin")
    draft = marketer.post("/missions/1/switch").headers["Location"].split("/")[-2]
    product: dict[str, Any] = {
        "external_product_id": LOOKED,
        "name": LOOKED,
        "price": "4.5",
        "currency": "USD",
    }
    product |= {"product_type": "data", "features": ["5 GB", "30 days"], "target_segments": ["youth"]}
    made = api("marketer").post("/products/", json=product)
    assert made.status_code == 201, made.text
    shop = {"connection": {"kind": "rest", "url": "https://shop.example.com/"}, "mapping": "tmf620"}
    assert api("admin").put("/products/systems/looked-at/", json=shop).status_code == 200
    source = {"name": "looked-at", "source_type": "billing", "connection": "{}", "is_active": "on"}
    source |= {"customer_id_field": "who", "event_type": "recharge", "value_field": "much"}
    admin.followed(admin.post("/sources/save", **source, timestamp_field="at"))
    pipeline.send(
        [{"who": "looked-at", "much": "much", "at": "2026-01-05T10:00:00Z", "id": "looked-at"}],
        "raw_looked-at_events",
    )
    until(
        "there is a dead letter",
        lambda: "looked-at_events/" in admin.get("/dead-letters/?source=looked-at"), 120, live.log,
    )  # fmt: skip
    campaign = {
        "name": LOOKED, "priority": "1", "audience": "recharge_count >= 1", "trigger.kind": "event",
        "trigger.types": "auto_renew", "cooldown": "30", "window": "14", "cost": "0.25", "active": "on",
        "limits.budget": "100", "control_share": "10", "conversion.types": "recharge",
        "product_id": made.json()["id"], "message.0.language": "en",
        "message.0.text": "Stay, {{ customer_id }}: {{ product.name }}.",
    }  # fmt: skip
    saved = marketer.post("/campaigns/save", **campaign)
    assert saved.status_code == 303, saved.text[-3000:]
    edited = saved.headers["Location"].removeprefix(PATH)
    for who, does in (("approver", "approve"), ("marketer", "publish")):
        version = re.findall(r'name="version" value="(\d+)"', visit(who).get(edited))[0]
        visit(who).followed(visit(who).post(f"{edited}{does}", version=version))
    number = re.findall(rf"/campaigns/(\d+)/\">{LOOKED}", marketer.get("/campaigns/"))[0]
    told = api("system").post("/notifications/", json={"callback": "https://crm.example.com/listener"})
    assert told.status_code == 201, told.text
    filled = {
        "/customers/{customer_id}": f"/customers/{known}", "/badges/{number}/{level}": "/badges/1/1",
        "/drafts/{id}": f"/drafts/{draft}", "/products/systems/{name}": "/products/systems/looked-at",
        "/products/{id}": f"/products/{made.json()['id']}", "/models/{name}": "/models/churn",
        "/campaigns/{number}": f"/campaigns/{number}",
        "/notifications/{id}": f"/notifications/{told.json()['id']}",
        "/sources/{name}": "/sources/looked-at",
        **{f"/{kind}/{{number}}": f"/{kind}/1" for kind in ("missions", "revisions", "badges", "offers")},
    }  # fmt: skip
    console: Any = next(each.app for each in app.routes if isinstance(each, Mount) and each.path == PATH)
    routes = {path for path, ways in console.openapi()["paths"].items() if "get" in ways} - PARTS
    assert "/customers/{customer_id}/" in routes
    found = {"missing": "/nowhere"}
    for route in sorted(routes):
        path = route
        for pattern in sorted(filled, key=len, reverse=True):
            path = path.replace(pattern, filled[pattern])
        assert "{" not in path, f"say in this fixture what {route} is to show"
        found[re.sub(r"\W+", "-", route).strip("-") or "overview"] = path
    yield found
    draft_version = re.findall(r'name="version" value="(\d+)"', marketer.get(f"/drafts/{draft}/"))[0]
    marketer.post(f"/drafts/{draft}/withdraw", version=draft_version)
    api("system").delete(f"/notifications/{told.json()['id']}/", headers={"If-Match": told.headers["ETag"]})
    api("admin").delete("/products/systems/looked-at/")
    api("marketer").delete(f"/products/{made.json()['id']}/", headers={"If-Match": made.headers["ETag"]})


@pytest.mark.parametrize(("scheme", "width"), [("light", "wide"), ("dark", "phone")])
def test_pages_fit_can_be_read_by_all_and_load_nothing_from_elsewhere(
    browser: Browser, address: str, visit: As, shown: dict[str, str], scheme: Any, width: str
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

    def look(name: str, target: str) -> None:
        go(page, target)
        page.wait_for_function("() => window.htmx !== undefined")
        over = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            wrong.append(f"{name} is {over} px too wide")
        wrong.extend(f"{name}: {fault}" for fault in faults(page))
        wrong.extend(f"{name}: {each}" for each in said if "404" not in each)
        said.clear()
        keep(page, f"{name}-{scheme}-{width}")

    for name, target in shown.items():
        look(name, target)
    window.clear_cookies()
    look("login", "/login")
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
    page.evaluate("() => { document.getElementById('found').dataset.before = '' }")
    page.keyboard.type(known[:5])
    page.locator("#found:not([data-before])").wait_for()
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
