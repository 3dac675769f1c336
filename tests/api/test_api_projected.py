"""Lists and figures over HTTP: what a worker's projector wrote of events that came by the webhook."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.harness import Worker, until
from tests.served import Api

ID = "listed-1"


@pytest.fixture(scope="module")
def listed(api: Api, live: Worker) -> str:
    """A customer who has a bit of everything, in the projection."""
    kinds = [("activation", 1), ("voice_call", 60), ("recharge", 20), ("recharge", 200), ("app_login", 1)]
    events = [
        {
            "event_id": f"listed-{n}", "customer_id": ID, "event_type": kind, "value": value,
            # Not long before what other tests send: the projection keeps 90 days of events.
            "occurred_at": f"2026-05-{n + 1:02}T10:00:00Z",
        }
        for n, (kind, value) in enumerate(kinds)
    ]  # fmt: skip
    assert api("system").post("/webhooks/customer-event", json={"event": events}).status_code == 200

    def there() -> bool:
        found = items(api, "/customer-events/", customer_id=ID)
        ended = (
            api("viewer").get("/missions/", params={"customer_id": ID, "status": "completed"}).json()["items"]
        )
        return len(found) >= 3 and bool(ended)

    until("the projection has it", there, 180, live.log)
    return ID


def items(api: Api, path: str, **params: Any) -> list[dict[str, Any]]:
    """A list's items."""
    answer = api("viewer").get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_events_are_listed_and_filtered(api: Api, listed: str) -> None:
    found = items(api, "/customer-events/", customer_id=listed)
    assert "voice_call" not in {each["event_type"] for each in found}
    assert [each["occurred_at"] for each in found] == sorted(
        (each["occurred_at"] for each in found), reverse=True
    )
    paid = items(api, "/customer-events/", customer_id=listed, event_type="recharge", source="custom")
    assert [each["value"] for each in paid] == [200, 20]
    since = items(api, "/customer-events/", customer_id=listed, since="2026-05-04T00:00:00Z")
    assert all(each["occurred_at"] >= "2026-05-04" for each in since)
    wrong = api("viewer").get("/customer-events/", params={"since": "yesterday"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "since")


def test_lists_come_in_pages(api: Api, listed: str) -> None:
    whole = items(api, "/ledger/", customer_id=listed)
    assert len(whole) > 2
    first = api("viewer").get("/ledger/", params={"customer_id": listed, "limit": 2}).json()
    rest = items(api, "/ledger/", customer_id=listed, cursor=first["next"])
    assert first["items"] + rest == whole
    bad = api("viewer").get("/ledger/", params={"cursor": "nonsense"})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "cursor")


def test_missions_and_their_history(api: Api, listed: str) -> None:
    one = items(api, "/missions/", customer_id=listed, status="completed")[0]
    shown = api("viewer").get(f"/missions/{one['mission_id']}/").json()
    assert shown["name"] == one["name"]
    assert {each["status"] for each in shown["history"]} >= {"given", "completed"}
    assert items(api, "/missions/", customer_id=listed, number=one["number"], category=one["category"])
    assert items(api, "/missions/", customer_id="nobody") == []
    assert api("viewer").get(f"/missions/{'0' * 32}/").status_code == 404
    assert api("viewer").get("/missions/", params={"status": "lost"}).status_code == 422


def test_decisions_grants_usage_and_scores_by_day(api: Api, listed: str) -> None:
    decided = items(api, "/decisions/", customer_id=listed, kind="mission")
    assert {each["decision"] for each in decided} >= {"given"}
    assert decided[0]["conditions"] is not None
    assert isinstance(items(api, "/grants/", status="open"), list)
    usage = items(api, f"/customers/{listed}/usage/")
    assert sum(each["calls"] for each in usage) == 1
    history = items(api, f"/behavior-scores/{listed}/history/", since="2026-05-01")
    assert history
    assert history[0]["revenue"] >= 0
    assert listed in [each["customer_id"] for each in items(api, "/customers/", limit=500)]


def test_predictions_are_those_of_the_models(api: Api, listed: str) -> None:
    found = api("viewer").get(f"/predictions/{listed}/").json()
    assert found["customer_id"] == listed
    assert set(found["predictions"]) <= {"inline", "daily"}
    assert api("viewer").get("/predictions/nobody/").status_code == 404


def test_why_names_what_was_decided_and_what_is_missing(api: Api, listed: str) -> None:
    found = api("viewer").get(f"/customers/{listed}/why/").json()
    assert found["decided"]
    assert found["now"]["templates"]
    [one] = (
        api("viewer")
        .get(f"/customers/{listed}/why/", params={"mission": "First Call Mission"})
        .json()["now"]["templates"]
    )
    assert one["number"] == 1
    both = api("viewer").get(f"/customers/{listed}/why/", params={"mission": "a", "badge": "b"})
    assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "badge")
    [campaign] = (
        api("viewer")
        .get(f"/customers/{listed}/why/", params={"campaign": "Win Back"})
        .json()["now"]["campaigns"]
    )
    assert (campaign["name"], campaign["ready"]) == ("Win Back", False)
    for kind in ("mission", "badge", "campaign"):
        assert api("viewer").get(f"/customers/{listed}/why/", params={kind: "No Such"}).status_code == 404
    assert api("viewer").get("/customers/nobody/why/").status_code == 404


def test_figures_are_those_of_the_programme(api: Api, listed: str) -> None:
    board = api("viewer").get("/dashboard/").json()
    assert board["transactions"] >= 2
    assert board["campaigns"].keys() == {"triggered", "delivered", "converted"}
    assert board["missions"]["completed"] >= 1
    assert board["points"]["points"] > 0
    assert board["by_day"]
    none = api("viewer").get("/dashboard/", params={"since": "2020-01-01", "until": "2020-01-02"}).json()
    assert (none["transactions"], none["by_day"]) == (0, [])
    owed = api("viewer").get("/rewards/liability/").json()
    assert owed["owed"] > 0
    assert owed["freshness"]["moved_at"]
    for by in ("points", "balance", "badges", "missions", "revenue"):
        leaders = items(api, "/leaderboards/", by=by)
        assert [each["rank"] for each in leaders] == sorted(each["rank"] for each in leaders)
        if by != "badges":
            assert listed in [each["customer_id"] for each in leaders]
    assert api("viewer").get("/leaderboards/", params={"by": "height"}).status_code == 422


def test_the_projection_answers_while_no_worker_does(api: Api, listed: str, parts: Any, app: Any) -> None:
    settings = parts.settings
    parts.settings = settings.model_copy(update={"worker_url": "http://127.0.0.1:9"})
    try:
        found = api("viewer").get(f"/customers/{listed}/").json()
        scores = api("viewer").get(f"/behavior-scores/{listed}/").json()
        missing = api("viewer").get("/customers/nobody/")
        why = api("viewer").get(f"/customers/{listed}/why/")
    finally:
        parts.settings = settings
    assert (found["answered_by"], scores["answered_by"]) == ("projection", "projection")
    assert found["age_seconds"] >= 0
    assert found["points"]["balance"] > 0
    assert "revenue" in scores["scores"]
    assert (missing.status_code, why.status_code) == (404, 503)
    assert why.json()["hint"]
