"""One HTML page on the models, plots and all in the file itself: nothing is loaded from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from config.errors import KhayweError
from ml import drift, features
from ml.card import Card
from ml.features import Matrix
from ml.registry import Model

_BARS = 12
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1f2933}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .8rem .15rem 0;text-align:left}
h2{margin-top:3rem;border-top:1px solid #d5dbe1;padding-top:1rem}svg{max-width:100%;height:auto}
.moved{color:#b42318;font-weight:600}
"""


def page(models: Sequence[Model], today: Matrix | None = None) -> str:
    """The page; `today` are features to compare with training.  Raises KhayweError without matplotlib."""
    parts = [f"<h1>Models</h1>{_overview(models)}"]
    for model in models:
        card = model.card
        parts.append(f'<h2 id="{escape(card.name)}">{escape(card.name)} {escape(card.version)}</h2>')
        parts.append(f"<p>{escape(card.about)} {escape(card.data)}.</p>{_figures(card)}")
        parts.append(_plots(card))
        if today is not None and card.inputs == "row":
            parts.append(_drift(model, today))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>khaywe: models</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _overview(models: Sequence[Model]) -> str:
    rows = "".join(
        f'<tr><td><a href="#{escape(card.name)}">{escape(card.name)}</a></td><td>{escape(card.version)}</td>'
        f"<td>{card.rows:,}</td><td>{escape(card.about)}</td></tr>"
        for card in (model.card for model in models)
    )
    return f"<table><tr><th>model</th><th>version</th><th>rows</th><th></th></tr>{rows}</table>"


def _figures(card: Card) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{value:.4f}</td></tr>" for name, value in card.metrics.items()
    )
    return f"<table>{rows}</table>" if rows else "<p>By rules: nothing was learnt.</p>"


def _plots(card: Card) -> str:
    drawn = [
        (title, draw) for title, draw, there in (
            ("ROC", _roc, card.roc), ("Calibration", _calibration, card.reliability),
            ("Lift", _lift, card.lift), ("Importance", _importance, True),
        ) if there
    ]  # fmt: skip
    figure, axes = _figure(len(drawn))
    for (title, draw), axis in zip(drawn, axes, strict=True):
        draw(axis, card)
        axis.set_title(title)
    return _svg(figure)


def _figure(count: int) -> tuple[Any, list[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise KhayweError(
            "plots need matplotlib, which is not installed", "pip install 'khaywe[train]'"
        ) from None
    figure = Figure(figsize=(4.2 * count, 3.6), layout="constrained")
    return figure, [figure.add_subplot(1, count, at + 1) for at in range(count)]


def _svg(figure: Any) -> str:
    import matplotlib

    out = io.StringIO()
    # No date and a fixed salt: the same models give the same page.
    with matplotlib.rc_context({"svg.hashsalt": "khaywe", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _roc(axis: Any, card: Card) -> None:
    axis.plot(*zip(*card.roc, strict=True))
    axis.plot((0, 1), (0, 1), ":", color="grey")
    axis.set_xlabel("false positive rate")
    axis.set_ylabel("true positive rate")


def _calibration(axis: Any, card: Card) -> None:
    predicted, observed, _ = zip(*card.reliability, strict=True)
    axis.plot(predicted, observed, "o-")
    top = max(*predicted, *observed)
    axis.plot((0, top), (0, top), ":", color="grey")
    axis.set_xlabel("predicted")
    axis.set_ylabel("observed")


def _lift(axis: Any, card: Card) -> None:
    axis.bar(range(1, len(card.lift) + 1), card.lift)
    axis.axhline(1, color="grey", linestyle=":")
    axis.set_xlabel("tenth of customers, highest first")


def _importance(axis: Any, card: Card) -> None:
    strongest = sorted(card.features, key=lambda each: each.importance)[-_BARS:]
    axis.barh([each.name for each in strongest], [each.importance for each in strongest])
    axis.set_xlabel("share of the gain")


def _drift(model: Model, today: Matrix) -> str:
    values = features.select(today, model.names)
    found = {f"score {name}": value for name, value in drift.score_drift(model, values).items()}
    found |= drift.feature_drift(model, values)
    worst = sorted(found.items(), key=lambda each: -each[1])[:_BARS]
    figure, (axis,) = _figure(1)
    axis.barh([name for name, _ in reversed(worst)], [value for _, value in reversed(worst)])
    axis.axvline(drift.MOVED, color="red", linestyle=":")
    axis.set_title("Drift (population stability index)")
    moved = [name for name, value in found.items() if value >= drift.MOVED]
    said = (
        f'<p class="moved">Moved: {escape(", ".join(moved))}</p>' if moved else "<p>No feature has moved.</p>"
    )
    head = f"Drift on {len(values):,} customers, mean {np.mean(list(found.values())):.3f}"
    return f"<h3>{head}</h3>{said}{_svg(figure)}"
