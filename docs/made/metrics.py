"""The page of every metric: name, kind, labels, meaning, as `/metrics` of worker and API have them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from docs.made.markdown import code, table
from streams import metrics as worker
from web.api import metrics as api

HEAD = """\
# Metrics

For Prometheus, at `/metrics` of each worker (`KHAYWE_WEB_HOST`, `KHAYWE_WEB_PORT`) and of `khaywe api`
(`KHAYWE_API_HOST`, `KHAYWE_API_PORT`). Which figures should worry you, and what to do, stands in
[Operating](../operating.md#metrics).

Counters move once their transaction has committed. A histogram has the series `_bucket` (with the label
`le`), `_sum` and `_count`. Counters and histograms also have a series `_created`: when they began, in Unix
time.

This page is made from `streams/metrics.py` and `web/api/metrics.py`: `python -m docs.made`.
"""


def page() -> str:
    """The page, in Markdown."""
    headers = ("metric", "kind", "labels", "meaning")
    lines = [HEAD, "## Workers", ""]
    lines += [*table(headers, _ours(worker)), "", "## REST API", "", *table(headers, _ours(api)), ""]
    lines += [
        "## Of every process",
        "",
        "What the Prometheus library says of a process on Linux. The API has `process_` only.",
        "",
        *table(headers, _of_process(REGISTRY)),
        "",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _ours(module: ModuleType) -> Iterator[tuple[str, str, str, str]]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            [family] = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield f"`{name}`", family.type, code(metric._labelnames), family.documentation


def _of_process(registry: CollectorRegistry) -> Iterator[tuple[str, str, str, str]]:
    for family in registry.collect():
        if re.match("process_|python_", family.name):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = sorted({label for sample in family.samples for label in sample.labels})
            yield f"`{name}`", family.type, code(labels), family.documentation
