"""What an operator sets up in the console: data sources, product systems; leaderboards, pipeline, audit."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from sqlalchemy import text

from tests.console import upstream as upstreams
from tests.console.conftest import As
from tests.console.forms import fault, hidden
from tests.console.upstream import TOKEN, Upstream
from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.api.doors import PREFIX
from web.api.parts import Parts
from web.api.webhooks import SIGNATURE, TIMESTAMP
from web.console.app import PATH
from web.console.connecting import read, spoken
from web.console.health import quantile
from web.console.leaderboards import seasons
from web.console.presets import PRESETS, SAMPLES, preset
from web.console.rendering import texts
from web.console.sources import TYPES


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with upstreams.upstream() as found:
        yield found


# -- data sources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", TYPES)
def test_every_type_begins_with_a_mapping_that_its_sample_fits(visit: As, of: str) -> None:
    assert set(PRESETS) == set(SAMPLES) == set(TYPES)
    me = visit("admin")
    page = me.get(f"/sources/new?of={of}")
    assert f'value="{PRESETS[of]["customer_id_field"]}"' in page
    tried = me.post("/sources/try", **preset(of) | {"name": f"settings-{of}", "is_active": "on"}).text
    assert texts()["sources.fits"] in tried, tried


POLLED = {
    "name": "settings-payments", "source_type": "billing", "is_active": "on", "interval": "2 hours",
    "poll_kind": "rest", "poll_records": "items", "poll_auth": "bearer",
    "poll_cursor_field": "at", "poll_cursor_param": "since", "poll_paging": "none",
    "poll_params": "state = done", "poll_headers": "X-Tenant = eu", "poll_timeout": "20",
    "customer_id_field": "who", "event_type": "payment", "value_field": "amount", "timestamp_field": "at",
    "event_id_field": "id", "id_remove": " -", "id_prefixes": "00 = +",
}  # fmt: skip


def test_a_polled_source_is_made_tried_and_polled_in_the_browser(
    visit: As, api: Api, parts: Parts, upstream: Upstream, live: Worker, pipeline: Pipeline
) -> None:
    me = visit("admin")
    upstream.lists["/payments"] = [{"id": "p-1", "who": "00 15-1", "amount": 7, "at": "2026-01-06T10:00:00Z"}]
    given = POLLED | {"poll_url": f"{upstream.url}/payments"}
    wrong = given | {"poll_url": "ftp://x", "interval": "soon", "poll_timeout": "0", "poll_params": "x"}
    refused = me.post("/sources/save", **wrong, poll_secret_value=TOKEN)
    assert refused.status_code == 422
    for field in ("poll_url", "interval", "poll_timeout", "poll_params"):
        assert fault(refused.text, field), field
    assert TOKEN not in refused.text
    assert fault(me.post("/sources/try", **given, poll_secret="nothing").text, "poll_secret")

    saved = me.post("/sources/save", **given, poll_secret_value=TOKEN)
    assert "settings-payments" in me.followed(saved)
    found = api("viewer").get("/data-sources/settings-payments/").json()
    poll = found["connection_config"]["poll"]
    assert poll["auth"] == {"kind": "bearer", "token": "vault:settings-payments.poll"}
    assert (poll["params"], poll["headers"]) == ({"state": "done"}, {"X-Tenant": "eu"})
    assert found["event_mapping"]["id_format"] == {"remove": " -", "prefixes": {"00": "+"}}
    assert parts.vault.get("settings-payments.poll") == TOKEN
    page = me.get("/sources/settings-payments/")
    assert TOKEN not in page
    assert 'value="2 hours"' in page
    assert f'value="{upstream.url}/payments"' in page

    # What the editor shows and sends again is what is there: nothing changes.
    again = given | {"was": "settings-payments", "base": hidden(page, "base")}
    again |= {"poll_secret": "vault:settings-payments.poll"}
    fetched = me.post("/sources/fetch", **again).text
    assert "00 15-1" in fetched
    me.followed(me.post("/sources/save", **again))
    assert api("viewer").get("/data-sources/settings-payments/").json() == found

    assert "1 records" in me.post("/sources/settings-payments/sync").text
    now = me.get("/sources/settings-payments/now")
    assert texts()["sources.last_poll"] in now
    assert "00 15-1" in now
    assert f"{PATH}/customers/%2B151/" in now
    pipeline.settled(live.log)


def test_a_source_has_its_rate_its_last_records_and_its_dead_letters(
    visit: As, api: Api, pipeline: Pipeline, live: Worker
) -> None:
    me = visit("admin")
    source = preset("billing") | {"name": "settings-billing", "is_active": "on"}
    me.followed(me.post("/sources/save", **source))
    record = {**SAMPLES["billing"], "who": "settings-3", "id": "r"}
    good = record | {"account": {"msisdn": "settings-3"}, "booked_at": "2026-01-05T10:00:00Z"}
    pipeline.send(
        [good, good | {"amount_cents": None, "transaction_id": "t-2"}], "raw_settings-billing_events"
    )
    pipeline.settled(live.log)

    def shown() -> str:
        return me.get("/sources/settings-billing/now")

    until(
        "the dead letter is there",
        lambda: "raw_settings-billing_events/" in shown().split('id="letters"')[1],
        60,
    )
    page = shown()
    assert f"{PATH}/customers/settings-3/" in page
    assert "value_field" not in hidden(page, "base")

    def rate() -> bool:
        part = me.client.get("/sources/settings-billing/now", headers={"HX-Request": "true"}).text
        return re.search(r"<span class=\"value\">\d", part) is not None and "<time" in part

    until("two looks make a rate", rate, 60)
    assert "<h1" not in me.client.get("/sources/", headers={"HX-Request": "true"}).text
    assert texts()["sources.rate"] in me.get("/sources/")
    # The viewer sees it, and what it may not do is not there.
    theirs = visit("viewer").get("/sources/settings-billing/now")
    assert "/dead-letters/replay" in theirs
    assert texts()["letters.replay"] not in theirs
    assert "/secret" not in theirs


def test_what_is_sent_by_webhook_is_signed_once_there_is_a_secret(
    visit: As, api: Api, address: str, parts: Parts
) -> None:
    me = visit("admin")
    me.followed(me.post("/sources/save", **preset("custom") | {"name": "settings-hook", "is_active": "on"}))
    assert texts()["sources.is_unsigned"] in me.get("/sources/settings-hook/now")
    assert me.post("/sources/settings-hook/secret", value="").status_code == 422
    me.followed(me.post("/sources/settings-hook/secret", value="a secret of the tests"))
    page = me.get("/sources/settings-hook/now")
    assert texts()["sources.is_signed"] in page
    assert "a secret of the tests" not in page
    event = SAMPLES["custom"] | {"customer_id": "settings-4", "occurred_at": "2026-01-05T10:00:00Z"}
    body = json.dumps({"source": "settings-hook", "event": event}).encode()
    at = str(int(time.time()))
    signature = hmac.new(b"a secret of the tests", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    url = f"{address}{PREFIX}/webhooks/customer-event"
    signed = {SIGNATURE: f"sha256={signature}", TIMESTAMP: at}
    assert httpx.post(url, content=body, headers=signed).status_code == 200
    assert httpx.post(url, content=body, headers=signed | {SIGNATURE: "sha256=00"}).status_code == 401
    me.followed(me.post("/sources/settings-hook/unsigned"))
    assert httpx.post(url, content=body, headers=signed).status_code == 401
    page = me.get("/sources/settings-hook/")
    assert me.post("/sources/settings-hook/remove", base="x").status_code == 412
    me.followed(me.post("/sources/settings-hook/remove", base=hidden(page, "base")))
    assert me.client.get("/sources/settings-hook/").status_code == 404


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"poll_kind": ""}, None),
        ({"poll_kind": "files", "poll_folder": "in", "poll_pattern": "*.csv"},
         {"kind": "files", "folder": "in", "pattern": "*.csv"}),
        ({"poll_kind": "sql", "poll_query": "select 1", "poll_secret": "env:DB"},
         {"kind": "sql", "query": "select 1", "database": "env:DB"}),
        ({"poll_kind": "rest", "poll_url": "http://x", "poll_auth": "basic", "poll_username": "u",
          "poll_secret_value": "s", "poll_paging": "cursor", "poll_paging_field": "next",
          "poll_paging_param": "after", "poll_paging_first": "1", "poll_query": "left over"},
         {"kind": "rest", "url": "http://x",
          "auth": {"kind": "basic", "username": "u", "password": "vault:v"},
          "paging": {"kind": "cursor", "field": "next", "param": "after"}}),
    ],
)  # fmt: skip
def test_of_a_form_only_what_its_kind_needs_is_read(
    form: dict[str, str], says: dict[str, object] | None
) -> None:
    assert read(form, "vault:v") == (says, [])


def test_intervals_are_written_as_people_say_them() -> None:
    assert [spoken(each) for each in (1, 59, 60, 300, 3600, 86_400, 1_209_600)] == [
        "1 second", "59 seconds", "1 minute", "5 minutes", "1 hour", "1 day", "2 weeks",
    ]  # fmt: skip


# -- product systems ------------------------------------------------------------------------------------


def test_a_product_system_is_connected_tried_and_synchronised(
    visit: As, parts: Parts, upstream: Upstream
) -> None:
    me = visit("admin")
    night = {"id": 17, "title": "Settings Night", "kind": "DATA", "cost": {"amount": "9.90", "unit": "EUR"}}
    upstream.lists["/products"] = [night, night | {"id": 18, "kind": "FAX"}]
    form = {
        "name": "settings-xiva", "frequency": "daily", "poll_kind": "rest", "poll_records": "items",
        "poll_url": f"{upstream.url}/products", "poll_auth": "bearer", "external_product_id.field": "id",
        "name.field": "title", "product_type.field": "kind",
        "product_type.values": "DATA = data, VOICE = voice",
        "price.field": "cost.amount", "currency.field": "cost.unit", "is_available.default": "true",
    }  # fmt: skip
    wrong = me.post(
        "/products/systems/save", **form | {"frequency": "soon", "price.field": "", "poll_url": "x"}
    )
    assert wrong.status_code == 422
    for field in ("frequency", "price", "poll_url", "poll_secret"):
        assert fault(wrong.text, field), field
    saved = me.post("/products/systems/save", **form, poll_secret_value=TOKEN)
    page = me.followed(saved)
    assert "vault:products.settings-xiva.secret" in page
    assert TOKEN not in page
    assert parts.vault.get("products.settings-xiva.secret") == TOKEN
    taken = me.post("/products/systems/save", **form, poll_secret_value=TOKEN)
    assert (taken.status_code, fault(taken.text, "name")) == (412, texts()["systems.taken"])

    edit = me.get("/products/systems/settings-xiva/edit")
    assert 'value="DATA = data, VOICE = voice"' in edit
    assert 'value="true"' in edit
    form |= {"was": "settings-xiva", "etag": hidden(edit, "etag")}
    form |= {"poll_secret": "vault:products.settings-xiva.secret"}
    assert "Settings Night" in me.post("/products/systems/fetch", **form).text
    tried = me.post("/products/systems/try", **form, sample=json.dumps(night)).text
    assert texts()["systems.fits"] in tried
    assert "9.90" in tried
    none = me.post("/products/systems/try", **form, sample=json.dumps(night | {"kind": "FAX"})).text
    assert texts()["systems.becomes_none"] in none
    assert "FAX" in none

    done = me.client.post(
        "/products/systems/settings-xiva/sync", data={"guard": me.guard}, headers={"HX-Request": "true"}
    ).text
    assert "1 new, 0 changed, 0 unchanged, 0 withdrawn, 1 refused." in done
    assert "FAX" in done
    assert "Settings Night" in me.get("/products/?external_system=settings-xiva")
    assert texts()["systems.is.done"] in me.get("/products/systems/settings-xiva/")

    me.followed(me.post("/products/systems/save", **form | {"frequency": ""}))
    assert texts()["products.when_asked"] in me.get("/products/systems/settings-xiva/")
    assert me.post("/products/systems/save", **form).status_code == 412
    upstream.lists["/products"] = []
    assert me.post("/products/systems/settings-xiva/sync").status_code == 502
    assert texts()["systems.is.failed"] in me.get("/products/systems/settings-xiva/")
    assert "settings-xiva" in me.get("/pipeline/health")
    theirs = visit("viewer").get("/products/systems/settings-xiva/")
    assert "/edit" not in theirs
    assert "/sync" not in theirs
    me.followed(me.post("/products/systems/settings-xiva/remove"))
    assert me.client.get("/products/systems/settings-xiva/").status_code == 404
    assert parts.vault.get("products.settings-xiva.secret") is None
    assert "Settings Night" in me.get("/products/?external_system=settings-xiva")


# -- leaderboards, customers ----------------------------------------------------------------------------


def test_seasons_are_whole_months_and_quarters() -> None:
    found = seasons(date(2026, 2, 14))
    assert list(found)[:5] == ["2026-Q1", "2025-Q4", "2025-Q3", "2025-Q2", "2026-02"]
    assert found["2026-Q1"] == (date(2026, 1, 1), date(2026, 3, 31))
    assert found["2025-Q4"] == (date(2025, 10, 1), date(2025, 12, 31))
    assert found["2026-02"] == (date(2026, 2, 1), date(2026, 2, 28))
    assert found["2025-02"] == (date(2025, 2, 1), date(2025, 2, 28))
    assert len(found) == 17


def test_a_leaderboard_of_a_season_without_whom_asked(visit: As, api: Api, known: str, parts: Parts) -> None:
    viewer, marketer = visit("viewer"), visit("marketer")
    row = f'{PATH}/customers/{known}/"'
    for by in ("points", "badges", "missions"):
        asked = {"by": by, "limit": "500"}
        of_all = api("viewer").get("/leaderboards/", params=asked).json()["items"]
        asked |= {"since": "2026-01-01", "until": "2026-01-31"}
        of_month = api("viewer").get("/leaderboards/", params=asked).json()["items"]
        mine = [each["value"] for each in of_all if each["customer_id"] == known]
        assert mine == [each["value"] for each in of_month if each["customer_id"] == known], by
        before = {"since": "2025-11-01", "until": "2025-12-31"}
        assert known not in str(api("viewer").get("/leaderboards/", params={"by": by} | before).json())
    assert (
        api("viewer").get("/leaderboards/", params={"by": "risk", "since": "2026-01-01"}).status_code == 422
    )
    assert row in viewer.get("/leaderboards/?by=badges&season=2026-01")
    assert texts()["leaders.none_season"] in viewer.get("/leaderboards/?by=badges&season=2025-12")
    assert texts()["leaders.no_seasons"] in viewer.get("/leaderboards/?by=risk")

    path = f"/customers/{known}/listed"
    assert path not in viewer.get(f"/customers/{known}/")
    assert viewer.post(path, off="on").status_code == 403
    assert path in marketer.get(f"/customers/{known}/")
    assert texts()["leaders.off"] in marketer.post(path, off="on").text
    for by in ("points", "badges", "balance", "risk"):
        assert row not in viewer.get(f"/leaderboards/?by={by}"), by
    assert known not in str(api("viewer").get("/leaderboards/").json())
    assert texts()["leaders.list"] in marketer.get(f"/customers/{known}/")
    assert texts()["leaders.on"] in marketer.post(path, off="").text
    assert row in viewer.get("/leaderboards/?by=badges")
    with parts.store.session() as session:
        told = session.execute(
            text("select \"user\", resource from governance.audit where resource like 'leaderboards/%'")
        ).all()
    assert [each.user for each in told] == ["a-marketer", "a-marketer"]
    assert not any(known in each.resource for each in told)


def test_a_customer_opts_out_and_in(visit: As, api: Api, pipeline: Pipeline, live: Worker) -> None:
    event = {
        "event_id": "settings-6", "customer_id": "settings-6", "event_type": "activation", "value": 1,
        "occurred_at": "2026-01-04T10:00:00Z",
    }  # fmt: skip
    assert api("system").post("/webhooks/customer-event", json={"event": event}).status_code == 200
    pipeline.settled(live.log)
    marketer, path = visit("marketer"), "/customers/settings-6/opt"
    until(
        "the worker knows the customer",
        lambda: path in marketer.client.get("/customers/settings-6/").text,
        60,
    )
    assert visit("viewer").post(path).status_code == 403
    assert marketer.post(path, **{"in": ""}).status_code == 200
    until(
        "the customer is out",
        lambda: texts()["customer.opted_out"] in marketer.get("/customers/settings-6/"),
        60,
        live.log,
    )
    assert marketer.post(path, **{"in": "on"}).status_code == 200
    until(
        "the customer takes part",
        lambda: texts()["customer.opted_in"] in marketer.get("/customers/settings-6/"),
        60,
        live.log,
    )
    assert marketer.post(f"/customers/settings-6/grants/{32 * '0'}/repeat").status_code in (200, 404, 409)


# -- pipeline, people -----------------------------------------------------------------------------------


def test_the_pipeline_has_times_restores_and_lights(visit: As, known: str) -> None:
    page = visit("viewer").get("/pipeline/")
    times = page.split('id="transactions"')[1].split('id="restores"')[0]
    assert f"<td>{texts()['pipeline.customers']}</td>" in times
    assert f"<td>{texts()['pipeline.normalizer']}</td>" in times
    restores = page.split('id="restores"')[1].split('id="projection"')[0]
    assert restores.count('<th scope="row">a</th>') == 2
    lights = visit("viewer").client.get("/pipeline/health", headers={"HX-Request": "true"}).text
    assert lights.startswith("<ul")
    for key in ("kafka", "workers", "normalizer", "customers"):
        assert re.search(
            rf'<li class="good">(?:(?!</li>).)*{texts()[f"health.of.{key}"]}', lights, re.DOTALL
        ), key
    assert "hx-get" in visit("viewer").get("/")


def test_quantiles_are_those_of_prometheus() -> None:
    buckets = [(0.1, 10.0), (0.2, 30.0), (0.5, 40.0), (float("inf"), 40.0)]
    assert quantile(buckets, 0.5) == pytest.approx(0.15)
    assert quantile(buckets, 0.25) == pytest.approx(0.1)
    assert quantile([(0.1, 0.0), (float("inf"), 4.0)], 0.95) == 0.1
    assert quantile([], 0.5) is None
    assert quantile([(0.1, 0.0), (float("inf"), 0.0)], 0.5) is None


def test_the_audit_log_is_searched_by_who_what_and_when(visit: As) -> None:
    me = visit("admin")
    me.followed(me.post("/people/users", name="settings-eva", role="viewer"))
    today = datetime.now(UTC).date()
    tomorrow, ago = today + timedelta(days=1), today - timedelta(days=2)
    there = f"since={today}&until={today}&resource=users/settings-eva"
    assert "users/settings-eva" in me.get(f"/people/audit?user=a-admin&action=create&{there}")
    for other in (f"since={tomorrow}", f"until={ago}", "action=revoke", "user=nobody"):
        found = me.get(f"/people/audit?resource=users/settings-eva&{other}")
        assert texts()["people.none_found"] in found, other
    assert me.client.get("/people/audit?since=x").status_code == 422
    made = me.post("/people/keys", user="settings-eva", note="", expires=str(tomorrow))
    assert f"{tomorrow + timedelta(days=1)} 00:00" in made.text
    assert me.post("/people/keys", user="settings-eva", expires=str(ago)).status_code == 422


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("/sources/fetch", "admin"),
        ("/sources/settings-x/remove", "admin"),
        ("/sources/settings-x/secret", "admin"),
        ("/sources/settings-x/unsigned", "admin"),
        ("/products/systems/save", "admin"),
        ("/products/systems/fetch", "admin"),
        ("/products/systems/try", "admin"),
        ("/products/systems/settings-x/remove", "admin"),
        ("/products/systems/settings-x/sync", "system admin"),
        ("/notifications/save", "system admin"),
        ("/notifications/0000000000000000/remove", "system admin"),
        ("/notifications/0000000000000000/send", "system admin"),
        ("/customers/settings-x/opt", "marketer approver system admin"),
    ],
)
def test_who_may_not_is_refused(visit: As, live: Worker, path: str, roles: str) -> None:
    for role in ("viewer", "marketer", "approver", "system", "admin"):
        refused = visit(role).post(path).status_code == 403
        assert refused == (role not in roles.split()), role
