"""Subscriptions of other systems in the console: made, edited, paused, ended; dead letters sent again."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from outwards.notifier import Notifier
from outwards.trying import Policy
from tests.console.conftest import As
from tests.console.forms import fault, hidden
from tests.faults.harness import until
from tests.faults.pipeline import Pipeline
from tests.outwards.receiver import Receiver
from tests.outwards.told import Told
from web.api.parts import Parts
from web.console.notifications import joined, split
from web.console.rendering import texts

CALLBACK = "https://crm.example.com/settings"


def test_a_subscription_is_made_edited_paused_and_ended(visit: As, parts: Parts) -> None:
    me = visit("system")
    form = {"callback": CALLBACK, "note": "settings", "types": "MissionStateChangeEvent", "active": "on"}
    form |= {"where": "status = completed, expired"}
    for changed, field in (
        ({"callback": "http://10.0.0.1/"}, "callback"), ({"where": "nothing"}, "query"),
        ({"where": "level = 1"}, "query"), ({"secret": "short"}, "secret"),
        ({"types": "ScoreCrossingEvent", "where": "", "score": "risk", "value": "x"}, "query"),
    ):  # fmt: skip
        refused = me.post("/notifications/save", **form | changed)
        assert (refused.status_code, bool(fault(refused.text, field))) == (422, True), changed
    none = me.post("/notifications/save", callback=CALLBACK)
    assert fault(none.text, "types") == texts()["notifications.no_types"]

    made = me.post("/notifications/save", **form)
    secret = re.findall(r"<pre>([\w-]{43})</pre>", made.text)[0]
    id = re.findall(r"/notifications/([0-9a-f]{16})/edit", made.text)[0]
    page = me.get(f"/notifications/{id}/")
    assert secret not in page
    assert parts.vault.get(f"hub.{id}") == secret
    assert texts()["notified.MissionStateChangeEvent"] in page
    assert "status = completed, expired" in page

    edit = me.get(f"/notifications/{id}/edit")
    changed = {
        "id": id,
        "version": hidden(edit, "version"),
        "note": "settings two",
        "types": "BadgeAwardEvent",
    }
    assert "settings two" in me.followed(me.post("/notifications/save", **form | changed | {"where": ""}))
    stale = me.post("/notifications/save", **form | changed | {"where": ""})
    assert stale.status_code == 412

    version = hidden(me.get(f"/notifications/{id}/"), "version")
    assert texts()["notifications.off_about"] in me.followed(
        me.post(f"/notifications/{id}/switch", version=version)
    )
    assert "settings two" in me.get("/notifications/")
    version = hidden(me.get(f"/notifications/{id}/"), "version")
    on = me.followed(me.post(f"/notifications/{id}/switch", version=version))
    assert texts()["notifications.is.delivering"] in on
    assert me.post(f"/notifications/{id}/resume").status_code == 409
    with parts.store.session() as session:
        session.execute(
            text(
                "update outwards.subscriptions set suspended_at = now(), last_error = 'away' where id = :id"
            ),
            {"id": id},
        )
    assert texts()["notifications.suspended_about"] in me.get(f"/notifications/{id}/")
    assert texts()["notifications.is.delivering"] in me.followed(me.post(f"/notifications/{id}/resume"))
    other = re.findall(r"<pre>([\w-]{43})</pre>", me.post(f"/notifications/{id}/secret").text)[0]
    assert parts.vault.get(f"hub.{id}") == other != secret
    me.followed(me.post(f"/notifications/{id}/remove"))
    assert me.client.get(f"/notifications/{id}/").status_code == 404
    assert "/notifications/" not in visit("marketer").get("/")
    assert visit("marketer").client.get("/notifications/").status_code == 403


def test_what_was_given_up_is_sent_again(visit: As, pipeline: Pipeline, parts: Parts) -> None:
    me = visit("system")
    receiver = Receiver()
    receiver.answer = lambda got: 422
    made = me.post("/notifications/save", callback=CALLBACK, types="BadgeAwardEvent", active="on")
    id = re.findall(r"/notifications/([0-9a-f]{16})/edit", made.text)[0]
    with parts.store.session() as session:  # this app refuses such a callback
        session.execute(
            text("update outwards.subscriptions set callback = :url where id = :id"),
            {"url": receiver.url, "id": id},
        )
    settings = pipeline.settings.model_copy(update={"notify_private": True})
    notifier = Notifier(settings, "n", Policy(tries=3, hours=1, first=0.05, longest=0.1), 3.0)
    notifier.start()
    try:
        badge = Told(settings).badge("settings-5")
        until(
            "it is a dead letter", lambda: badge in me.get(f"/notifications/{id}/").split('id="letters"')[1]
        )
        page = me.get(f"/notifications/{id}/")
        assert "answered 422" in page
        assert 'class="bad"' not in me.get("/notifications/").split(id)[0]
        assert me.post(f"/notifications/{id}/send", which="marked").status_code == 422
        receiver.answer = lambda got: 204
        number = re.findall(r'name="letter" value="(\d+)"', page)[0]
        assert "1 are sent again" in me.post(f"/notifications/{id}/send", which="marked", letter=number).text
        until("it is taken", lambda: receiver.taken_ids() == [badge])
        until(
            "nothing is left",
            lambda: texts()["notifications.no_letters"] in me.get(f"/notifications/{id}/"),
        )
    finally:
        notifier.stop()
        receiver.close()
        me.post(f"/notifications/{id}/remove")


@pytest.mark.parametrize(
    "query",
    [
        "eventType=BadgeAwardEvent,TierChangeEvent&level=3,4",
        "eventType=MissionStateChangeEvent&status=completed&name=A%20%26%20B",
        "eventType=ScoreCrossingEvent&score=risk&value=70&direction=up",
    ],
)
def test_a_query_comes_back_from_the_form_as_it_was(query: str) -> None:
    assert joined(split(query)) == query.replace("%20", "+")
