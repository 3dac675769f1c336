"""The features that conditions, personal targets and "why" speak about: names, units, windows.

Their values are computed in `loyalty.features`, in this order.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from loyalty.conditions import MOST_CHARACTERS, MOST_DEPTH, Kind
from loyalty.events import CODES, SOURCE_TYPES

_N, _W, _F = Kind.NUMBER, Kind.WORD, Kind.FLAG


class Feature(NamedTuple):
    """A measure of a customer."""

    name: str
    kind: Kind
    unit: str
    window_days: int  # 0: none
    description: str


def _window(name: str) -> int:
    found = re.search(r"_(\d+)_days$", name)
    return int(found[1]) if found else 0


def _all() -> list[Feature]:
    counters = {
        "calls": ("calls", "calls, roaming included"),
        "seconds": ("seconds", "time in calls"),
        "data_mb": ("MB", "data, roaming included"),
        "sms": ("messages", "SMS"),
        "app_login": ("events", "logins to the app"),
        "feature_use": ("events", "features of the app used"),
        "content_view": ("events", "content viewed"),
        "web_login": ("events", "logins to the web"),
        "app_other": ("events", "app installed, something shared, self-care"),
        "qoe": ("events", "network faults noticed"),
        "recharge": ("currency", "recharged"),
        "revenue": ("currency", "revenue, less refunds"),
    }
    found = [
        Feature(name, _N, "points", 0, f"the {name} score, 0 to 100")
        for name in ("engagement", "revenue", "loyalty", "risk", "digital")
    ]
    for name, (unit, text) in counters.items():
        found.append(Feature(f"{name}_30_days", _N, unit, 30, text))
    found.append(Feature("revenue_90_days", _N, "currency", 90, "revenue, less refunds"))
    found.append(Feature("app_events_30_days", _N, "events", 30, "all that was done in the app"))
    for name, unit, text in (
        ("calls", "calls", "calls"),
        ("seconds", "seconds", "time in calls"),
        ("data_mb", "MB", "data"),
        ("sms", "messages", "SMS"),
        ("app_events", "events", "all that was done in the app"),
        ("web_logins", "events", "logins to the web"),
        ("qoe", "events", "network faults noticed"),
        ("complaints", "events", "complaints"),
        ("referrals", "events", "customers brought"),
        ("transactions", "events", "transactions"),
        ("payments_known", "payments", "payments known to be on time or late"),
        ("payments_on_time", "payments", "payments on time"),
        ("revenue", "currency", "revenue, less refunds"),
        ("recharge", "currency", "recharged"),
    ):
        found.append(Feature(f"{name}_lifetime", _N, unit, 0, f"{text}, ever"))
    for event_type in sorted(SOURCE_TYPES, key=CODES.__getitem__):
        found.append(Feature(f"{event_type}_count", _N, "events", 0, f"`{event_type}` events, ever"))
    for name, kind, unit, text in (
        ("tenure_days", _N, "days", "since the activation, else the first event"),
        ("days_since_last_activity", _N, "days", "unknown if there never was one"),
        ("days_since_last_transaction", _N, "days", "unknown if there never was one"),
        ("active_days_30", _N, "days", "days with activity among the last 30"),
        ("active_days_90", _N, "days", "days with activity among the last 90"),
        ("active_streak_days", _N, "days", "days in a row with activity, up to today or yesterday"),
        ("active_weeks_12", _N, "weeks", "weeks with activity among the last 12"),
        ("arpu", _N, "currency", "revenue a month, over 90 days"),
        ("revenue_decline", _N, "share", "fall of revenue, last 30 days against the 30 before"),
        ("on_time_share", _N, "share", "payments on time; unknown if none is known"),
        ("churn_probability", _N, "share", "of the churn model; unknown without one"),
        ("comebacks", _N, "times", "returns after 30 days or more without activity"),
        ("longest_absence_days", _N, "days", "the longest of those absences"),
        ("days_to_anniversary", _N, "days", "to the next anniversary of the activation, 0 today"),
        ("days_to_birthday", _N, "days", "to the next birthday, 0 today"),
        ("segment", _W, "word", "of the profile"),
        ("lifecycle_stage", _W, "word", "of the profile"),
        ("language", _W, "word", "of the profile"),
        ("timezone", _W, "word", "of the profile"),
        ("tariff", _W, "word", "of the profile"),
        ("consent", _F, "yes/no", "of the profile"),
        ("opted_in", _F, "yes/no", "whether the customer wants to take part"),
        ("points_balance", _N, "points", "that can be spent"),
        ("points_earned_this_year", _N, "points", "in the calendar year"),
        ("points_earned_lifetime", _N, "points", "ever"),
        ("tier", _N, "index", "0 is the lowest"),
        ("missions_completed", _N, "missions", "ever"),
        ("missions_active", _N, "missions", "now"),
        ("badges_held", _N, "levels", "of all badges"),
        ("predicted_ltv", _N, "currency", "revenue of the next twelve months; unknown without a model"),
        ("purchase_propensity", _N, "share", "likely to buy; unknown without a model, as those below"),
        ("campaign_response", _N, "share", "likely to answer a campaign"),
        ("default_risk", _N, "share", "likely not to pay"),
        ("upsell_propensity", _N, "share", "likely to take more"),
        ("predicted_active_days", _N, "days", "with activity among the next 30"),
        ("rfm_score", _N, "score", "recency, frequency, money: three digits, 111 to 555"),
        ("next_best_offer", _N, "offer", "the offer's `offer_id`"),
    ):
        found.append(Feature(name, kind, unit, 0, text))
    return found


FEATURES: tuple[Feature, ...] = tuple(_all())
INDEX: dict[str, int] = {feature.name: n for n, feature in enumerate(FEATURES)}
KINDS: dict[str, Kind] = {feature.name: feature.kind for feature in FEATURES}


#: Conditions on customers and on events, with what they say: docs/conditions.md shows them, tests read them.
EXAMPLES = (
    (
        "risk >= 60 and days_since_last_transaction > 14",
        "likely to leave, and nothing bought for two weeks",
    ),
    (
        'segment in ("gold", "platinum") or not (tenure_days < 90)',
        "of one of two segments, or here for 90 days or more",
    ),
    (
        "churn_probability is known and consent = yes",
        "the churn model has spoken, and the customer may be addressed",
    ),
    ("data_mb_30_days > 10_240 and arpu <= 12.5", "more than 10 GB in 30 days, at most 12.50 a month"),
    ("language != 'en'", "known to speak another language; not of those whose language is unknown"),
    ("not (language = 'en')", "speaks another language, or nobody knows which"),
)
FILTERS = (
    ("value >= 10", "ten units at least: seconds, megabytes, currency, by the event's type"),
    ("source in ('app', 'crm')", "from one of the data sources of these names"),
    ("on_time = yes", "the attribute `on_time` is true"),
    ('not (paid_from = "balance")', "not paid from balance, or it does not say"),
    ("feature is known and value < 3", "says of which feature, and has a value below 3"),
)

_HEAD = f"""\
# Conditions

Who is eligible for a mission, when a badge is earned, which events count: rules say it in a small
language that can be read aloud. It is parsed, never run as code. A draft with a condition that cannot be
read is refused with the place and the column.

This page is made from `loyalty/vocabulary.py`: `python -m catalog.reference > docs/conditions.md`.

## The language

    condition   = all {{"or" all}}
    all         = single {{"and" single}}
    single      = "not" single | "(" condition ")" | comparison
    comparison  = name ("<" | "<=" | ">" | ">=" | "=" | "!=") literal
                | name ["not"] "in" "(" literal {{"," literal}} ")"
                | name "is" ("known" | "unknown")
    literal     = number | word | "yes" | "no"

* `and` binds more strongly than `or`, `not` more strongly than both.
* Numbers: `60`, `-3`, `0.5`, `10_240`. Words stand in double or single quotes, capital letters count;
  `\\"`, `\\'` and `\\\\` are a quote and a backslash in one.
* A name compares with what it is: a number with all six signs and `in`, a word with `=`, `!=` and `in`,
  yes/no with `=` and `!=`.
* What is *unknown* compares with nothing: the comparison does not hold, whichever sign it has, and `not`
  turns that round. So `not in` holds of what is unknown, `!=` does not. `is unknown` asks for it.
* An empty condition always holds. One has at most {MOST_CHARACTERS:,} characters, and {MOST_DEPTH} levels of
  parentheses and `not`.
"""

_FILTERS_HEAD = """\
## Filters of events

`where` and `among` of goals, and `where` of earning, ask events instead of customers. A name is `value`
(a number, in the unit of the event's type), `source` (a word: the name of the data source) or any
attribute of the event. The literal says as what an attribute is compared: with a word if it is a string
or a whole number, with a number if it is one, with yes or no if it reads so (`true`, `"true"`, `"yes"`,
1). Otherwise it is unknown, as is one that the event does not have.
"""

_FEATURES_HEAD = """\
## Names

What is known of a customer at an event and at the daily refresh. A window of 30 days is the day itself
and the 29 before it. Amounts of money are in units of currency.
"""


def reference() -> str:
    """The page docs/conditions.md, in Markdown."""
    lines = [_HEAD, *_table(("condition", "holds for"), EXAMPLES), _FILTERS_HEAD]
    lines += [*_table(("filter", "lets through"), FILTERS), _FEATURES_HEAD]
    lines += ["| name | is a | unit | days | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, kind, unit, days, text in FEATURES:
        shown = "" if kind is not _N else unit
        lines.append(f"| `{name}` | {kind.value} | {shown} | {days or ''} | {text} |")
    return "\n".join(lines) + "\n"


def _table(heads: tuple[str, str], rows: tuple[tuple[str, str], ...]) -> list[str]:
    shown = [f"| `{condition}` | {text} |" for condition, text in rows]
    return [f"| {heads[0]} | {heads[1]} |", "| --- | --- |", *shown, ""]
