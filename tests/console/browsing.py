"""Headless Chromium for tests of the console: a context that is logged in, what axe finds, pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.console.conftest import Visit
from tests.faults.harness import until
from web.console.app import PATH
from web.console.gate import COOKIE

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
#: Accessibility faults of these impacts are none too many.
SERIOUS = ("serious", "critical")
SECONDS = 120
expect.set_options(timeout=SECONDS * 1000)


def context(browser: Browser, address: str, visit: Visit | None, **more: Any) -> BrowserContext:
    """A window of somebody's own, logged in as `visit` is."""
    made = browser.new_context(base_url=f"{address}{PATH}/", **more)
    made.set_default_timeout(SECONDS * 1000)
    if visit is not None:
        cookie = visit.client.cookies[COOKIE]
        made.add_cookies([{"name": COOKIE, "value": cookie, "url": f"{address}{PATH}/"}])
    return made


def go(page: Page, target: str) -> None:
    """To a path of the console."""
    page.goto(target.lstrip("/") or "./")


def come_back_until(page: Page, target: str, selector: str, words: str, log: Path) -> None:
    """Look at a page again and again until something on it has these words."""

    def there() -> bool:
        go(page, target)
        return page.locator(selector, has_text=words).count() > 0

    until(f"{target} says {words!r}", there, SECONDS, log)


def faults(page: Page) -> list[str]:
    """What axe finds, run from outside: the page's policy would not let it in."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Runtime.evaluate", {"expression": AXE})
    found: list[dict[str, Any]] = page.evaluate("() => axe.run(document).then((found) => found.violations)")
    return [
        f"{each['impact']} {each['id']}: {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in SERIOUS
    ]


def keep(page: Page, name: str) -> None:
    """A picture of the page, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
