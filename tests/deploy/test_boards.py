"""Grafana's boards: what they ask for exists, and they can be read on a screen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.deploy import promql

ROOT = Path(__file__).parents[2]
BOARDS = sorted((ROOT / "deploy/grafana/boards").glob("*.json"))
WIDTH = 24  # columns of Grafana's grid

boards = pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)


def _board(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All but the heads of rows; those within rows that are folded too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def _expressions(board: dict[str, Any]) -> Iterator[str]:
    for panel in _panels(board):
        for target in panel["targets"]:
            yield target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["expr"]


def test_there_are_those_that_the_documentation_names() -> None:
    text = (ROOT / "docs/operating.md").read_text()
    assert {path.stem for path in BOARDS} == set(re.findall(r"`(khaywe-(?:pipeline|game|models))`", text))


@boards
def test_metrics_and_labels_exist(path: Path) -> None:
    board, series = _board(path), promql.exported()
    found = [(text, fault) for text in _expressions(board) for fault in promql.faults(text, series)]
    assert found == []
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
            assert metric in series
            assert label in series[metric] | promql.OF_TARGET
            assert variable["query"]["query"] == variable["definition"]


@boards
def test_what_is_asked_of_labels_can_be(path: Path) -> None:
    assert promql.unknown_values(_expressions(_board(path))) == []


def test_expressions_are_promql() -> None:
    for text in (text for path in BOARDS for text in _expressions(_board(path))):
        for variable, value in promql.VARIABLES.items():
            text = text.replace(variable, value)
        promql_parser.parse(text)


@boards
def test_legends_name_labels_that_are_there(path: Path) -> None:
    series = promql.exported()
    for panel in _panels(_board(path)):
        for target in panel["targets"]:
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert labels <= promql.labels_of(target["expr"], series)
            grouped = promql.named(target["expr"]).groupings - {"le"}
            if panel["type"] in {"timeseries", "bargauge"}:
                assert target["legendFormat"], panel["title"]
                assert grouped - {"partition", "topic"} <= labels or labels, panel["title"]


@boards
def test_every_panel_says_what_it_is(path: Path) -> None:
    board = _board(path)
    panels = list(_panels(board))
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {target["refId"] for target in panel["targets"]} == set("ABCDEF"[: len(panel["targets"])])
        for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
            assert source == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"]
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert names >= {"datasource", "worker"}
    assert set(re.findall(r"\$(?!__)(\w+)", " ".join(_expressions(board)))) <= names


@boards
def test_nothing_lies_over_anything_else(path: Path) -> None:
    board = _board(path)
    taken: set[tuple[int, int]] = set()
    everything = [*(panel for panel in board["panels"] if panel["type"] == "row"), *_panels(board)]
    for panel in everything:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in everything]
    assert len(numbers) == len(set(numbers))
    # Rows are full: no holes on the screen.
    for y in {y for _, y in taken}:
        assert sum((x, y) in taken for x in range(WIDTH)) == WIDTH


def test_boards_have_names_of_their_own_and_find_each_other() -> None:
    found = [_board(path) for path in BOARDS]
    assert [board["uid"] for board in found] == [path.stem for path in BOARDS]
    assert len({board["title"] for board in found}) == len(found)
    for board in found:
        assert board["tags"] == ["khaywe"]
        assert [link["tags"] for link in board["links"]] == [["khaywe"]]


def test_grafana_is_told_where_they_are() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounted = {
        each["target"]: ROOT / compose["configs"][each["source"]]["file"]
        for each in compose["services"]["grafana"]["configs"]
    }
    provisioning = ROOT / "deploy/grafana/provisioning"
    for path in [*provisioning.rglob("*.yml")]:
        assert mounted[f"/etc/grafana/provisioning/{path.relative_to(provisioning)}"] == path
    [provider] = yaml.safe_load((provisioning / "dashboards/khaywe.yml").read_text())["providers"]
    assert {target for target in mounted if target.endswith(".json")} == {
        f"{provider['options']['path']}/{path.name}" for path in BOARDS
    }
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in compose["services"]["prometheus"]["ports"]
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounted
    assert all(path.is_file() for path in mounted.values())
