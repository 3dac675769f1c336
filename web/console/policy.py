"""The scoring policy: what the five scores are made of, and an editor that shows an edit's effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from numpy.typing import NDArray

from catalog.content import Content
from catalog.governance import rules
from loyalty.content import COMPONENTS, SCORES
from loyalty.events import SOURCE_TYPES
from web.api import sampled
from web.api.doors import Editor, Reader
from web.api.parts import P, Parts
from web.ask_worker import NoAnswer
from web.console import editing, plotting
from web.console.gate import form_of
from web.console.missions import Word
from web.console.rendering import page, say

router = APIRouter()

SECTION = "policy"
#: Columns of a histogram, each 5 points wide.
BINS = 20
PARTS = tuple(f"{score}.{name}" for score, names in COMPONENTS.items() for name in names)
NUMBERS = tuple(f"scores.{part}.{field}" for part in PARTS for field in ("weight", "full_at"))
FIELDS = (*NUMBERS, "revenue_types", "transaction_types", "bands", "publish_step")
#: What a fault may be told of besides: weights that add up to too much.
PLACES = (*FIELDS, *(f"scores.{score}" for score in SCORES))


@router.get("/policy/")
def policy(request: Request, parts: P, caller: Reader) -> Response:
    """What the scores are made of, and how they lie."""
    content = parts.content()
    found, away = effect(parts, content, None)
    return page(
        request, "policy.html", policy=rules.standing(content, SECTION), effect=found, away=away,
        revision=content.revision,
    )  # fmt: skip


@router.get("/policy/edit")
def edit(request: Request, parts: P, caller: Editor) -> Response:
    """The editor with the policy in it."""
    before = rules.standing(parts.content(), SECTION)
    values = editing.flat(before, FIELDS) | {"base": rules.tag(before)}
    return _editor(request, parts, values, [])


@router.post("/policy/check")
def check(request: Request, parts: P, caller: Editor) -> Response:
    """What is wrong with what stands in the editor, or what it would change; a page where no script asks."""
    form = form_of(request)
    edit, faults = _read(parts, form)
    if "hx-request" not in request.headers:
        return _editor(request, parts, form, faults, edit)
    values = _verdict(parts, edit, faults)
    return page(request, "part_policy_verdict.html", oob=True, places=PLACES, **values)


@router.post("/policy/save")
def save(request: Request, parts: P, caller: Editor) -> Response:
    """Into a draft."""
    form = form_of(request)
    answer, faults = editing.saved(request, parts, caller, form, *_read(parts, form))
    return answer or _editor(request, parts, form, faults, None, 422)


def _editor(
    request: Request, parts: Parts, values: Mapping[str, str], faults: editing.Faults,
    edit: rules.Edit | None = None, status: int = 200,
) -> Response:  # fmt: skip
    return page(
        request, "policy_edit.html", status, values=dict.fromkeys(FIELDS, "") | dict(values),
        components=COMPONENTS, types=[Word(name, "") for name in sorted(SOURCE_TYPES)],
        base=values.get("base", ""), oob=False, **editing.into(parts, values),
        **_verdict(parts, edit, faults),
    )  # fmt: skip


def _verdict(parts: Parts, edit: rules.Edit | None, faults: editing.Faults) -> dict[str, Any]:
    changes: list[dict[str, Any]] = []
    found, away = None, ""
    if edit is not None:
        changes, faults = editing.tried(parts, edit)
        if changes:
            after = msgspec.structs.replace(parts.content(), policy=rules.policy_of(edit["entry"]))
            found, away = effect(parts, parts.content(), after)
    shown = editing.by_field(faults, PLACES, SECTION)
    return {"faults": shown, "changes": changes, "effect": found, "away": away, "fits": edit is not None}


def _read(parts: Parts, form: Mapping[str, str]) -> tuple[rules.Edit | None, editing.Faults]:
    """The edit that a form says, or its faults.  Raises Taken."""
    return editing.single_edit(
        parts, SECTION, form, FIELDS, _value, lambda entry: msgspec.to_builtins(rules.policy_of(entry))
    )


def _value(name: str, text: str) -> Any:
    if name.endswith("_types"):
        return editing.words(text)
    if name == "bands":
        return [editing.amount(each) for each in editing.words(text)]
    return editing.amount(text)


# -- what it does to the scores ---------------------------------------------------------------------------


def effect(parts: Parts, before: Content, after: Content | None) -> tuple[dict[str, Any] | None, str]:
    """Each score of a sample, by one policy and by another; or why nobody can say.

    `after` None: as it is.
    """
    try:
        found = sampled.sample(parts)
    except NoAnswer as error:
        return None, str(error)
    if not len(found):
        return None, ""
    was = sampled.survey(found, before).scores
    now = was if after is None else sampled.survey(found, after).scores
    bands = (before if after is None else after).policy.bands
    scores = []
    for n, score in enumerate(SCORES):
        moved = now[:, n] - was[:, n]
        reached = np.searchsorted(bands, now[:, n], "right") - np.searchsorted(
            before.policy.bands, was[:, n], "right"
        )
        scores.append(
            {
                "name": score,
                "plot": _plot(score, was[:, n], None if after is None else now[:, n]),
                "rows": list(zip(_bins(), _counts(was[:, n]), _counts(now[:, n]), strict=True)),
                "mean": (float(was[:, n].mean()), float(now[:, n].mean())),
                "median": (float(np.median(was[:, n])), float(np.median(now[:, n]))),
                "raised": found.of_all(int((moved > 0).sum())),
                "lowered": found.of_all(int((moved < 0).sum())),
                "bands_up": found.of_all(int((reached > 0).sum())),
                "bands_down": found.of_all(int((reached < 0).sum())),
                "moved": bool(moved.any()),
            }
        )
    scores.sort(key=lambda each: not each["moved"])
    return {
        "scores": scores, "of": len(found), "total": max(found.total, len(found)), "at": found.at,
        "both": after is not None,
    }, ""  # fmt: skip


def _bins() -> list[str]:
    step = 100 // BINS
    return [f"{n * step} – {(n + 1) * step}" for n in range(BINS)]


def _counts(values: NDArray[np.float64]) -> list[int]:
    return [int(each) for each in np.histogram(values, BINS, (0, 100))[0]]


def _plot(score: str, was: NDArray[np.float64], now: NDArray[np.float64] | None) -> Markup:
    label = say("policy.plot", score=say(f"score.{score}"), was=f"{was.mean():.1f}")
    if now is not None:
        label = say("policy.plot_both", score=say(f"score.{score}"), was=f"{was.mean():.1f}",
                    now=f"{now.mean():.1f}")  # fmt: skip
    return plotting.histogram(_counts(was), None if now is None else _counts(now), label, say("policy.axis"))
