"""Editors of scores, badges, offers and predictions; models; differences of revisions and the way back."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pytest

from ml.features import NAMES
from ml.registry import SHIPPED, Registry
from tests.console.conftest import As, Visit
from tests.faults.harness import Worker, until
from tests.faults.pipeline import Pipeline
from tests.served import Api
from web.api import drift, sampled
from web.api.parts import Parts
from web.console import policy
from web.console.app import PATH
from web.console.rendering import texts

_VERSION = re.compile(r'name="version" value="(\d+)"')
ID = "editors-1"
T = texts()


class _Form(HTMLParser):
    """What a browser would send of the page's editor."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._area = self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A field begins."""
        found = {name: value or "" for name, value in attrs}
        name = found.get("name", "")
        if tag == "input" and name:
            if found.get("type") != "checkbox":
                self.values[name] = found.get("value", "")
            elif "checked" in found:
                self.values[name] = "on"
        elif tag == "textarea":
            self._area, self.values[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in found or self._select not in self.values):
            self.values[self._select] = found.get("value", "\0")

    def handle_data(self, data: str) -> None:
        """An option without a value says it with its words."""
        if self._area:
            self.values[self._area] += data
        elif self._select and self.values.get(self._select) == "\0":
            self.values[self._select] = data

    def handle_endtag(self, tag: str) -> None:
        """A field ends."""
        if tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._select = ""


def form(page: str) -> dict[str, str]:
    """The fields of an editor as the page has them."""
    parser = _Form()
    parser.feed(page[page.index('<form class="stack') :])
    parser.values.pop("guard")
    return parser.values


def ask(me: Visit, path: str, **fields: str) -> str:
    """What stands in an editor, checked as htmx asks for it."""
    answer = me.client.post(path, data={"guard": me.guard} | fields, headers={"HX-Request": "true"})
    assert answer.status_code == 200, answer.text[-2000:]
    return answer.text


def fault(page: str, field: str) -> str:
    """What is wrong at a field."""
    place = f'id="fault-{field.replace(".", "-")}"'
    found = re.search(rf"{re.escape(place)}[^>]*>([^<]*)<", page)
    assert found is not None, field
    return unescape(found[1]).strip()


def draft_of(answer: httpx.Response) -> str:
    """The draft that a form led to."""
    assert answer.status_code == 303, answer.text[-3000:]
    return answer.headers["Location"].rstrip("/").rpartition("/")[2]


def published(visit: As, draft: str) -> int:
    """Approved by a second person, and published; the revision."""
    for role, what in (("approver", "approve"), ("marketer", "publish")):
        me = visit(role)
        version = _VERSION.findall(me.get(f"/drafts/{draft}/"))[0]
        assert me.post(f"/drafts/{draft}/{what}", version=version).status_code == 303
    return int(re.findall(rf"{PATH}/revisions/(\d+)/", visit("marketer").get(f"/drafts/{draft}/"))[0])


def withdraw(me: Visit, draft: str) -> None:
    """Give a draft up."""
    version = _VERSION.findall(me.get(f"/drafts/{draft}/"))[0]
    assert me.post(f"/drafts/{draft}/withdraw", version=version).status_code == 303


@pytest.mark.parametrize(
    "path",
    ["/policy/edit", "/badges/new", "/badges/1/edit", "/offers/new", "/offers/2/edit", "/models/asking"],
)
def test_editors_are_for_editors(visit: As, path: str) -> None:
    page = path.rpartition("/")[0] + "/"
    page = "/badges/" if page.startswith("/badges") else page
    me = visit("viewer")
    assert f'href="{PATH}{path}"' not in me.get(page)
    me.get(path, 403)
    assert f'href="{PATH}{path}"' in visit("marketer").get(page)
    root = "/" + path.split("/")[1]
    for what in ("check", "save"):
        target = f"{path}/{what}" if path.endswith("asking") else f"{root}/{what}"
        assert me.post(target).status_code == 403


# -- scores ---------------------------------------------------------------------------------------------


def test_scores_are_shown_with_their_distribution(visit: As, known: str) -> None:
    page = visit("viewer").get("/policy/")
    assert T["component.recent_recharges"] in page
    assert page.count('class="figure-plot"') == 5
    assert T["policy.away"] not in page
    assert "scored by the fold" in page


def test_an_edit_of_scores_shows_what_it_does(visit: As, known: str, parts: Parts) -> None:
    me = visit("marketer")
    fields = form(me.get("/policy/edit"))
    assert fields["scores.engagement.calls.weight"] == "30"
    assert fields["bands"] == "25, 50, 75"
    same = ask(me, "/policy/check", **fields)
    assert T["policy.unchanged"] in same
    for name, wrong, why in (
        ("scores.risk.inactivity.weight", "x", T["editing.amount"]),
        ("scores.risk.inactivity.full_at", "0", "above 0"),
        ("bands", "50, 25", "ascend"),
        ("revenue_types", "recharge, rain", "rain"),
    ):
        assert why in fault(ask(me, "/policy/check", **fields | {name: wrong}), name)
    heavy = fields | {"scores.risk.inactivity.weight": "90"}
    assert "more than 100" in fault(ask(me, "/policy/check", **heavy), "scores.risk")

    nothing = {name: "0" for name in fields if re.fullmatch(r"scores\.engagement\.\w+\.weight", name)}
    page = ask(me, "/policy/check", **fields | nothing)
    found = sampled.sample(parts)
    scores = sampled.survey(found, parts.content()).scores
    assert scores[:, 0].any()
    effect = page[page.index('id="verdict"') :]
    first = re.search(r"<figure.*?</figure>", effect, re.DOTALL)
    assert first is not None
    assert T["score.engagement"] in first[0]
    assert re.search(rf"{scores[:, 0].mean():.1f} → <b>0.0</b>", first[0])
    assert f"<dd>{int((scores[:, 0] > 0).sum()):,}</dd>" in first[0]
    assert effect.count(T["policy.stays"]) == 4
    # Without a script a button shows the same, and keeps what was written.
    whole = me.post("/policy/check", **fields | nothing)
    assert (whole.status_code, form(whole.text)["scores.engagement.calls.weight"]) == (200, "0")
    assert "→ <b>0.0</b>" in whole.text

    draft = draft_of(me.post("/policy/save", **fields | nothing | {"note": "calls are nothing"}))
    page = visit("viewer").get(f"/drafts/{draft}/")
    assert "calls are nothing" in page
    assert f"{T['score.engagement']}: {T['component.calls']}, {T['policy.weight']}" in page
    assert "→ <b>0.0</b>" in page
    withdraw(me, draft)


def test_an_outdated_editor_is_told(visit: As) -> None:
    me = visit("marketer")
    fields = form(me.get("/policy/edit")) | {"base": "older"}
    answer = me.post("/policy/save", **fields)
    assert answer.status_code == 409
    assert "since you opened it" in answer.text


def test_without_a_worker_a_page_says_so(parts: Parts) -> None:
    settings = parts.settings.model_copy(update={"worker_url": "http://127.0.0.1:9"})
    away = replace(parts, settings=settings, kept={})
    found, why = policy.effect(away, parts.content(), None)
    assert found is None
    assert "no worker answers" in why


# -- badges, offers, and the way back -------------------------------------------------------------------


def test_a_badge_and_an_offer_come_and_go(
    visit: As, api: Api, known: str, pipeline: Pipeline, parts: Parts, live: Worker
) -> None:  # fmt: skip
    me = visit("marketer")
    offer = form(me.get("/offers/new")) | {
        "name": "Roaming Day", "description": "A day abroad", "kind": "roaming", "value": "4.5", "cost": "1",
        "bonus": "data_mb = 100\nminutes = 10", "segments": "gold, silver", "note": "for travellers",
    }  # fmt: skip
    for name, wrong, why in (
        ("bonus", "data_mb 100", T["editing.pair"]), ("bonus", "data_mb = many", T["editing.amount"]),
        ("value", "dear", T["editing.amount"]), ("valid_days", "1.5", T["missions.whole"]),
        ("name", "Recharge Bonus", T["editing.taken"]), ("discount", "101", "100"), ("name", "", "required"),
    ):  # fmt: skip
        assert why in fault(ask(me, "/offers/check", **offer | {name: wrong}), name), (name, wrong)
    assert "Roaming Day" in ask(me, "/offers/check", **offer)
    first = published(visit, draft_of(me.post("/offers/save", **offer)))

    page = me.get("/offers/?kind=roaming&search=roaming day")
    path = re.findall(rf'href="{PATH}(/offers/\d+/)">Roaming Day<', page)[0]
    shown = visit("viewer").get(path)
    assert "100 data_mb" in shown
    assert "gold, silver" in shown
    assert T["offers.unused"] in shown
    assert f"{path}edit" not in shown
    assert form(me.get(f"{path}edit"))["bonus"] == "data_mb = 100\nminutes = 10"

    # Nobody else is abroad.
    badge = form(me.get("/badges/new")) | {"name": "Traveller", "description": "Far from home"}
    for n, level in enumerate(("bronze", "silver", "gold", "platinum"), 1):
        badge[f"levels.{level}.condition"] = f"roaming_call_count >= {n}"
        badge[f"levels.{level}.rewards.points"] = str(n)
    badge["levels.gold.rewards.offer"] = "Roaming Day"
    page = ask(me, "/badges/check", **badge | {"levels.silver.condition": "roaming_cal_count > 1"})
    assert "roaming_call_count" in fault(page, "levels.silver.condition")  # what was meant
    assert T["badge.no_condition"] in fault(
        ask(me, "/badges/check", **badge | {"levels.gold.condition": ""}), "levels.gold.condition"
    )

    calls = [
        {
            "event_id": f"editors-{n}", "customer_id": ID, "event_type": "roaming_call", "value": 60,
            "occurred_at": f"2026-01-{11 + n}T10:00:00Z",
        }
        for n in range(4)
    ]  # fmt: skip
    assert api("system").post("/webhooks/customer-event", json={"event": calls[:3]}).status_code == 200
    pipeline.settled(live.log)

    def counted() -> bool:
        """Three would come at once: bronze to gold, platinum not."""
        parts.kept.pop(sampled.Sample, None)
        page = ask(me, "/badges/check", **badge)
        return _cells(page) == {
            "bronze": ("1", "1", "1"), "silver": ("1", "1", "2"), "gold": ("1", "1", "3"),
            "platinum": ("0", "0", "0"),
        }  # fmt: skip

    until("the sample has the traveller", counted, 150, live.log)
    off = {name: value for name, value in badge.items() if name != "active"}
    assert T["badge.off_about"] in ask(me, "/badges/check", **off)
    whole = me.post("/badges/check", **badge)
    assert form(whole.text)["levels.gold.rewards.offer"] == "Roaming Day"

    draft = draft_of(me.post("/badges/save", **badge | {"note": "who travels"}))
    second = published(visit, draft)
    assert api("system").post("/webhooks/customer-event", json={"event": calls[3:]}).status_code == 200
    grid = me.get("/badges/")
    edit = re.search(rf'href="{PATH}/badges/(\d+)/edit" aria-label="[^"]*Traveller"', grid)
    assert edit is not None
    number = edit[1]

    def awarded() -> bool:
        """By a command too: the event may have come before the revision did."""
        asked = api("marketer").post("/badges/check-and-award/", json={"customer_id": ID})
        assert asked.status_code in (200, 202), asked.text
        return ID in me.get(f"/badges/{number}/4/")

    until("the traveller holds platinum", awarded, 120, live.log)
    assert f'href="{PATH}/badges/{number}/3/">Traveller, Gold' in me.get(path)

    # An offer that a badge hands out stays.
    refused = me.post(f"{path}remove")
    assert refused.status_code == 422
    assert "Traveller" in refused.text

    # Who, what, when; any two compared; and back.
    page = visit("viewer").get(f"/revisions/{second}/")
    for words in ("who travels", "a-marketer", "a-approver", "Traveller", T["badge.f.rewards_offer"]):
        assert words in page
    assert f"/drafts/{draft}/" in page
    page = visit("viewer").get(f"/revisions/{second}/?against={first - 1}")
    assert "Traveller" in page
    assert "Roaming Day" in page
    assert visit("viewer").post(f"/revisions/{first - 1}/restore").status_code == 403
    assert "who travels" in visit("viewer").get("/revisions/")
    back = draft_of(me.post(f"/revisions/{first - 1}/restore"))
    page = me.get(f"/drafts/{back}/")
    assert re.search(rf"{T['badge.f.active']}</dt><dd><del>yes</del> → <ins>no</ins>", page)
    # What a badge names cannot go with it.
    assert re.search(rf"{T['offers.f.kind']}</dt><dd><del>roaming</del> → <ins>–</ins>", page)
    last = published(visit, back)
    assert T["missions.off"] in me.get(f"/badges/{number}/1/")
    assert T["offers.ranked_no"] in me.get(path)
    assert me.post(f"/revisions/{last}/restore").status_code == 409  # so they are
    # With nothing that names it, it goes.
    badge = form(me.get(f"/badges/{number}/edit")) | {"levels.gold.rewards.offer": ""}
    both = draft_of(me.post("/badges/save", **badge))
    published(visit, both)
    published(visit, draft_of(me.post(f"{path}remove")))
    me.get(path, 404)


def _cells(page: str) -> dict[str, tuple[str, str, str]]:
    """By level: who fits with the edit, would be awarded, points."""
    found = {}
    for level in ("bronze", "silver", "gold", "platinum"):
        row = re.search(rf'<th scope="row" class="nowrap"><span class="{level}">.*?</tr>', page, re.DOTALL)
        if row is None:
            return {}
        cells = [re.sub(r"<[^>]+>", "", each).strip() for each in re.findall(r"<td.*?</td>", row[0])]
        found[level] = (cells[1], cells[2], cells[3])
    return found


def test_a_draft_says_what_stands_in_its_way(visit: As, api: Api) -> None:
    me = visit("marketer")
    fields = form(me.get("/offers/4/edit"))
    drafts = [draft_of(me.post("/offers/save", **fields | {"value": value})) for value in ("11", "12")]
    assert T["drafts.stale"] not in me.get(f"/drafts/{drafts[0]}/")
    revision = published(visit, drafts[1])
    assert T["drafts.stale"] in me.get(f"/drafts/{drafts[0]}/")
    assert re.search(r"<del>7</del> → <ins>12</ins>", me.get(f"/revisions/{revision}/"))
    published(visit, draft_of(me.post(f"/revisions/{revision - 1}/restore")))


def test_edits_gather_in_one_draft(visit: As) -> None:
    me = visit("marketer")
    badge = form(me.get("/badges/2/edit")) | {"description": "Every day"}
    draft = draft_of(me.post("/badges/save", **badge))
    asking = form(me.get("/models/asking"))
    assert asking["hours"] == "24"
    assert T["missions.whole"] in fault(ask(me, "/models/asking/check", **asking | {"hours": "x"}), "hours")
    assert "100" in fault(ask(me, "/models/asking/check", **asking | {"step": "101"}), "step")
    wanted = asking | {"hours": "12", "draft": draft}
    assert draft_of(me.post("/models/asking/save", **wanted)) == draft
    page = visit("viewer").get(f"/drafts/{draft}/")
    assert re.search(rf"{T['models.f.hours']}</dt><dd><del>24</del> → <ins>12</ins>", page)
    assert "<ins>Every day</ins>" in page
    withdraw(me, draft)


# -- models ---------------------------------------------------------------------------------------------


def test_models_have_figures_plots_and_versions(visit: As, known: str) -> None:
    me = visit("viewer")
    page = me.get("/models/")
    for name in Registry(SHIPPED).names():
        assert f"{PATH}/models/{name}/" in page
    assert "Drift is told from 500 customers on" in page
    card = Registry(SHIPPED).load("churn").card
    page = me.get("/models/churn/")
    assert page.count('class="figure-plot"') == 4
    for words in ("calibration.title", "lift.title", "gain.title", "roc.title"):
        assert T[f"models.plot.{words}"] in page
    assert f"{card.metrics['auc']:.3f}" in page
    assert f"{card.metrics['rule_auc']:.3f}" in page
    assert card.version in page
    assert T["models.counts"] in page
    assert me.get("/models/ltv/").count('class="figure-plot"') == 3
    assert T["models.by_rules"] in me.get("/models/rfm/")
    assert me.get("/models/churn-uci/").count('class="figure-plot"') == 4
    me.get("/models/nothing/", 404)
    assert visit("admin").post("/models/churn/activate", version="none").status_code == 404


def test_drift_names_the_feature_that_moved() -> None:
    model = Registry(SHIPPED).load("churn")
    dice = np.random.default_rng(1)
    values = np.zeros((2_000, len(NAMES)), np.float32)
    for column in model.card.features:  # as in training: a value of each bin, as often as there
        inner = column.edges
        middles = [inner[0], *((a + b) / 2 for a, b in pairwise(inner)), inner[-1] + 1]
        values[:, NAMES.index(column.name)] = dice.choice(middles, 2_000, p=_shares(column.shares))
    before: dict[str, Any] = drift.drift(_today(values), model)
    assert max(before["features"].values()) < 0.1
    values[:, NAMES.index("calls_30d")] = 0
    after = drift.drift(_today(values), model)
    assert drift.reading(after["features"].pop("calls_30d")) == "moved"
    assert max(after["features"].values()) < 0.1
    assert after["moved"] == 1


def _shares(shares: list[float]) -> list[float]:
    return [each / sum(shares) for each in shares]


def _today(values: Any) -> drift.Today:
    found = drift.Today(values, datetime(2026, 1, 1, tzinfo=UTC))
    assert found.enough
    return found
