"""Mission templates, badges, offers, earning, the scoring policy: read as published, edited as drafts.

An edit answers with the draft that holds it; `?draft=ID` puts it into one that is there.  A second person
approves the draft, then it is published (`drafts/`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from catalog.campaign_entry import CampaignEntry, ContactEntry
from catalog.entries import BadgeEntry, EarningEntry, OfferEntry, PredictionsEntry, TemplateEntry
from catalog.entry import Entry, Strict
from catalog.governance import rules
from catalog.governance.audit import Caller
from catalog.governance.models import DraftRow
from catalog.service import NoSuch
from web.api import etags, paging
from web.api.commanding import ForCustomer, ForCustomerOrSegment, answered
from web.api.desk import command
from web.api.doors import Commander, Editor, Reader, guarded
from web.api.drafts import Draft, view
from web.api.etags import IfMatch
from web.api.paging import Cursor, Limit, Page
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.ask_worker import fetch_why

Into = Annotated[
    int | None, Query(ge=1, lt=2**63, description="Draft to put the edit into; unset: a new one.")
]
Note = Annotated[str, Query(max_length=500, description="Why, for whoever approves it.")]
Number = Annotated[int, Path(ge=0, lt=2**31)]


def _edited(
    parts: Parts, caller: Caller, response: Response, edit: rules.Edit, into: int | None, note: str
) -> dict[str, Any]:
    row: DraftRow = parts.drafts.add([edit], caller, note, into)
    etags.show(response, row.version)
    response.headers["Location"] = f"../drafts/{row.id}/"
    return view(parts, row)


def _section(
    section: str, model: type[Entry], tag: str, what: str, key: str, example: dict[str, Any]
) -> APIRouter:
    """Endpoints of a section."""
    router = guarded(tag)

    def find(parts: Parts, number: int) -> dict[str, Any]:
        found = rules.standing(parts.content(), section, number)
        if found is None:
            raise NoSuch(f"there is no {what} {number}")
        return dict(found)

    def list_(
        parts: P, caller: Reader, active: bool | None = None,
        category: Annotated[str | None, Query(max_length=100)] = None,
        search: Annotated[str | None, Query(max_length=100, description="In name or description.")] = None,
        limit: Limit = 50, cursor: Cursor = None,
    ) -> Page:  # fmt: skip
        wanted = (search or "").casefold()
        found = [
            each
            for each in rules.entries(parts.content().game, section)
            if active in (None, each["active"])
            and category in (None, each.get("category"))
            and (wanted in each["name"].casefold() or wanted in each["description"].casefold())
        ] if section != "earning" else rules.entries(parts.content().game, section)  # fmt: skip
        return paging.of_list(found, key, limit, cursor)

    def show(parts: P, caller: Reader, number: Number, response: Response) -> dict[str, Any]:
        found = find(parts, number)
        etags.show(response, rules.tag(found))
        return found

    def create(
        parts: P, caller: Editor, given: Any, response: Response, draft: Into = None, note: Note = ""
    ) -> dict[str, Any]:
        content = parts.content()
        if rules.standing(content, section, given.name) is not None:
            raise Problem(409, f"there is a {what} {given.name!r} already", [("name", "is taken")])
        number = given.given_number
        if number is not None and rules.standing(content, section, number) is not None:
            raise Problem(409, f"there is a {what} {number} already", [(key, "is taken: leave it out")])
        edit = {"section": section, "entry": rules.whole(given), "base": None}
        return _edited(parts, caller, response, edit, draft, note)

    def replace(
        parts: P, caller: Editor, number: Number, given: Any, match: IfMatch, response: Response,
        draft: Into = None, note: Note = "",
    ) -> dict[str, Any]:  # fmt: skip
        before = find(parts, number)
        etags.require(match, rules.tag(before))
        if given.given_number not in (None, number):
            raise Problem(422, f"{key}: cannot change", [(key, f"cannot change: it is {number}")])
        edit = {
            "section": section, "entry": rules.whole(given) | {key: number}, "base": rules.tag(before),
        }  # fmt: skip
        return _edited(parts, caller, response, edit, draft, note)

    def remove(
        parts: P, caller: Editor, number: Number, match: IfMatch, response: Response, draft: Into = None,
        note: Note = "",
    ) -> dict[str, Any]:  # fmt: skip
        before = find(parts, number)
        etags.require(match, rules.tag(before))
        edit = {"section": section, "entry": before | {"active": False}, "base": rules.tag(before)}
        return _edited(parts, caller, response, edit, draft, note)

    create.__annotations__["given"] = replace.__annotations__["given"] = model
    shown = {"content": {"application/json": {"example": example}}}
    routes: list[tuple[str, str, Callable[..., Any], int, str, str, bool]] = [
        ("GET", "/", list_, 200, f"List {what}s", f"As published, by {key}.", False),
        ("POST", "/", create, 201, f"Add a {what}", f"A {what} without a number gets a free one.", True),
        ("GET", "/{number}/", show, 200, f"Show a {what}", "As published, with nothing left out.", False),
        ("PUT", "/{number}/", replace, 200, f"Replace a {what}", "All of it; its number stays.", True),
        ("DELETE", "/{number}/", remove, 200, f"Switch a {what} off", "Numbers are never used again.", False),
    ]
    for method, path, endpoint, status, summary, about, has_body in routes:
        edits = method != "GET"
        router.add_api_route(
            path, endpoint, methods=[method], status_code=status, summary=summary,
            description=f"{about} The answer is the draft that holds the edit." if edits else about,
            response_model=Draft if edits else Page if endpoint is list_ else None,
            responses={200: shown} if endpoint is show else None,
            openapi_extra={"requestBody": shown} if has_body else None,
        )  # fmt: skip
    return router


_TEMPLATE: dict[str, Any] = {
    "name": "Five Calls Abroad", "category": "engagement", "description": "Call five times while abroad.",
    "eligibility": "tenure_days > 30", "goal": {"kind": "count", "types": ["roaming_call"]}, "target": 5,
    "duration": "14 days", "cooldown": "30 days", "priority": 40, "rewards": {"points": 150},
}  # fmt: skip
_LEVEL = {"condition": "roaming_call_count >= 5", "rewards": {"points": 25}}
_BADGE: dict[str, Any] = {
    "name": "Globetrotter", "description": "Called from abroad.",
    "levels": {
        name: {"condition": f"roaming_call_count >= {n}", "rewards": {"points": n}}
        for name, n in (("bronze", 5), ("silver", 20), ("gold", 50), ("platinum", 200))
    },
}  # fmt: skip
_OFFER: dict[str, Any] = {"name": "Weekend Pass", "description": "2 GB from Friday to Sunday"}
_EARNING: dict[str, Any] = {"name": "Bundles", "types": ["bundle_purchase"], "points_per_unit": 2.0}

_CAMPAIGN: dict[str, Any] = {
    "name": "Come Back Soon", "description": "Extra credit for who has been away.",
    "trigger": {"kind": "crossing", "when": "days_since_last_activity >= 14"},
    "audience": "tenure_days >= 90", "priority": 50, "cooldown": "60 days", "cost": 60,
    "limits": {"budget": 500_000}, "control_share": 0.1, "conversion": {"types": ["recharge"]},
    "window": "14 days", "offer": "Recharge Bonus",
    "messages": {"en": "We miss you. For you: {{ offer.description }}.", "fr": "Vous nous manquez."},
}  # fmt: skip
_CONTACT: dict[str, Any] = {
    "most": 2, "days": "7 days", "quiet_from": "21:00", "quiet_to": "08:00", "zones": ["Africa/Johannesburg"],
}  # fmt: skip
_PREDICTIONS: dict[str, Any] = {"enabled": True, "step": 10, "hours": 24}

templates = _section("templates", TemplateEntry, "missions", "mission template", "number", _TEMPLATE)
badges = _section("badges", BadgeEntry, "badges", "badge", "number", _BADGE)
offers = _section("offers", OfferEntry, "offers", "offer", "offer_id", _OFFER)
earning = _section("earning", EarningEntry, "rewards", "rule of earning", "number", _EARNING)
campaigns = _section("campaigns", CampaignEntry, "campaigns", "campaign", "number", _CAMPAIGN)


def _one(section: str, model: type[Strict], tag: str, what: str, example: dict[str, Any]) -> APIRouter:
    """Endpoints of what there is one of."""
    router = guarded(tag)

    def show(parts: P, caller: Reader, response: Response) -> dict[str, Any]:
        found: dict[str, Any] = rules.standing(parts.content(), section)
        etags.show(response, rules.tag(found))
        return found

    def replace(
        parts: P, caller: Editor, given: Any, match: IfMatch, response: Response, draft: Into = None,
        note: Note = "",
    ) -> dict[str, Any]:  # fmt: skip
        before = rules.standing(parts.content(), section)
        etags.require(match, rules.tag(before))
        edit = {"section": section, "entry": rules.whole(given), "base": rules.tag(before)}
        return _edited(parts, caller, response, edit, draft, note)

    replace.__annotations__["given"] = model
    shown = {"content": {"application/json": {"example": example}}}
    router.add_api_route(
        "/", show, summary=f"Show {what}", description="As published.", response_model=None,
        responses={200: shown},
    )  # fmt: skip
    router.add_api_route(
        "/", replace, methods=["PUT"], summary=f"Replace {what}", response_model=Draft,
        description="All of it. The answer is the draft that holds the edit.",
        openapi_extra={"requestBody": shown},
    )  # fmt: skip
    return router


contact = _one("contact", ContactEntry, "campaigns", "when customers may be spoken to", _CONTACT)
predictions = _one("predictions", PredictionsEntry, "models", "when models are asked", _PREDICTIONS)


@templates.post("/{number}/generate-for-customer/", summary="Give a customer its missions, and ask after one")
def generate_one(
    parts: P, caller: Commander, number: Number, given: ForCustomer, response: Response
) -> dict[str, Any]:
    """The customer gets the missions it is eligible for; whether this one is among them, and why not.

    A mission is never forced on a customer who is not eligible.
    """
    found = rules.standing(parts.content(), "templates", number)
    if found is None:
        raise NoSuch(f"there is no mission template {number}")
    answer = answered(parts.desk.send([command("generate", given.customer_id)], caller), response)
    if answer["status"] == "pending":
        return answer
    [now] = fetch_why(parts.settings, given.customer_id, mission=found["name"])["templates"]
    running = any(reason["reason"] == "running" for reason in now["reasons"])
    return answer | {"template": number, "name": found["name"], "running": running, "why": now}


@badges.post("/check-and-award/", summary="Check all badges")
def check_and_award(
    parts: P, caller: Commander, given: ForCustomerOrSegment, response: Response
) -> dict[str, Any]:
    """Of a customer or a segment: every badge level whose condition holds is awarded."""
    return answered(parts.desk.send([command("award", given.customer_id, given.segment)], caller), response)


policy = guarded("scores")


class Policy(BaseModel):
    """Weights and measures of the five scores (docs/semantics.md)."""

    model_config = ConfigDict(extra="forbid")

    scores: dict[str, dict[str, dict[str, float]]] = Field(
        description="Score -> component -> `weight` and `full_at`.",
        examples=[{"risk": {"inactivity": {"weight": 30, "full_at": 60}}}],
    )
    revenue_types: list[str] = Field(examples=[["recharge"]])
    transaction_types: list[str] = Field(examples=[["recharge"]])
    bands: list[float] = Field(examples=[[25, 50, 75]])
    publish_step: float = Field(examples=[1.0])


@policy.get("/", summary="Show the scoring policy")
def scoring_policy(parts: P, caller: Reader, response: Response) -> Policy:
    """As published."""
    found = rules.standing(parts.content(), "policy")
    etags.show(response, rules.tag(found))
    return Policy.model_validate(found)


@policy.put("/", summary="Replace the scoring policy", response_model=Draft)
def replace_policy(
    parts: P, caller: Editor, given: Policy, match: IfMatch, response: Response, draft: Into = None,
    note: Note = "",
) -> dict[str, Any]:  # fmt: skip
    """All of it.  The answer is the draft that holds the edit."""
    before = rules.standing(parts.content(), "policy")
    etags.require(match, rules.tag(before))
    entry = given.model_dump(mode="json")
    rules.policy_of(entry)
    edit = {"section": "policy", "entry": entry, "base": rules.tag(before)}
    return _edited(parts, caller, response, edit, draft, note)
