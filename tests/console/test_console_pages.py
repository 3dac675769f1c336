"""The pages with real customers, rules and sources; what a role may not do is not there, and refused."""

from __future__ import annotations

import json
import re

import pytest

from tests.console.conftest import As
from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.console.app import PATH
from web.console.rendering import texts

_VERSION = re.compile(r'name="version" value="(\d+)"')


def test_a_customer_is_found_and_its_badge_explained(visit: As, known: str) -> None:
    me = visit("viewer")
    assert f'href="{PATH}/customers/{known}/"' in me.get("/customers/?search=nsole-")
    whole = me.client.get("/customers/", params={"search": known})
    assert (whole.status_code, whole.headers["Location"]) == (303, f"{PATH}/customers/{known}/")
    page = me.get(f"/customers/{known}/")
    assert "Activated" in page
    assert "transactions_lifetime &gt;= 1" in page
    assert re.search(r"transactions, ever: .*?seen <b>1</b>", page, re.DOTALL)
    assert "radar" in page
    assert texts()["component.recent_recharges"] in page
    assert texts()["customer.live"] in page


@pytest.mark.parametrize(
    ("tab", "word"),
    [
        ("why", "First Recharge"), ("points", "customer.tab.points"), ("predictions", "Predictions"),
        ("timeline", "recharge, 20"), ("decisions", "Badge awarded"),
    ],
)  # fmt: skip
def test_a_customer_has_all_its_parts(visit: As, known: str, tab: str, word: str) -> None:
    assert texts().get(word, word) in visit("viewer").get(f"/customers/{known}/{tab}")


def test_an_unknown_customer_is_said_so(visit: As, known: str) -> None:
    assert "nobody" in visit("viewer").get("/customers/nobody/", 404)
    assert "No customer fits" in visit("viewer").get("/customers/?search=nobody")


def test_points_are_redeemed_by_whom_may(visit: As, api: Api, known: str) -> None:
    path = f"/customers/{known}/redeem"
    assert path not in visit("viewer").get(f"/customers/{known}/")
    assert visit("viewer").post(path, points="1").status_code == 403
    marketer = visit("marketer")
    assert path in marketer.get(f"/customers/{known}/")
    before = api("viewer").get(f"/customers/{known}/").json()["points"]["balance"]
    assert marketer.post(path, points="5").status_code == 200

    def now() -> int:
        return int(api("viewer").get(f"/customers/{known}/").json()["points"]["balance"])

    until("the points are gone", lambda: now() == before - 5, 60)
    assert marketer.post(path, points="1000000").status_code in (200, 409)
    for wrong in ("", "x", "0", "-3", "+-5", "1.5", "9" * 20):
        assert marketer.post(path, points=wrong).status_code == 422
    assert now() == before - 5


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("/customers/x/recalculate", "marketer approver system admin"),
        ("/customers/x/adjust", "admin"),
        ("/customers/x/erase", "admin"),
        ("/missions/check", "marketer approver admin"),
        ("/missions/save", "marketer approver admin"),
        ("/drafts/999/approve", "approver admin"),
        ("/drafts/999/publish", "marketer approver admin"),
        ("/sources/save", "admin"),
        ("/sources/try", "marketer approver admin"),
        ("/dead-letters/replay", "system admin"),
        ("/products/save", "marketer approver admin"),
        ("/products/systems/x/sync", "system admin"),
        ("/models/churn/activate", "admin"),
        ("/people/users", "admin"),
        ("/people/keys", "admin"),
    ],
)
def test_roles_are_those_of_the_api(visit: As, known: str, path: str, roles: str) -> None:
    for role in ("viewer", "marketer", "approver", "system", "admin"):
        refused = visit(role).post(path).status_code == 403
        assert refused == (role not in roles.split()), role


def test_erasing_takes_the_id_once_more(visit: As, known: str) -> None:
    assert "/erase" not in visit("marketer").get(f"/customers/{known}/")
    assert "/erase" in visit("admin").get(f"/customers/{known}/")
    assert visit("admin").post(f"/customers/{known}/erase", again="another").status_code == 422
    assert texts()["customer.live"] in visit("viewer").get(f"/customers/{known}/")


MISSION = {
    "name": "Console Mission", "category": "engagement", "eligibility": "tenure_days >= 0",
    "goal.kind": "count", "goal.types": "recharge", "goal.at_least": "1", "target.value": "2",
    "duration": "2 weeks", "cooldown": "30",
    "priority": "95", "rewards.points": "150", "active": "on", "note": "for the console",
}  # fmt: skip


def test_what_is_wrong_is_said_at_the_field(visit: As) -> None:
    me = visit("marketer")
    wrong = MISSION | {
        "eligibility": "tenure >= 5",
        "duration": "soon",
        "priority": "high",
        "goal.types": "racharge",
    }
    found = me.post("/missions/check", **wrong).text
    for field in ("duration", "priority"):
        assert not re.search(rf'id="fault-{field}"[^>]*></span>', found), field
    found = me.post("/missions/check", **MISSION | {"eligibility": "tenure >= 5"}).text
    assert re.search(r'id="fault-eligibility"[^>]*>[^<]*tenure', found)
    assert not re.search(r'id="fault-name"[^>]*>[^<]+<', found)
    fits = me.post("/missions/check", **MISSION).text
    assert texts()["missions.fits"] in fits
    assert "Console Mission" in fits
    taken = me.post("/missions/save", **MISSION | {"name": "First Recharge"})
    assert (taken.status_code, texts()["missions.taken"] in taken.text) == (422, True)


def test_a_mission_goes_from_editor_to_customers_by_two_people(
    visit: As, api: Api, known: str, pipeline: Pipeline, live: Worker
) -> None:
    marketer, approver = visit("marketer"), visit("approver")
    page = marketer.followed(marketer.post("/missions/save", **MISSION))
    path = re.findall(rf'action="{PATH}(/drafts/\d+)/withdraw"', page)[0]
    assert "Console Mission" in page
    assert f"{path}/approve" not in page
    version = _VERSION.findall(page)[0]
    assert marketer.post(f"{path}/approve", version=version).status_code == 403
    assert marketer.post(f"{path}/publish", version=version).status_code == 409
    theirs = approver.get(f"{path}/")
    assert f"{path}/approve" in theirs
    assert approver.post(f"{path}/approve", version="99").status_code == 412
    approved = approver.followed(approver.post(f"{path}/approve", version=version))
    assert f"{path}/publish" in approved
    published = marketer.followed(marketer.post(f"{path}/publish", version=_VERSION.findall(approved)[0]))
    assert texts()["draft.published"] in published
    assert "Console Mission" in marketer.get("/missions/?search=console")
    until(
        "the worker has the revision",
        lambda: "Console Mission" in marketer.get(f"/customers/{known}/why"),
        60,
        live.log,
    )
    assert marketer.post(f"/customers/{known}/generate").status_code == 200
    until(
        "the customer has the mission, and why",
        lambda: "Console Mission" in marketer.get(f"/customers/{known}/"),
        60,
        live.log,
    )
    assert "tenure_days &gt;= 0" in marketer.get(f"/customers/{known}/decisions")
    number = re.findall(
        r"/missions/(\d+)/\"[^>]*>Console Mission", marketer.get("/missions/?search=console")
    )[0]
    base = re.findall(r'name="base" value="([^"]+)"', marketer.get(f"/missions/{number}/edit"))[0]
    stale = marketer.post("/missions/save", **MISSION | {"number": number, "base": "0" * 20})
    assert stale.status_code == 409
    edited = marketer.post("/missions/save", **MISSION | {"number": number, "base": base, "priority": "96"})
    assert "<del>95</del> → <ins>96</ins>" in marketer.followed(edited)


SOURCE = {
    "name": "console-billing", "source_type": "billing", "is_active": "on",
    "customer_id_field": "who", "event_type": "recharge", "value_field": "amount", "timestamp_field": "at",
    "event_id_field": "id",
}  # fmt: skip
RECORD = {"who": "console-2", "total": 12, "at": "2026-01-05T10:00:00Z", "id": "c-1"}


def test_a_source_is_added_its_dead_letter_mended_and_mapped_again(
    visit: As, api: Api, pipeline: Pipeline, live: Worker
) -> None:
    me = visit("admin")
    tried = me.post("/sources/try", **SOURCE, sample=json.dumps(RECORD)).text
    assert texts()["sources.fits_not"] in tried
    assert "amount" in tried
    avro = {"format": "avro", "avro_schema": "{", "value_scale": "x"}
    wrong = me.post("/sources/try", **SOURCE | avro).text
    assert re.search(r'id="fault-avro_schema"[^>]*>is no JSON', wrong)
    assert re.search(r'id="fault-value_scale"[^>]*>must be a number', wrong)
    assert "console-billing" in me.followed(me.post("/sources/save", **SOURCE))
    pipeline.send([RECORD], "raw_console-billing_events")
    pipeline.settled(live.log)
    until(
        "the record is a dead letter",
        lambda: "raw_console-billing_events/" in me.get("/dead-letters/?source=console-billing"),
        60,
        live.log,
    )
    letters = me.get("/dead-letters/?source=console-billing")
    assert "console-2" in letters
    id = re.findall(r'name="id" value="([^"]+)"', letters)[0]
    editor = me.get("/sources/console-billing/")
    assert "&#34;total&#34;: 12" in editor
    base = re.findall(r'name="base" value="([^"]+)"', editor)[0]
    mended = SOURCE | {"value_field": "total", "was": "console-billing", "base": base}
    assert texts()["sources.fits"] in me.post("/sources/try", **mended, sample=json.dumps(RECORD)).text
    me.followed(me.post("/sources/save", **mended))
    assert me.post("/sources/save", **mended).status_code == 412

    def replayed() -> bool:
        answer = me.post("/dead-letters/replay", id=id)
        return "1 mapped again" in answer.text

    until("the letter is mapped again with the new mapping", replayed, 60, live.log)
    until("it is marked so", lambda: id not in me.get("/dead-letters/?source=console-billing"), 60, live.log)
    assert me.post("/dead-letters/replay").status_code == 422


def test_a_product_is_added_changed_and_deleted(visit: As) -> None:
    me = visit("marketer")
    form = {"name": "Console Data", "external_product_id": "console-1", "price": "9.90", "currency": "USD"}
    form |= {
        "product_type": "data",
        "is_active": "on",
        "is_available": "on",
        "target_segments": "youth, family",
    }
    wrong = me.post("/products/save", **form | {"price": "much"})
    assert (wrong.status_code, texts()["products.no_amount"] in wrong.text) == (422, True)
    made = me.post("/products/save", **form)
    page = me.followed(made)
    assert "9.90 USD" in page
    path = made.headers["Location"].removeprefix(PATH)
    edit = me.get(f"{path}edit")
    etag, id = (re.findall(rf'name="{name}" value="([^"]+)"', edit)[0] for name in ("etag", "id"))
    assert "8.90 USD" in me.followed(
        me.post("/products/save", **form | {"price": "8.90", "id": id, "etag": etag})
    )
    assert me.post("/products/save", **form | {"id": id, "etag": etag}).status_code == 412
    assert "Console Data" in me.get("/products/?search=console")
    assert "/delete" not in visit("viewer").get(path)
    etag = re.findall(r'name="etag" value="([^"]+)"', me.get(path))[0]
    me.followed(me.post(f"{path}delete", etag=etag))
    assert "Console Data" not in me.get("/products/?search=console")


def test_people_get_keys_and_the_key_is_shown_once(visit: As) -> None:
    me = visit("admin")
    me.followed(me.post("/people/users", name="console-anna", role="viewer"))
    issued = me.post("/people/keys", user="console-anna", note="hers")
    key = re.findall(r"khaywe_[0-9a-f]{12}_[\w-]{43}", issued.text)[0]
    assert key not in me.get("/people/")
    assert key.split("_")[1] in me.get("/people/")
    assert "users/console-anna" in me.get("/people/audit?resource=users/console-anna")


def test_the_overview_is_live(visit: As, known: str) -> None:
    with visit("viewer").client.stream("GET", "/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = ""
        for line in stream.iter_lines():
            seen += f"{line}\n"
            if texts()["overview.rate"] in seen:
                break
    assert "event: figures" in seen
    assert "data: <dl" in seen


def test_the_pipeline_says_who_owns_what(visit: As, known: str) -> None:
    page = visit("viewer").get("/pipeline/")
    assert "customer-events" in page
    assert texts()["pipeline.is_ready"] in page
    assert texts()["pipeline.deserted"] not in page
