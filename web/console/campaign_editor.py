"""The editor of campaigns: checked while one writes, with whom it means and what a customer would read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select

from catalog.campaign_entry import WEEKDAYS, ContactEntry
from catalog.governance import rules
from catalog.products import NoSuchProduct, ProductFilter
from loyalty.conditions import ConditionError, parse
from loyalty.game import CAMPAIGNS, Campaign, Offer, OnSchedule, Sold
from loyalty.vocabulary import KINDS
from projection import schema
from web.api import campaigns as governed
from web.api.doors import Editor, Reader
from web.api.parts import P, Parts
from web.api.problems import Problem
from web.api.projected import reading
from web.api.rules import Number
from web.ask_worker import NoAnswer, UnknownCustomer
from web.console import campaign_form as forms
from web.console import editing
from web.console.campaigns import money, standing
from web.console.census import Census, census
from web.console.gate import form_of
from web.console.missions import feature_words, type_words
from web.console.rendering import page, say
from web.console.wording import in_words

router = APIRouter()
#: Products that can be chosen at once; a search finds the others.
CHOICES = 100
CONTACT = ("most", "days", "quiet_from", "quiet_to", "zones")


@router.get("/campaigns/new")
def new(
    request: Request, parts: P, caller: Editor, product: Annotated[int | None, Query(ge=1, lt=2**63)] = None
) -> Response:
    """An empty editor."""
    values = forms.usual(parts.content().decisions)
    if product is not None:
        values["product_id"] = str(product)
    return _editor(request, parts, None, values, [])


@router.get("/campaigns/{number}/edit")
def edit(request: Request, parts: P, caller: Editor, number: Number) -> Response:
    """The editor with a campaign in it."""
    found = standing(parts, number)
    return _editor(request, parts, found, forms.flat(found, parts.content().decisions), [])


@router.post("/campaigns/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor now, whom it means, and what a customer would read."""
    form = form_of(request)
    edit, faults = forms.read(parts, form)
    changes: list[dict[str, Any]] = []
    if edit is not None:
        changes, faults = editing.tried(parts, edit)
    return page(
        request, "part_campaign_checked.html", fields=forms.FIELDS, rows=forms.rows(form),
        faults=forms.by_field(faults, form), changes=changes, **_beside(parts, form),
    )  # fmt: skip


@router.post("/campaigns/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft, which somebody else approves."""
    form = form_of(request)
    number = editing.id_of(form, "number")
    found = None if number is None else standing(parts, number)
    answer, faults = editing.saved(request, parts, caller, form, *forms.read(parts, form))
    return answer or _editor(request, parts, found, form, faults, 422)


@router.get("/campaigns/products")
def products(
    request: Request, parts: P, caller: Editor,
    product_search: Annotated[str, Query(max_length=100)] = "", product_id: str = "",
) -> Response:  # fmt: skip
    """Products to choose from, as a part of the editor."""
    choices = _choices(parts, editing.id_of({"id": product_id}, "id"), product_search.replace("\0", ""))
    return page(request, "part_campaign_products.html", choices=choices, chosen=product_id)


def _editor(
    request: Request, parts: Parts, found: dict[str, Any] | None, values: Mapping[str, str],
    faults: editing.Faults, status: int = 200,
) -> Response:  # fmt: skip
    content = parts.content()
    known = dict.fromkeys((*forms.FIELDS, *(f"weekday.{day}" for day in WEEKDAYS)), "") | dict(values)
    known.setdefault("customer", _somebody(parts, found))
    return page(
        request, "campaign_edit.html", status, campaign=found, values=known, rows=forms.rows(known),
        faults=forms.by_field(faults, known), base=known.get("base") or (rules.tag(found) if found else ""),
        kinds=forms.KINDS_OF_TRIGGER, weekdays=WEEKDAYS, features=feature_words(), types=type_words(),
        offers=[each["name"] for each in rules.entries(content.game, "offers") if each["active"]],
        choices=_choices(parts, editing.id_of(known, "product_id")),
        changes=[], chosen=known["product_id"], fields=forms.FIELDS, **editing.into(parts, known),
        currency=content.decisions.currency, timezone=content.decisions.timezone, **_beside(parts, known),
    )  # fmt: skip


def _choices(parts: Parts, chosen: int | None, search: str = "") -> list[tuple[str, str]]:
    """(id, words) of products that can be sold, and of the one that is chosen."""
    wanted = ProductFilter(is_active=True, is_available=True, search=search)
    found = parts.products.page(wanted, None, CHOICES).items
    if chosen is not None and chosen not in {each.id for each in found}:
        try:
            found.append(parts.products.get(chosen))
        except NoSuchProduct:
            return [(str(chosen), say("campaigns.product_gone", id=chosen)), *_worded(found)]
    return _worded(found)


def _worded(found: list[Any]) -> list[tuple[str, str]]:
    return [(str(each.id), f"{each.name}, {each.price} {each.currency}") for each in found]


def _somebody(parts: Parts, found: dict[str, Any] | None) -> str:
    """A real customer to speak to: whom the campaign spoke to, else anybody."""
    t, c = schema.triggers.c, schema.customers.c
    with reading(parts) as session:
        if found is not None:
            spoken = select(t.customer_id).where(t.campaign == found["number"])
            newest = session.execute(spoken.order_by(t.triggered_at.desc()).limit(1)).scalar()
            if newest is not None:
                return str(newest)
        return session.execute(select(c.customer_id).where(c.state == "open").limit(1)).scalar() or ""


# -- what stands beside the form --------------------------------------------------------------------------


def _beside(parts: Parts, form: Mapping[str, str]) -> dict[str, Any]:
    """Whom it means now, what it hands out, what a customer would read."""
    offer = next((each for each in parts.content().game.offers if each.name == form.get("offer")), None)
    product, gone = _product(parts, editing.id_of(form, "product_id"))
    return {
        "meant": _meant(parts, form),
        "audience": _audience(form.get("audience", "")),
        "offer": offer,
        "granting": [] if offer is None else list(governed.granting(offer)),
        "product": product,
        "product_fault": gone,
        "reading": _reading(parts, form, offer),
        "money": lambda minor: money(parts, minor),
    }


def _audience(text: str) -> str:
    try:
        parse(text, KINDS)
    except ConditionError:
        return ""
    return in_words(text)


def _meant(parts: Parts, form: Mapping[str, str]) -> tuple[Census, list[int]] | None:
    """How many there are, how many it means, who may be spoken to, who is there already by `when`."""
    audience, when = form.get("audience", "").strip(), form.get("trigger.when", "").strip()
    consent = "" if form.get("service") == "on" else "consent = yes"
    own = [f"({audience})"] if audience else []
    asked = [audience, " and ".join([*own, *([consent] if consent else [])])]
    if form.get("trigger.kind") == "crossing" and when:
        asked.append(" and ".join([*own, f"({when})"]))
    try:
        for each in asked:
            parse(each, KINDS)
    except ConditionError:
        return None
    found = census(parts, asked)
    return None if found is None else (found, found.fits)


def _product(parts: Parts, chosen: int | None) -> tuple[Any, str]:
    """The product as it stands now, and why a campaign cannot have it."""
    if chosen is None:
        return None, ""
    try:
        product = parts.products.get(chosen)
    except NoSuchProduct as error:
        return None, str(error)
    sold = parts.products.sold([product.id])[product.id]
    return product, sold if isinstance(sold, str) else ""


def _reading(parts: Parts, form: Mapping[str, str], offer: Offer | None) -> dict[str, Any]:
    """The message as a customer would read it: `preview`, or `fault`; nothing where nobody is asked about."""
    customer, messages = form.get("customer", "").strip(), forms.messages_of(form)
    if not customer or not messages or "\0" in customer:
        return {"customer": customer, "preview": None, "fault": ""}
    sold: Any = None
    chosen = editing.id_of(form, "product_id")
    if chosen is not None:
        sold = parts.products.sold([chosen]).get(chosen)
    campaign = Campaign(
        CAMPAIGNS, form.get("name", ""), OnSchedule(), messages=messages,
        product=sold if isinstance(sold, Sold) else None,
    )  # fmt: skip
    try:
        preview = governed.preview_of(parts, campaign, offer, customer)
    except (Problem, UnknownCustomer, NoAnswer) as error:
        words = error.detail if isinstance(error, Problem) else str(error)
        return {"customer": customer, "preview": None, "fault": words}
    return {"customer": customer, "preview": preview, "fault": ""}


# -- how often, and when, customers may be spoken to ------------------------------------------------------


@router.get("/campaigns/contact")
def contact(request: Request, parts: P, caller: Reader) -> Response:
    """The rules of contact, for all campaigns together."""
    found = rules.standing(parts.content(), "contact")
    return _contact(request, parts, editing.flat(found, CONTACT) | {"base": rules.tag(found)}, [])


def _contact(
    request: Request, parts: Parts, values: Mapping[str, str], faults: editing.Faults, status: int = 200
) -> Response:  # fmt: skip
    return page(
        request, "campaign_contact.html", status, values=dict.fromkeys((*CONTACT, "base"), "") | dict(values),
        faults=editing.by_field(faults, CONTACT, "contact"), fields=CONTACT,
        rule=parts.content().game.contact,
        **editing.into(parts, values),
    )  # fmt: skip


@router.post("/campaigns/contact")
def save_contact(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft, which somebody else approves."""
    form = form_of(request)
    edit, faults = editing.single_edit(
        parts, "contact", form, CONTACT, _contact_value,
        lambda entry: rules.whole(ContactEntry.model_validate(entry)), "campaigns",
    )  # fmt: skip
    answer, faults = editing.saved(request, parts, caller, form, edit, faults)
    return answer or _contact(request, parts, form, faults, 422)


def _contact_value(name: str, text: str) -> Any:
    """Raises ValueError."""
    if name == "zones":
        return editing.words(text)
    if name == "most":
        return editing.whole_number(text)
    return int(text) if name == "days" and text.isdecimal() else text
