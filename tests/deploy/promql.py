"""What PromQL expressions name: metrics with their matchers, labels of groupings, functions.

Tokens are enough to hold names against what the process exports; whether an expression means something is for
a real parser (`promql_parser`) to say; whether alerts fire when they should, `promtool` (see alerts.yml).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

import ml.rules
import streams.names
from config.settings import Settings
from config.topics import registry
from loyalty.columns import COUNTS
from streams import metrics
from web.api import metrics as api

ROOT = Path(__file__).parents[2]

TOKENS = re.compile(
    r"""(?P<space>\s+|\#.*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<duration>(?:\d+(?:ms|[smhdwy]))+)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[a-zA-Z_][a-zA-Z0-9_:]*)
    |(?P<operator>=~|!~|==|!=|<=|>=|[-+*/%^<>=,:@])
    |(?P<open>[({\[])
    |(?P<close>[)}\]])""",
    re.VERBOSE,
)
PAIRS = {"(": ")", "{": "}", "[": "]"}
AGGREGATIONS = {"sum", "avg", "min", "max", "count", "topk", "bottomk", "quantile", "stddev", "group"}
FUNCTIONS = {
    "absent", "changes", "deriv", "delta", "increase", "rate", "irate", "histogram_quantile", "label_replace",
    "max_over_time", "min_over_time", "avg_over_time", "scalar", "sort_desc", "time", "vector", "clamp_min",
}  # fmt: skip
GROUPINGS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset"}

#: What Prometheus itself adds: its own series, and labels of the target.
OF_PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
OF_TARGET = {"job", "instance"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}


@dataclass(slots=True)
class Named:
    """What an expression names."""

    selectors: list[tuple[str, list[tuple[str, str, str]]]] = field(
        default_factory=list
    )  # label, operator, value
    groupings: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)

    @property
    def metrics(self) -> set[str]:
        return {metric for metric, _ in self.selectors}


def tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each token.  Raises ValueError: something that is none, brackets that do not pair."""
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    found, at, opened = [], 0, ""
    while at < len(text):
        match = TOKENS.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"no token at {text[at : at + 20]!r} of {text!r}")
        at = match.end()
        if match.lastgroup == "open":
            opened += PAIRS[match[0]]
        elif match.lastgroup == "close":
            if not opened.endswith(match[0]):
                raise ValueError(f"{match[0]!r} closes nothing in {text!r}")
            opened = opened[:-1]
        if match.lastgroup != "space":
            found.append((match.lastgroup, match[0]))
    if opened:
        raise ValueError(f"{opened!r} is missing in {text!r}")
    return found


def named(text: str) -> Named:
    """What it names.  Raises ValueError where it cannot be read."""
    out, all_, at = Named(), [*tokens(text), ("end", "")], 0

    def until(close: str) -> list[tuple[str, str]]:
        nonlocal at
        begin = at = at + 1
        while all_[at][1] != close:
            at += 1
        return all_[begin:at]

    while at < len(all_) - 1:
        kind, word = all_[at]
        following = all_[at + 1][1]
        if kind == "name" and word in GROUPINGS:
            at += 1
            out.groupings |= {label for kind, label in until(")") if kind == "name"}
        elif kind == "name" and (word in AGGREGATIONS or following == "("):
            if word not in AGGREGATIONS | FUNCTIONS | WORDS:
                raise ValueError(f"no function is called {word!r} in {text!r}")
            out.functions.add(word)
        elif kind == "name" and word not in WORDS:
            matchers = []
            if following == "{":
                at += 1
                parts = [part for part in until("}") if part[1] != ","]
                matchers = [
                    (label[1], operator[1], value[1][1:-1])
                    for label, operator, value in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
                ]
            out.selectors.append((word, matchers))
        at += 1
    return out


def exported() -> dict[str, set[str]]:
    """Every series that a worker or the API exports, with its labels but those of the target."""
    series: dict[str, set[str]] = {}
    for metric in (*vars(metrics).values(), *vars(api).values()):
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            labels = set(metric._labelnames)
            if family.type == "histogram":
                series[f"{family.name}_bucket"] = labels | {"le"}
                series |= {f"{family.name}_{suffix}": labels for suffix in ("sum", "count")}
            else:
                series[f"{family.name}_total" if family.type == "counter" else family.name] = labels
    for family in REGISTRY.collect():
        for sample in family.samples:
            # When a child was made is nobody's business, and only some have been made.
            if not sample.name.endswith("_created"):
                series.setdefault(sample.name, set(sample.labels))
    return series


def faults(text: str, series: dict[str, set[str]]) -> list[str]:
    """What an expression names that is not there; its metrics and labels, nothing of what they mean."""
    try:
        found = named(text)
    except ValueError as error:
        return [str(error)]
    known = series | OF_PROMETHEUS
    out = [f"no metric is called {metric}" for metric in found.metrics - known.keys()]
    for metric, matchers in found.selectors:
        labels = known.get(metric, set()) | OF_TARGET
        out += [f"{metric} has no label {label}" for label, _, _ in matchers if label not in labels]
    return out + [
        f"no metric in it has the label {label}" for label in found.groupings - labels_of(text, series)
    ]


def labels_of(text: str, series: dict[str, set[str]]) -> set[str]:
    """Labels that results of an expression can have: of its metrics, of targets, of those of alerts."""
    found = named(text)
    labels = set(OF_TARGET)
    for metric in found.metrics:
        labels |= (series | OF_PROMETHEUS).get(metric, set())
    if "ALERTS" in found.metrics:  # an alert has the labels of its expression
        labels |= set().union(*series.values())
    return labels


def values(expressions: Iterable[str], metric: str, label: str) -> set[str]:
    """What the expressions ask of a label: each alternative of a match, by regular expression too."""
    found: set[str] = set()
    for text in expressions:
        for name, matchers in named(text).selectors:
            if name == metric:
                found |= {one for at, _, value in matchers if at == label for one in value.split("|")}
    return found


def unknown_values(expressions: Iterable[str]) -> list[str]:
    """What expressions ask of labels whose values are known from code, and no code ever says."""
    text = list(expressions)
    code = {folder: _code(folder) for folder in ("loyalty", "agents", "streams")}
    known = {
        ("khaywe_events_total", "kind"): {*COUNTS, *re.findall(r'counts\["(\w+)"\]', code["loyalty"])},
        ("khaywe_stage_seconds_total", "stage"): set(
            re.findall(r'STAGE_SECONDS\.labels\([\w.]+, "(\w+)"\)', code["agents"] + code["streams"])
        ),
        ("khaywe_model", "version"): {ml.rules.VERSION},
    }
    groups = {value for name, value in vars(streams.names).items() if name.endswith("_GROUP")}
    topics = {topic.name for topic in registry(Settings(_env_file=None))}
    series = exported()
    known |= {(name, "app"): groups for name, labels in series.items() if "app" in labels}
    known |= {(name, "topic"): topics for name, labels in series.items() if "topic" in labels}
    return [
        f"{metric} never has {label}={value!r}"
        for (metric, label), there in known.items()
        for value in sorted(values(text, metric, label) - there)
    ]


def _code(folder: str) -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))
