"""A model's card as a page, from nothing but the card."""

from __future__ import annotations

from ml.card import Card

_MEANING = {
    "auc": "AUC",
    "r2": "share of the variance explained (R²)",
    "chosen": "how often the first choice is taken",
    "brier": "Brier score (0 is best)",
    "lift_of_top_tenth": "lift of the tenth with the highest predictions",
    "share_of_the_way": "share of the way from the plain rule to the best possible",
    "auc_on_outcomes": "AUC on drawn outcomes",
}


def page(card: Card) -> str:
    """The card in Markdown."""
    lines = [
        f"# {card.name}", "", card.about, "",
        f"Version `{card.version}`. This page is made from the card in the model's file.", "",
        "## Figures", "", *_figures(card),
        "## Data", "",
        f"{card.data}. {card.rows:,} rows, date of the data {card.date}, hash `{card.data_hash}`.", "",
        *_targets(card),
        "## Calibration", "", *_reliability(card),
        "## Features", "",
        "The strongest, by their share of the trees' gain:", "",
        "| feature | unit | window | share | usually |", "| --- | --- | --- | --- | --- |",
        *(
            f"| {each.name} | {each.unit} | {each.window} | {each.importance:.1%} | {each.typical:,.6g} |"
            for each in sorted(card.features, key=lambda each: -each.importance)[:15]
            if each.importance > 0
        ),
        "", "## Limits", "", *(f"* {limit}" for limit in [*card.limits, *_always(card)]), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _figures(card: Card) -> list[str]:
    if not card.metrics:
        return ["Rules: nothing was learnt, so there is nothing to measure.", ""]
    lines = ["| figure | model | plain rule | best possible |", "| --- | --- | --- | --- |"]
    for name, value in card.metrics.items():
        if name.startswith(("rule_", "best_")):
            continue
        others = [card.metrics.get(f"{which}_{name}") for which in ("rule", "best")]
        cells = ["" if other is None else f"{other:.4f}" for other in others]
        lines.append(f"| {_MEANING.get(name, name)} | {value:.4f} | {cells[0]} | {cells[1]} |")
    return [*lines, "", f"The plain rule: {card.rule}.", ""]


def _targets(card: Card) -> list[str]:
    return [
        f"Targets: {', '.join(card.targets)}. Low ends at {card.low_below:,.4g}, high begins at "
        f"{card.high_from:,.4g}.",
        "",
    ]


def _reliability(card: Card) -> list[str]:
    if not card.reliability:
        return ["None: the scores are counts of fifths.", ""]
    return [
        "Rows that the trees did not see, in tenths of the prediction; `khaywe ml report` draws it.", "",
        "| predicted | observed | rows |", "| --- | --- | --- |",
        *(f"| {said:,.4g} | {seen:,.4g} | {rows:,} |" for said, seen, rows in card.reliability),
        "",
    ]  # fmt: skip


def _always(card: Card) -> list[str]:
    limits = ["No row with a value missing is taken; nothing is filled in."]
    if card.inputs == "row":
        limits.append(
            "Customers of under two weeks, or hardly ever active, are marked `insufficient_history`."
        )
    return limits
