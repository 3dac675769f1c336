"""The Kubernetes manifests against the settings, the command line, the image, and each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import urlsplit

import pytest

from cli.worker import AGENTS
from config.settings import Settings
from streams.record_app import STOP_SECONDS
from tests.deploy.commands import check
from tests.deploy.manifests import BASE, containers, kustomization, literals, objects, pod, workloads
from web.api.app import create
from web.views import common_views

ROOT = Path(__file__).parents[2]
PREFIX = "KHAYWE_"
COMPONENT = "app.kubernetes.io/component"

each_workload = pytest.mark.parametrize("workload", workloads(), ids=lambda each: each["metadata"]["name"])


def _secret() -> set[str]:
    """What docs/operating.md puts into the Secret."""
    return set(re.findall(r"--from-literal=(\w+)=", (ROOT / "docs/operating.md").read_text()))


def _settings(container: dict[str, Any]) -> dict[str, str]:
    """Settings that a container gives itself, with where they come from."""
    return {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container.get("env", [])}


def test_settings_are_settings_and_are_valid() -> None:
    given = literals()
    assert all(name.startswith(PREFIX) for name in [*given, *_secret()])
    fields: dict[str, Any] = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    secret = {name.removeprefix(PREFIX).lower() for name in _secret()}
    assert set(fields) | secret <= set(Settings.model_fields)
    assert not set(fields) & secret
    # All that is needed to reach Kafka, PostgreSQL and each other, and to read each other's secrets.
    assert set(fields) | secret >= {"kafka", "database", "secrets_key", "worker_key"}
    assert Settings(_env_file=None, **fields).replication == 3
    for workload in workloads():
        for container in containers(workload):
            names = {name.removeprefix(PREFIX).lower() for name in _settings(container)}
            assert names <= set(Settings.model_fields)


def test_all_take_the_same_settings() -> None:
    for workload in workloads():
        for container in containers(workload):
            assert container["envFrom"] == [
                {"configMapRef": {"name": "khaywe"}},
                {"secretRef": {"name": "khaywe"}},
            ]
        # Kubernetes would set KHAYWE_API_PORT=tcp://... for the Service khaywe-api.
        assert pod(workload)["enableServiceLinks"] is False


@each_workload
def test_commands_exist(workload: dict[str, Any]) -> None:
    for container in containers(workload):
        assert "command" not in container, "the image's entrypoint is khaywe"
        check(container["args"])


def test_every_agent_runs_somewhere_once() -> None:
    named = [
        agent
        for workload in workloads()
        for container in containers(workload)
        if container["args"][0] == "worker"
        for agent in container["args"][container["args"].index("--agents") + 1].split(",")
    ]
    assert sorted(named) == sorted(AGENTS)


@each_workload
def test_workers_have_names_and_addresses_of_their_own(workload: dict[str, Any]) -> None:
    [main] = pod(workload)["containers"]
    if main["args"][0] != "worker":
        return
    assert _settings(main) == {"KHAYWE_WORKER": "metadata.name", "KHAYWE_WEB_HOST": "status.podIP"}
    agents = main["args"][-1].split(",")
    # Whoever writes to Kafka in transactions must come back under the name that it had.
    assert (workload["kind"] == "StatefulSet") == bool({"normalizer", "customers"} & set(agents))
    assert pod(workload)["terminationGracePeriodSeconds"] > STOP_SECONDS


def _paths() -> dict[str, set[str]]:
    """Paths that answer without a key, by the name of the port."""
    pages: list[str] = []

    def page(path: str, name: str) -> Any:
        pages.append(path)
        return lambda view: view

    common_views(SimpleNamespace(page=page))  # type: ignore[arg-type]
    settings = Settings(_env_file=None)
    api: Any = create(MagicMock(settings=settings))  # of its routes nothing is asked
    return {"metrics": set(pages), "http": {route.path for route in api.routes if hasattr(route, "path")}}


@each_workload
def test_ports_and_probes_are_those_of_the_process(workload: dict[str, Any]) -> None:
    settings, paths = Settings(_env_file=None), _paths()
    [main] = pod(workload)["containers"]
    [port] = main["ports"]
    wanted = {"metrics": settings.web_port, "http": settings.api_port}
    assert port["containerPort"] == wanted[port["name"]]
    assert main["readinessProbe"]["httpGet"] == {"path": "/health", "port": port["name"]}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = main[name]
        where = probe.get("httpGet") or probe["tcpSocket"]
        assert where["port"] == port["name"]
        assert where.get("path", "/health") in paths[port["name"]]
    # A restore, or Kafka or PostgreSQL being away, must not end the process.
    assert main["livenessProbe"].get("httpGet", {}).get("path") != "/health"


def test_services_lead_to_pods() -> None:
    for service in objects("Service"):
        [workload] = [
            each
            for each in workloads()
            if service["spec"]["selector"].items() <= each["spec"]["template"]["metadata"]["labels"].items()
        ]
        [port] = service["spec"]["ports"]
        [main] = pod(workload)["containers"]
        assert port["targetPort"] == main["ports"][0]["name"]
        assert port["port"] == main["ports"][0]["containerPort"]
    names = {service["metadata"]["name"]: service for service in objects("Service")}
    for each in objects("StatefulSet"):
        assert names[each["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"
    url = urlsplit(literals()["KHAYWE_WORKER_URL"])
    assert url.port == names[url.hostname]["spec"]["ports"][0]["port"]


def test_selectors_select() -> None:
    budgets = {
        each["spec"]["selector"]["matchLabels"][COMPONENT]: each for each in objects("PodDisruptionBudget")
    }
    for workload in workloads():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"] == labels == workload["metadata"]["labels"]
        budget = budgets.pop(labels[COMPONENT])
        assert budget["spec"]["selector"]["matchLabels"] == labels
        assert budget["spec"]["maxUnavailable"] == 1
        assert workload["spec"]["replicas"] > 1, "a budget of one cannot be kept by one"
        for spread in pod(workload).get("topologySpreadConstraints", []):
            assert spread["labelSelector"]["matchLabels"] == labels
    assert not budgets


def test_nobody_else_may_ask_workers() -> None:
    [policy] = objects("NetworkPolicy")
    [selected] = policy["spec"]["podSelector"]["matchExpressions"]
    with_metrics = {
        each["metadata"]["labels"][COMPONENT]
        for each in workloads()
        if pod(each)["containers"][0]["ports"][0]["name"] == "metrics"
    }
    assert set(selected["values"]) == with_metrics
    [rule] = policy["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]


@each_workload
def test_volumes_are_where_khaywe_looks(workload: dict[str, Any]) -> None:
    spec = pod(workload)
    volumes = {each["name"]: each for each in spec["volumes"]}
    kept = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
    claims = {each["metadata"]["name"] for each in objects("PersistentVolumeClaim")}
    for volume in volumes.values():
        assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}
    [home] = re.findall(r"KHAYWE_HOME=(\S+)", (ROOT / "Dockerfile").read_text())
    for container in containers(workload):
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert set(mounts) <= volumes.keys() | kept
        assert mounts["home"] == home
    [main] = spec["containers"]
    mounts = {each["name"]: each for each in main["volumeMounts"]}
    assert mounts["snapshots"]["mountPath"] == literals()["KHAYWE_SNAPSHOTS"]
    # RocksDB stays with the worker's name; nobody else keeps anything.
    assert ("home" in kept) == (workload["kind"] == "StatefulSet")
    assert mounts["snapshots"].get("readOnly", False) == (workload["kind"] != "StatefulSet")


@each_workload
def test_nothing_runs_as_root(workload: dict[str, Any]) -> None:
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsUser"] > 0
    assert spec["automountServiceAccountToken"] is False
    for container in containers(workload):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_base_is_whole() -> None:
    found = kustomization()
    assert sorted(found["resources"]) == sorted(
        path.name for path in BASE.iterdir() if path.name != "kustomization.yaml"
    )
    [image] = found["images"]
    assert {container["image"] for each in workloads() for container in containers(each)} == {image["name"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert image["newTag"] == project["version"]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects()]
    assert len(names) == len(set(names))
