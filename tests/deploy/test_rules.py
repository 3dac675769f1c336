"""Alert rules: what they ask for exists, what they say can be said, and somebody has written what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy import promql

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/khaywe.yml"
CASES = Path(__file__).parent / "alerts.yml"
RUNBOOK = "docs/operating.md"


def _rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


rules = pytest.mark.parametrize("rule", list(_rules()), ids=lambda rule: rule["alert"])


@rules
def test_metrics_and_labels_exist(rule: dict[str, Any]) -> None:
    assert promql.faults(rule["expr"], promql.exported()) == []


def test_expressions_are_promql() -> None:
    for rule in _rules():
        promql_parser.parse(rule["expr"])


@rules
def test_who_is_woken_is_told_what(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    labels = promql.labels_of(rule["expr"], promql.exported())
    for words in rule["annotations"].values():
        assert words == words.strip()
        assert words.count("{{") == words.count("}}")
        assert set(re.findall(r"\$labels\.(\w+)", words)) <= labels
    assert not rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")


def test_each_has_a_section_and_each_section_an_alert() -> None:
    headings = re.findall(r"^#+ (Khaywe\w+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in _rules()]
    assert sorted(headings) == sorted(set(names))
    assert len(names) == len(set(names))
    for rule in _rules():
        assert rule["annotations"]["runbook"] == f"{RUNBOOK}#{rule['alert'].lower()}"


def test_what_is_asked_of_labels_can_be() -> None:
    assert promql.unknown_values(rule["expr"] for rule in _rules()) == []


def test_each_is_tried_on_series_that_make_it_fire_and_on_some_that_do_not() -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    firing = [
        {re.search(r'alertname="(\w+)"', sample["labels"])[1] for sample in check["exp_samples"]}  # type: ignore[index]
        for case in cases
        for check in case["promql_expr_test"]
    ]
    assert set().union(*firing) == {rule["alert"] for rule in _rules()}
    well, nothing = cases[0], firing[0]
    assert nothing == set()
    given = {each["series"].split("{")[0] for each in well["input_series"]}
    assert given == set().union(*(promql.named(rule["expr"]).metrics for rule in _rules()))
