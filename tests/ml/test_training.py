"""Training: the same bytes, thresholds exact, probabilities calibrated, figures as the issue wants them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest

from ml import figures, making, training, uci
from ml import table as tables
from ml.fitted import Fitted
from ml.models import DEFINITIONS, KINDS, UCI
from ml.onnx_write import float_below
from ml.registry import Model, Registry
from ml.table import Table
from ml.training import TrainingError, train
from tests.ml.customers import table

SMALL: dict[str, Any] = {"rounds": 20}


def test_the_same_table_gives_the_same_bytes() -> None:
    one = train("churn", table(), **SMALL)
    assert train("churn", table(), **SMALL) == one
    assert train("churn", table(), rounds=21) != one


def test_what_ships_is_what_the_command_makes() -> None:
    """For the model of the file that comes along; the others take the simulation, a minute.

    Not by bytes: those are the same on one machine (above); another processor may round otherwise.
    """
    shipped = Registry()
    path = shipped.path(UCI, shipped.active(UCI))
    ((name, made),) = making.make([UCI])
    assert name == UCI
    answers = []
    for data in (made, path.read_bytes()):
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        rows = np.abs(np.random.default_rng(5).normal(0, 40, (500, given.shape[1]))).astype(np.float32)
        answers.append(session.run(None, {given.name: rows}))
    assert len({round(float(value), 2) for value in np.ravel(answers[0][0])}) > 5
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_every_model_ships_small_and_reaches_its_aim() -> None:
    shipped = Registry()
    assert shipped.names() == sorted(KINDS)
    for name in shipped.names():
        assert shipped.versions(name) == [shipped.active(name)]
        assert shipped.path(name, shipped.active(name)).stat().st_size < 500_000
        card = shipped.load(name).card
        assert all((card.date, card.data_hash, card.limits, card.packages))
        if name in DEFINITIONS and name != "rfm":
            assert card.metrics["share_of_the_way"] >= 0.9, name
    found = shipped.load(UCI).card.metrics
    assert found["auc"] >= 0.98
    assert 0 < found["brier"] < 0.04
    assert found["lift_of_top_tenth"] > 5


@pytest.mark.parametrize(
    "name", [name for name in DEFINITIONS if name not in ("nbo", "product_recommendation")]
)
def test_the_file_says_what_lightgbm_says(name: str) -> None:
    """The margins of the file are those of the trees, row by row."""
    model = Model(train(name, table(), **SMALL))
    margin, prediction = model.run(table().values)
    fitted = training.fit(name, table(), **SMALL)
    np.testing.assert_allclose(margin, fitted.margin(table().values), rtol=1e-4, atol=1e-4)
    assert np.isfinite(prediction).all()
    if DEFINITIONS[name].link == "logit":
        assert ((prediction > 0) & (prediction < 1)).all()


def test_trees_are_lightgbms_own() -> None:
    known = ~np.isnan(table().labels["churn"]) & ~np.asarray(table().holdout)
    x, y = table().values[known], table().labels["churn"][known]
    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1, "use_missing": False, "seed": 1},
        lightgbm.Dataset(x, y), 15,
    )  # fmt: skip
    trees = [(0, training.node(tree["tree_structure"])) for tree in booster.dump_model()["tree_info"]]
    fitted = Fitted(trees, [0.0], [1.0], [0.0], np.empty((0, 1)), np.empty(0))
    np.testing.assert_allclose(fitted.margin(x)[:, 0], booster.predict(x, raw_score=True), rtol=1e-9)


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 1e-40, 16_777_217.0, 0.5, 0.0])
def test_thresholds_keep_every_float_on_its_side(threshold: float) -> None:
    below = np.float32(float_below(threshold))
    above = np.nextafter(below, np.float32(np.inf))
    assert float(below) <= threshold < float(above)


@pytest.mark.parametrize(
    "name", ["churn", "propensity", "campaign_response", "payment_default", "upsell", UCI]
)
def test_probabilities_are_calibrated(name: str) -> None:
    """A tenth of the rows is off by no more than chance allows: 3.5 standard errors, and a little."""
    for predicted, observed, rows in Registry().load(name).card.reliability:
        error = (predicted * (1 - predicted) / rows) ** 0.5
        assert abs(predicted - observed) < 3.5 * error + 0.02, (name, predicted, observed)


def test_churn_uci_on_rows_it_never_saw() -> None:
    """A fifth is left out of everything, calibration too."""
    whole = uci.table()
    out = np.arange(len(whole.values)) % 5 == 2
    seen = replace(whole, values=whole.values[~out], labels={"churn": whole.labels["churn"][~out]})
    model = Model(train(UCI, seen, list(uci.COLUMNS), **uci.PARAMETERS))
    probability = model.predict(whole.values[out])["probability"]
    y = whole.labels["churn"][out]
    assert figures.metrics.auc(probability, y) > 0.97
    assert figures.metrics.brier(probability, y) < 0.05


def test_too_little_to_learn_from_is_said() -> None:
    few = replace(table(), labels=table().labels | {"churn": np.full(len(table().values), np.nan)})
    with pytest.raises(TrainingError, match="churn: 0 customers have a label churn"):
        train("churn", few)
    none = replace(table(), labels=table().labels | {"churn": np.zeros(len(table().values))})
    with pytest.raises(TrainingError, match="but 0 of one outcome"):
        train("churn", none)
    with pytest.raises(TrainingError, match="needs the label churn"):
        train("churn", replace(table(), labels={"ltv": table().labels["ltv"]}))


def test_a_table_survives_its_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tables.write(table(), tmp_path / "t.parquet")
    read: Table = tables.read(tmp_path / "t.parquet")
    assert read.digest() == table().digest()
    assert (read.date, read.about, read.limits) == (table().date, table().about, table().limits)
    (tmp_path / "no.parquet").write_bytes(b"no")
    with pytest.raises(tables.TableUnusable, match="no Parquet file"):
        tables.read(tmp_path / "no.parquet")


def test_running_models_needs_no_training_library() -> None:
    code = (
        "import sys\n"
        "absent = ('lightgbm', 'onnx', 'sklearn', 'scipy', 'matplotlib', 'pandas')\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "import numpy as np\n"
        "from ml.explain import Explainer\n"
        "from ml.registry import Registry\n"
        "from ml import drift, features, ranking\n"
        "model = Registry().load('churn')\n"
        "values = np.zeros((2, len(model.names)), np.float32)\n"
        "print(len(model.predict(values)['probability']), len(Explainer(model).explain(values)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout == "2 2\n", found.stderr
