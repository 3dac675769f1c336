"""The Kubernetes manifests, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).parents[2] / "deploy/kubernetes/base"


def kustomization() -> dict[str, Any]:
    """What kustomize makes of the files."""
    found: dict[str, Any] = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    return found


def objects(*kinds: str) -> list[dict[str, Any]]:
    """Every object of these kinds; of all where none is named."""
    every = [
        each
        for name in kustomization()["resources"]
        for each in yaml.safe_load_all((BASE / name).read_text())
    ]
    return [each for each in every if not kinds or each["kind"] in kinds]


def workloads() -> list[dict[str, Any]]:
    """What runs pods."""
    return objects("StatefulSet", "Deployment")


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    """The spec of its pods."""
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def containers(workload: dict[str, Any]) -> list[dict[str, Any]]:
    """Its containers, those that run for good first."""
    spec = pod(workload)
    return [*spec["containers"], *spec.get("initContainers", [])]


def literals() -> dict[str, str]:
    """Settings of the ConfigMap."""
    [generator] = kustomization()["configMapGenerator"]
    return dict(each.split("=", 1) for each in generator["literals"])
