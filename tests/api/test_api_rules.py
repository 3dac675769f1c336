"""Rules over HTTP: read as published, edited as drafts, approved by a second person, published, and back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.served import BY_TEST, Api
from web.api.parts import Parts
from web.api.rules import _BADGE, _EARNING, _OFFER, _TEMPLATE

SECTIONS = [
    ("/mission-templates/", _TEMPLATE, "number", "priority"),
    ("/badges/", _BADGE, "number", "levels"),
    ("/offers/", _OFFER, "offer_id", "description"),
    ("/earning-rules/", _EARNING, "number", "types"),
]


def publish(api: Api, draft: Any) -> dict[str, Any]:
    """A draft, approved and published; the draft afterwards."""
    path = f"/drafts/{draft.json()['id']}/"
    approved = api("approver").post(f"{path}approve/", headers={"If-Match": draft.headers["ETag"]})
    assert approved.status_code == 200, approved.text
    done = api("marketer").post(f"{path}publish/", headers={"If-Match": approved.headers["ETag"]})
    assert done.status_code == 200, done.text
    found: dict[str, Any] = done.json()
    return found


@pytest.mark.parametrize(("path", "entry", "key", "field"), SECTIONS)
def test_an_entry_is_added_changed_and_switched_off(
    api: Api, path: str, entry: dict[str, Any], key: str, field: str
) -> None:
    editor = api("marketer")
    draft = editor.post(path, json=entry, params={"note": "try"})
    assert draft.status_code == 201, draft.text
    assert (draft.json()["status"], draft.json()["authors"]) == ("draft", ["a-marketer"])
    [change] = draft.json()["changes"]
    assert (change["change"], change["name"]) == ("added", entry["name"])
    before = api("viewer").get(path, params={"limit": 500}).json()["items"]
    assert entry["name"] not in [each["name"] for each in before]
    done = publish(api, draft)
    assert (done["status"], done["published"]) == ("published", True)

    after = api("viewer").get(path, params={"limit": 500}).json()["items"]
    [made] = [each for each in after if each["name"] == entry["name"]]
    assert len(after) == len(before) + 1
    assert editor.post(path, json=entry).status_code == 409
    shown = api("viewer").get(f"{path}{made[key]}/")
    assert shown.json() == made

    # What was read can be sent back as it is; the tag of something older is refused.
    other = made | {"name": f"{made['name']} II"}
    assert editor.put(f"{path}{made[key]}/", json=other).status_code == 428
    assert editor.put(f"{path}{made[key]}/", json=other, headers={"If-Match": '"x"'}).status_code == 412
    draft = editor.put(f"{path}{made[key]}/", json=other, headers={"If-Match": shown.headers["ETag"]})
    assert draft.status_code == 200, draft.text
    assert draft.json()["changes"][0]["fields"]["name"] == [made["name"], other["name"]]
    publish(api, draft)
    shown = api("viewer").get(f"{path}{made[key]}/")
    assert shown.json()["name"] == other["name"]

    draft = editor.delete(f"{path}{made[key]}/", headers={"If-Match": shown.headers["ETag"]})
    publish(api, draft)
    left = api("viewer").get(f"{path}{made[key]}/")
    assert left.status_code == 404 or left.json()["active"] is False


@pytest.mark.parametrize(("path", "entry", "key", "field"), SECTIONS)
def test_what_is_wrong_with_an_entry_names_its_field(
    api: Api, path: str, entry: dict[str, Any], key: str, field: str
) -> None:
    answer = api("marketer").post(path, json={**entry, "name": "Wrong", field: 7.5})
    assert answer.status_code == 422
    assert field in answer.json()["errors"][0]["field"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"eligibility": "tenure_dais > 3"}, "eligibility"),
        ({"goal": {"kind": "count", "types": ["fax"]}}, "goal.types[0]"),
        ({"duration": "500 days"}, "duration"),
        ({"rewards": {"offer": "Nothing"}}, "rewards.offer"),
        ({"after": ["No Such Mission"]}, "after"),
        ({"duration": "a while"}, "duration"),
        ({"target": None}, "target"),
    ],
)
def test_rules_are_checked_together(api: Api, wrong: dict[str, Any], field: str) -> None:
    answer = api("marketer").post("/mission-templates/", json={**_TEMPLATE, "name": "Wrong", **wrong})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(field)


def test_who_edited_a_draft_cannot_approve_it(api: Api, parts: Parts) -> None:
    draft = api("approver").post("/offers/", json={"name": "Mine", "description": "of the approver"})
    path = f"/drafts/{draft.json()['id']}/"
    tag = {"If-Match": draft.headers["ETag"]}
    answer = api("approver").post(f"{path}approve/", headers=tag)
    assert (answer.status_code, "second person" in answer.json()["hint"]) == (403, True)
    assert api("marketer").post(f"{path}publish/", headers=tag).status_code == 409
    # A second key of the same person is the same person.
    again = parts.people.issue("a-approver", "", None, BY_TEST).key
    assert api(key=again).post(f"{path}approve/", headers=tag).status_code == 403
    approved = api("admin").post(f"{path}approve/", headers=tag)
    assert approved.json()["approved_by"] == "a-admin"
    # An edit takes the approval away.
    edited = api("marketer").post(
        "/offers/", json={"name": "Another", "description": ""}, params={"draft": draft.json()["id"]}
    )
    assert (edited.json()["status"], edited.json()["authors"]) == ("draft", ["a-approver", "a-marketer"])
    gone = api("marketer").post(f"{path}withdraw/", headers={"If-Match": edited.headers["ETag"]})
    assert gone.json()["status"] == "withdrawn"
    assert (
        api("marketer")
        .post("/offers/", json={"name": "More", "description": ""}, params={"draft": draft.json()["id"]})
        .status_code
        == 409
    )


def test_who_publishes_second_is_told(api: Api) -> None:
    shown = api("viewer").get("/offers/3/")
    tag = {"If-Match": shown.headers["ETag"]}
    drafts = [
        api("marketer").put("/offers/3/", json=shown.json() | {"description": words}, headers=tag)
        for words in ("first", "second")
    ]
    publish(api, drafts[0])
    path = f"/drafts/{drafts[1].json()['id']}/"
    approved = api("approver").post(f"{path}approve/", headers={"If-Match": drafts[1].headers["ETag"]})
    late = api("marketer").post(f"{path}publish/", headers={"If-Match": approved.headers["ETag"]})
    assert (late.status_code, "offers" in late.json()["detail"]) == (412, True)
    assert api("viewer").get("/offers/3/").json()["description"] == "first"


def test_several_edits_stand_in_one_draft_and_one_revision(api: Api) -> None:
    mission = {**_TEMPLATE, "name": "Pair Mission", "rewards": {"offer": "Pair Offer"}}
    body = {
        "note": "a pair",
        "edits": [
            {"section": "offers", "entry": {"name": "Pair Offer", "description": "", "kind": "data"}},
            {"section": "templates", "entry": mission},
            {"section": "points_valid_months", "entry": 6},
            {"section": "tiers", "entry": [{"name": "Basic", "points": 0}, {"name": "Plus", "points": 500}]},
        ],
    }
    draft = api("marketer").post("/drafts/", json=body)
    assert draft.status_code == 201, draft.text
    done = publish(api, draft)
    revision = api("viewer").get(f"/revisions/{done['revision']}/").json()
    assert (revision["note"], revision["created_by"]) == ("a pair", "a-marketer")
    assert revision["game"]["points_valid_months"] == 6
    found = api("viewer").get(f"/revisions/{done['revision']}/differences/").json()
    assert {each["section"] for each in found["changes"]} == {
        "offers", "templates", "points_valid_months", "tiers",
    }  # fmt: skip
    for entry, field in (
        ({"section": "tiers", "entry": 7}, "edits.0.entry"),
        ({"section": "offers", "entry": {"name": 7}}, "edits.0.entry.name"),
        ({"section": "policy", "entry": {"scores": {}}}, "scores"),
        ({"section": "fax", "entry": {}}, "edits.0.section"),
    ):
        answer = api("marketer").post("/drafts/", json={"edits": [entry]})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text


def test_the_rules_go_back_to_an_older_revision(api: Api) -> None:
    old = api("viewer").get("/revisions/").json()["items"][0]["number"]
    before = api("viewer").get("/offers/", params={"limit": 500}).json()["items"]
    publish(api, api("marketer").post("/offers/", json={"name": "Short-lived", "description": "gone soon"}))
    draft = api("marketer").post(f"/revisions/{old}/restore/")
    assert draft.status_code == 201, draft.text
    publish(api, draft)
    after = api("viewer").get("/offers/", params={"limit": 500}).json()["items"]
    assert [each for each in after if each["active"]] == [each for each in before if each["active"]]
    newest = api("viewer").get("/revisions/").json()["items"][0]["number"]
    assert api("marketer").post(f"/revisions/{newest}/restore/").status_code == 409


def test_the_scoring_policy_is_edited_like_the_rest(api: Api) -> None:
    shown = api("viewer").get("/scoring-policy/")
    policy = shown.json()
    tag = {"If-Match": shown.headers["ETag"]}
    policy["scores"]["risk"]["inactivity"]["full_at"] = 45
    # JSON objects have no order; the policy has one of its own.
    policy["scores"] = dict(reversed(policy["scores"].items()))
    draft = api("marketer").put("/scoring-policy/", json=policy, headers=tag)
    assert draft.status_code == 200, draft.text
    publish(api, draft)
    assert api("viewer").get("/scoring-policy/").json()["scores"]["risk"]["inactivity"]["full_at"] == 45
    tag = {"If-Match": api("viewer").get("/scoring-policy/").headers["ETag"]}
    policy["scores"]["risk"]["inactivity"]["weight"] = 90
    answer = api("marketer").put("/scoring-policy/", json=policy, headers=tag)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "scores.risk")
    policy["bands"] = ["low"]
    answer = api("marketer").put("/scoring-policy/", json=policy, headers=tag)
    assert answer.json()["errors"][0]["field"] == "bands.0"


def test_the_eight_offers_can_be_had_at_once(api: Api) -> None:
    found = api("viewer").get("/campaigns/available-offers/").json()
    assert found.keys() == {"offers", "total"}
    assert found["total"] == len(found["offers"]) >= 8
    first = found["offers"][0]
    assert (first["offer_id"], first["name"]) == (0, "Double Points Weekend")
    assert first["description"] == "Earn double points on all purchases this weekend"
    assert (first["category"], first["lifecycle_stage"], first["target_value_segment"]) == (
        "points", "retention", "all",
    )  # fmt: skip


def test_lists_are_filtered(api: Api) -> None:
    find = api("viewer").get
    onboarding = find("/mission-templates/", params={"category": "onboarding", "limit": 500}).json()["items"]
    assert onboarding
    assert {each["category"] for each in onboarding} == {"onboarding"}
    named = find("/mission-templates/", params={"search": "FIRST call"}).json()["items"]
    assert [each["name"] for each in named] == ["First Call Mission"]
    assert find("/badges/", params={"active": False}).json()["items"] is not None


def test_segments_are_those_that_the_catalog_speaks_of(api: Api) -> None:
    entry = {"name": "For Gold", "description": "", "segments": ["gold-members"], "kind": "data"}
    publish(api, api("marketer").post("/offers/", json=entry))
    found = api("viewer").get("/segments/").json()["items"]
    assert {"name": "gold-members", "used_by": ["offer For Gold"]} in found
    good = api("viewer").post("/segments/check/", json={"condition": "(risk>=60)"})
    assert good.json() == {"condition": "risk >= 60", "valid": True}
    bad = api("viewer").post("/segments/check/", json={"condition": "rsk >= 60"})
    assert (bad.status_code, bad.json()["errors"][0]["field"]) == (422, "condition")
    assert "risk" in bad.json()["detail"]
