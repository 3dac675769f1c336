"""The console over the real services, and a browser's way in for each role."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import (  # noqa: F401
    Api,
    address,
    api,
    app,
    keys,
    live,
    parts,
    pipeline,
)
from web.api.parts import Parts
from web.console import kept
from web.console.app import PATH
from web.console.gate import GUARD

ID = "console-1"
GUARDED = re.compile(rf'name="{GUARD}" value="([^"]+)"')


class Visit:
    """A role's session: pages are got, forms are sent with their guard."""

    def __init__(self, at: str, key: str) -> None:
        self.client = httpx.Client(base_url=f"{at}{PATH}", timeout=60)
        answer = self.client.post("/login", data={"key": key})
        assert answer.status_code == 303, answer.text
        self.guard = GUARDED.findall(self.get("/"))[0]

    def get(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = self.client.get(path)
        assert answer.status_code == status, f"{path}: {answer.status_code}\n{answer.text[-3000:]}"
        return answer.text

    def post(self, path: str, **form: str) -> httpx.Response:
        """A form that was sent."""
        return self.client.post(path, data={GUARD: self.guard} | form)

    def followed(self, answer: httpx.Response) -> str:
        """The page that a form leads to."""
        assert answer.status_code == 303, f"{answer.status_code}\n{answer.text[-3000:]}"
        return self.get(answer.headers["Location"].removeprefix(PATH))


As = Callable[[str], Visit]


# Of a module: as long as it is open, Playwright's event loop stands in the way of others.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("there is no chromium: `make browser` installs it")
    with sync_playwright() as started:
        made = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="session")
def visit(address: str, keys: dict[str, str]) -> Iterator[As]:  # noqa: F811
    """`visit(role)`: logged in."""
    visits: dict[str, Visit] = {}

    def of(role: str) -> Visit:
        if role not in visits:
            visits[role] = Visit(address, keys[role])
        return visits[role]

    yield of
    for each in visits.values():
        each.client.close()


@pytest.fixture(scope="session", autouse=True)
def sums_of_now() -> None:
    """However busy the machine is, what a page sums up is of now."""
    kept.QUICK = 600.0


@pytest.fixture(scope="session")
def known(api: Api, parts: Parts, pipeline: Pipeline, live: Worker) -> str:  # noqa: F811
    """A customer with points, missions and a badge, whose lists are written."""
    kinds = [("activation", 1), ("recharge", 20), ("voice_call", 60), ("recharge", 30), ("app_login", 1)]
    events = [
        {
            "event_id": f"console-{n}", "customer_id": ID, "event_type": kind, "value": value,
            "occurred_at": f"2026-01-{n + 1:02}T10:00:00Z",
        }
        for n, (kind, value) in enumerate(kinds)
    ]  # fmt: skip
    assert api("system").post("/webhooks/customer-event", json={"event": events}).status_code == 200
    pipeline.settled(live.log)
    pipeline.khaywe("tick", "--at", "2026-01-10T00:00:00Z")
    pipeline.settled(live.log)

    def told() -> bool:
        found = api("viewer").get("/decisions/", params={"customer_id": ID, "kind": "badge"}).json()
        return bool(found["items"]) and bool(api("viewer").get(f"/customers/{ID}/").json().get("scores"))

    until("the customer's badge is in the lists", told, 120, live.log)
    return ID
