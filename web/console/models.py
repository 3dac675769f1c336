"""Models: what each foretells, how good it is, drift, which version counts; and when models are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import RedirectResponse

from catalog.entries import PredictionsEntry
from catalog.governance import rules
from catalog.service import NoSuch
from ml.card import Card
from ml.drift import MOVED, Reservoir
from ml.registry import Model, ModelError, Registry
from web.api import drift
from web.api import models as governed
from web.api.doors import Admin, Editor, Reader
from web.api.parts import P, Parts
from web.console import editing, plotting
from web.console.gate import form_of
from web.console.rendering import number, page, say, texts

router = APIRouter()

SECTION = "predictions"
FIELDS = ("enabled", "step", "hours")
#: Features that a page shows before it is asked for all of them.
STRONGEST = 10


@router.get("/models/")
def models(request: Request, parts: P, caller: Reader) -> Response:
    """A card each, with drift, and when they are asked."""
    registry, now = governed.registry(parts), drift.today(parts)
    drifts: dict[str, dict[str, Any]] = {}
    if now.enough:
        for name in registry.names():
            loaded = _loaded(registry, name)
            if loaded is not None and loaded.card.inputs == "row":
                drifts[name] = drift.drift(now, loaded)
    return page(
        request, "models.html", models=governed.models(parts, caller, 100, None).items, drifts=drifts,
        today=now, least=Reservoir.LEAST, asking=rules.standing(parts.content(), SECTION),
    )  # fmt: skip


@router.get("/models/asking")
def asking(request: Request, parts: P, caller: Editor) -> Response:
    """When models are asked, to edit."""
    before = rules.standing(parts.content(), SECTION)
    values = editing.flat(before, FIELDS) | {"base": rules.tag(before)}
    return _editor(request, parts, values, [])


@router.post("/models/asking/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor, or what it would change."""
    values = editing.verdict(parts, SECTION, FIELDS, *_read(parts, form_of(request)))
    return page(request, "part_offer_verdict.html", oob=True, places=("step", "hours"), **values)


@router.post("/models/asking/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft."""
    form = form_of(request)
    answer, faults = editing.saved(request, parts, caller, form, *_read(parts, form))
    return answer or _editor(request, parts, form, faults, 422)


@router.get("/models/{name}/")
def model(request: Request, parts: P, caller: Reader, name: governed.Name) -> Response:
    """The card of the version that counts, with its plots, drift by feature, and the other versions."""
    registry = governed.registry(parts)
    if name not in registry.names():
        raise NoSuch(say("models.missing", name=name))
    try:
        found, error = registry.load(name), None
    except ModelError as reason:
        found, error = None, reason
    now = drift.today(parts)
    moved = drift.drift(now, found) if found is not None and _drifts(found.card) and now.enough else None
    return page(
        request, "model.html", name=name, card=None if found is None else found.card, error=error,
        versions=_versions(registry, name, None if found is None else found.version),
        figures=[] if found is None else _figures(found.card),
        plots=[] if found is None else _plots(found.card), drift=moved, today=now,
        features=[] if found is None else _features(found.card, moved), strongest=STRONGEST,
        least=Reservoir.LEAST, drifts=found is not None and _drifts(found.card),
    )  # fmt: skip


@router.post("/models/{name}/activate")
def activate(request: Request, parts: P, caller: Admin, name: governed.Name) -> Response:
    """Another version counts."""
    given = governed.Version(version=form_of(request).get("version", ""))
    governed.activate(parts, caller, name, given)
    return RedirectResponse(f"{request.scope['root_path']}/models/{name}/", 303)


# -- a card -----------------------------------------------------------------------------------------------


def _loaded(registry: Registry, name: str, version: str | None = None) -> Model | None:
    """None where the page says elsewhere that it cannot be used."""
    try:
        return registry.load(name, version)
    except ModelError:
        return None


def _drifts(card: Card) -> bool:
    """Whether it looks at customers; others look at files."""
    return card.inputs == "row"


def _versions(registry: Registry, name: str, active: str | None) -> list[dict[str, Any]]:
    """Every version, the newest first, with what decides between them."""
    found = []
    for version in reversed(registry.versions(name)):
        loaded = _loaded(registry, name, version)
        found.append(
            {
                "version": version,
                "counts": version == active,
                "card": None if loaded is None else loaded.card,
            }
        )
    return found


def _figures(card: Card) -> list[dict[str, Any]]:
    """Each figure beside a plain rule's, and the best that is possible where that is known."""
    return [
        {
            "name": texts().get(f"models.figure.{name}", name.replace("_", " ")), "value": value,
            "rule": card.metrics.get(f"rule_{name}"), "best": card.metrics.get(f"best_{name}"),
            "decides": name == card.metric,
        }
        for name, value in card.metrics.items()
        if not name.startswith(("rule_", "best_"))
    ]  # fmt: skip


def _plots(card: Card) -> list[dict[str, Any]]:
    """What a card has data for: `key`, `plot`, and its `rows` as a table with `heads`."""
    found: list[dict[str, Any]] = []

    def add(key: str, plot: Markup, heads: list[str], rows: list[tuple[Any, ...]]) -> None:
        found.append({"key": key, "plot": plot, "heads": heads, "rows": rows})

    if card.reliability:
        add(
            "calibration",
            plotting.curve(
                [(said, seen) for said, seen, _ in card.reliability], say("models.plot.calibration.label"),
                say("models.plot.foretold"), say("models.plot.observed"), dots=True,
            ),
            [say("models.plot.foretold"), say("models.plot.observed"), say("models.plot.rows")],
            [*card.reliability],
        )  # fmt: skip
    if card.lift:
        add(
            "lift",
            plotting.columns(
                card.lift,
                say("models.plot.lift.label", top=number(card.lift[0])),
                say("models.plot.tenth"),
                1,
            ),
            [say("models.plot.tenth"), say("models.plot.times")],
            list(enumerate(card.lift, 1)),
        )
        gain = _gain(card.lift)
        add(
            "gain",
            plotting.curve(
                gain, say("models.plot.gain.label"), say("models.plot.asked"), say("models.plot.reached")
            ),
            [say("models.plot.asked"), say("models.plot.reached")],
            [*gain],
        )
    if card.roc:
        add(
            "roc",
            plotting.curve(
                card.roc, say("models.plot.roc.label"), say("models.plot.false_positive"),
                say("models.plot.true_positive"),
            ),
            [say("models.plot.false_positive"), say("models.plot.true_positive")],
            [*card.roc],
        )  # fmt: skip
    return found


def _gain(lift: list[float]) -> list[tuple[float, float]]:
    """Share of all cases among the tenths with the highest predictions, from their lift."""
    points, reached = [(0.0, 0.0)], 0.0
    for n, each in enumerate(lift, 1):
        reached += each / sum(lift)
        points.append((n / len(lift), reached))
    return points


def _features(card: Card, moved: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Features, whatever moved most first, else by what they count for."""
    index = {} if moved is None else moved["features"]
    found = [
        {
            "about": each.about, "window": each.window, "unit": each.unit, "name": each.name,
            "importance": each.importance, "typical": each.typical, "index": index.get(each.name),
            "reading": drift.reading(index[each.name]) if each.name in index else "",
            "full": min(index.get(each.name, 0.0) / (2 * MOVED), 1.0),
        }
        for each in card.features
    ]  # fmt: skip
    return sorted(found, key=lambda each: (-(each["index"] or 0.0), -each["importance"]))


# -- when models are asked --------------------------------------------------------------------------------


def _editor(
    request: Request, parts: Parts, values: Mapping[str, str], faults: editing.Faults, status: int = 200
) -> Response:
    return page(
        request, "models_asking.html", status, values=dict.fromkeys(FIELDS, "") | dict(values),
        base=values.get("base", ""), oob=False, **editing.into(parts, values),
        **editing.verdict(parts, SECTION, FIELDS, None, faults),
    )  # fmt: skip


def _read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, editing.Faults]:
    """The edit that a form says, or its faults.  Raises Taken."""
    return editing.single_edit(
        parts, SECTION, form, FIELDS, _value,
        lambda entry: rules.whole(PredictionsEntry.model_validate(entry)),
    )  # fmt: skip


def _value(name: str, text: str) -> Any:
    if name == "enabled":
        return text == "on"
    return editing.amount(text) if name == "step" else editing.whole_number(text)
