"""Versions come while a worker runs: good ones are taken over, bad ones refused, the old one goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from loyalty.asking import INLINE, Ask
from loyalty.effects import Cause
from ml import drift, features
from ml.drift import Reservoir
from ml.registry import SHIPPED, ModelError, Registry
from ml.rules import VERSION
from ml.serving import NAMES, RULES, Serving
from tests.ml.customers import small, table
from tests.ml.test_serving import Content


@pytest.fixture
def models(tmp_path: Path) -> Registry:
    """A directory of one's own with all models."""
    shutil.copytree(SHIPPED, tmp_path / "models")
    return Registry(tmp_path / "models")


def other(models: Registry, name: str) -> str:
    """Add the same model under another version; which one."""
    old = models.active(name)
    data = models.path(name, old).read_bytes().replace(old.encode(), f"{old[:-1]}x".encode())
    return models.add(data).version


def activate(models: Registry, name: str, version: str) -> None:
    """As somebody may who does not ask khaywe."""
    (models.directory / name / "active").write_text(f"{version}\n")


def said(serving: Serving) -> dict[str, dict[str, object]]:
    """What the inline models say of one customer."""
    ask = Ask(b"c", INLINE, 1_735_689_600_000, 1, Cause("cdr", "e"))
    found = serving.answer([ask], small()[0].rows[:1], Content())
    record: dict[str, dict[str, dict[str, object]]] = json.loads(found.effects[0].value or b"")
    return record["models"]


def test_a_version_that_is_activated_answers_from_then_on(models: Registry) -> None:
    serving = Serving(models.directory)
    old, new = models.active("churn"), other(models, "churn")
    assert serving.poll() == []
    assert said(serving)["churn"]["model_version"] == old
    models.activate("churn", new)
    assert said(serving)["churn"]["model_version"] == old, "not before it is looked for"
    assert serving.poll() == [("churn", new, "")]
    assert said(serving)["churn"]["model_version"] == new
    assert serving.poll() == []
    models.activate("churn", old)
    assert serving.poll() == [("churn", old, "")]


@pytest.mark.parametrize(
    "fault", ["missing", "broken", "cut", "another model", "another kind", "of a file", "nameless"]
)
def test_what_cannot_be_used_keeps_the_old_one_and_is_told_once(models: Registry, fault: str) -> None:
    serving = Serving(models.directory)
    old = models.active("churn")
    path = models.path("churn", "bad")
    good = models.path("churn", old).read_bytes()
    if fault == "broken":
        path.write_bytes(b"no model")
    elif fault == "cut":
        path.write_bytes(good[: len(good) // 2])
    elif fault == "another model":
        version = models.active("upsell")
        path = Path(shutil.copy(models.path("upsell", version), models.path("churn", version)))
    elif fault == "another kind":
        path = models.path("churn", old[:-1] + "y")
        data = good.replace(old.encode(), path.stem.encode())
        path.write_bytes(data.replace(b'"kind":"churn"', b'"kind":"ltv"  '))
    elif fault == "of a file":
        version = models.active("churn-uci")
        data = models.path("churn-uci", version).read_bytes()
        path = models.path("churn", version)
        # The card of a model that takes a file's columns, under this one's name: a byte for each that goes.
        path.write_bytes(data.replace(b'"name":"churn-uci"', b'"name":"churn"    '))
    activate(models, "churn", "" if fault == "nameless" else path.stem)
    (switch,) = serving.poll()
    assert switch.model == "churn"
    assert switch.refused
    assert said(serving)["churn"]["model_version"] == old
    assert serving.poll() == [], "told once"

    path.unlink(missing_ok=True)
    path = models.path("churn", "2030-01-01-00000000"[: len(old)])
    path.write_bytes(good.replace(old.encode(), path.stem.encode()))
    activate(models, "churn", path.stem)
    assert serving.poll() == [("churn", path.stem, "")], "and the next good one is taken"


def test_a_file_that_comes_later_is_tried_again(models: Registry) -> None:
    serving = Serving(models.directory)
    new = other(models, "nbo")
    data = models.path("nbo", new).read_bytes()
    models.path("nbo", new).unlink()
    activate(models, "nbo", new)
    (switch,) = serving.poll()
    assert "cannot be read" in switch.refused
    models.path("nbo", new).write_bytes(data)
    assert serving.poll() == [("nbo", new, "")]


@pytest.mark.parametrize("name", NAMES)
def test_without_a_model_nothing_starts(models: Registry, name: str) -> None:
    shutil.rmtree(models.directory / name)
    with pytest.raises(ModelError, match=f"no model {name} to predict with") as refused:
        Serving(models.directory)
    assert "KHAYWE_MODEL_FALLBACK=rules" in refused.value.hint
    assert f"khaywe ml train --model {name}" in refused.value.hint or "there are" in refused.value.hint


def test_rules_answer_only_where_they_may_and_say_so(models: Registry) -> None:
    new = other(models, "churn")
    kept = models.path("churn", new).read_bytes()
    shutil.rmtree(models.directory / "churn")
    serving = Serving(models.directory, RULES)
    found = said(serving)
    assert (found["churn"]["fallback"], found["churn"]["model_version"]) == (True, VERSION)
    assert found["nbo"]["fallback"] is False
    models.add(kept)
    assert serving.poll() == [("churn", new, "")]
    assert said(serving)["churn"]["fallback"] is False


def test_the_reservoir_keeps_so_many_of_about_the_last() -> None:
    sample = Reservoir(1)
    sample.add(np.zeros((Reservoir.LEAST - 1, 1), np.float32))
    assert sample.rows() is None, "too few to speak of"
    for start in range(0, 400_000, 1_000):
        sample.add(np.arange(start, start + 1_000, dtype=np.float32)[:, None])
    rows = sample.rows()
    assert rows is not None
    assert rows.shape == (Reservoir.ROWS, 1)
    assert 250_000 < float(np.median(rows)) < 350_000, "the older, the rarer"
    late = Reservoir(1)
    for n in range(Reservoir.ROWS + 100 * Reservoir.STRIDE):  # one at a time
        late.add(np.full((1, 1), n, np.float32))
    rows = late.rows()
    assert rows is not None
    assert 90 <= (rows >= Reservoir.ROWS).sum() <= 100


def test_drift_is_of_what_was_served(models: Registry) -> None:
    serving = Serving(models.directory)
    assert serving.drift() == ({}, {})
    values = table().values
    serving.sample.add(values)
    by_feature, by_score = serving.drift()
    assert set(by_feature) == set(features.NAMES)
    assert {model for model, _ in by_score} == set(NAMES)
    assert by_feature["calls_30d"] < drift.STABLE
    assert by_score["churn", "churn"] < drift.STABLE
    silent = values.copy()
    for name in ("uses_7d", "active_days_7", "active_days_30", "active_weeks_12"):
        silent[:, features.NAMES.index(name)] = 0
    serving.sample = Reservoir(values.shape[1])
    serving.sample.add(silent)
    by_feature, by_score = serving.drift()
    assert by_feature["uses_7d"] > drift.MOVED
    assert by_feature["calls_30d"] < drift.STABLE
    assert by_score["churn", "churn"] > drift.MOVED
