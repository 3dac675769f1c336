"""Whom Prometheus asks: services of docker-compose.yml and pods of the manifests, under the rules' jobs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from tests.deploy import promql
from tests.deploy.manifests import containers, workloads

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def _scrapes(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["scrape_configs"]
    return found


def _jobs_asked_for() -> set[str]:
    """Jobs that rules and boards name, regular expressions left out."""
    rules = yaml.safe_load((DEPLOY / "prometheus/rules/khaywe.yml").read_text())["groups"]
    texts = [rule["expr"] for group in rules for rule in group["rules"]]
    for path in (DEPLOY / "grafana/boards").glob("*.json"):
        texts += re.findall(r'"expr": (".*?[^\\]")', path.read_text())
    texts = [json.loads(text) if text.startswith('"') else text for text in texts]
    return {job for job in promql.values(texts, "up", "job") if re.fullmatch(r"[\w-]+", job)}


def test_targets_are_services_that_have_metrics(compose: dict[str, Any]) -> None:
    for scrape in _scrapes("prometheus.yml"):
        [targets] = [each["targets"] for each in scrape["static_configs"]]
        for host, port in (target.split(":") for target in targets):
            settings = Settings(_env_file=None)
            wanted = {"worker": settings.web_port, "api": settings.api_port}
            assert port == str(wanted[compose["services"][host]["command"][0]])
            assert scrape["job_name"] == f"khaywe-{host}"


def test_the_api_is_shown_the_key_that_it_asks_for(compose: dict[str, Any]) -> None:
    [scrape] = [each for each in _scrapes("prometheus.yml") if each["job_name"] == "khaywe-api"]
    configs = {each["target"]: each["source"] for each in compose["services"]["prometheus"]["configs"]}
    source = configs[scrape["authorization"]["credentials_file"]]
    key = compose["services"]["api"]["environment"]["KHAYWE_WORKER_KEY"]
    assert compose["configs"][source] == {"content": key}
    [scrape] = _scrapes("kubernetes.yml")
    assert Path(scrape["authorization"]["credentials_file"]).name == "KHAYWE_WORKER_KEY"


def test_every_worker_and_the_api_is_a_target(compose: dict[str, Any]) -> None:
    asked = {
        target.split(":")[0]
        for scrape in _scrapes("prometheus.yml")
        for each in scrape["static_configs"]
        for target in each["targets"]
    }
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    assert asked == {name for name, service in ours.items() if service["command"][0] in ("worker", "api")}


def test_rules_and_boards_ask_for_jobs_that_are_there() -> None:
    assert _jobs_asked_for() <= {scrape["job_name"] for scrape in _scrapes("prometheus.yml")}
    in_kubernetes = {
        f"khaywe-{each['metadata']['labels']['app.kubernetes.io/component']}" for each in workloads()
    }
    assert _jobs_asked_for() <= in_kubernetes


def test_in_kubernetes_pods_are_found_by_what_they_are_called() -> None:
    [scrape] = _scrapes("kubernetes.yml")
    keep = next(each for each in scrape["relabel_configs"] if each["action"] == "keep")
    assert keep["source_labels"] == [
        "__meta_kubernetes_pod_label_app_kubernetes_io_part_of",
        "__meta_kubernetes_pod_container_port_name",
    ]
    part_of, ports = keep["regex"].split(";")
    found = {
        each["metadata"]["name"]
        for each in workloads()
        if each["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == part_of
        for container in containers(each)
        if any(re.fullmatch(ports, named["name"]) for named in container.get("ports", []))
    }
    assert found == {
        each["metadata"]["name"]
        for each in workloads()
        if containers(each)[0]["args"][0] in ("worker", "topics", "api")
    }
    job = next(each for each in scrape["relabel_configs"] if each.get("target_label") == "job")
    assert job["source_labels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]
    assert job["replacement"] == "khaywe-$1"


def test_prometheus_gets_its_files(compose: dict[str, Any]) -> None:
    service = compose["services"]["prometheus"]
    mounted = {
        each["target"]: ROOT / compose["configs"][each["source"]].get("file", "no file")
        for each in service["configs"]
    }
    config = next(word for word in service["command"] if word.startswith("--config.file="))
    path = Path(config.removeprefix("--config.file="))
    assert mounted[str(path)] == DEPLOY / "prometheus/prometheus.yml"
    assert yaml.safe_load(mounted[str(path)].read_text())["rule_files"] == ["rules/*.yml"]
    for rules in (DEPLOY / "prometheus/rules").iterdir():
        assert mounted[str(path.parent / "rules" / rules.name)] == rules


def test_only_this_machine_may_look(compose: dict[str, Any]) -> None:
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in compose["services"][name]["ports"])
        # A version is named: a board that was looked at stays as it was.
        assert re.search(r":v?\d+\.\d+\.\d+$", compose["services"][name]["image"])
