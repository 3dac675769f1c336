"""The columns of the Iranian Churn file: a real operator's customers, on which the training path is proven.

Data: `ml/data/churn_train.csv`, with its attribution beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ml.card import Column
from ml.files import read_csv
from ml.models import UCI
from ml.table import Table

FILE = Path(__file__).with_name("data") / "churn_train.csv"
LABEL = "Churn"
_9 = "9 months"
COLUMNS: tuple[Column, ...] = (
    Column("Call Failure", "count", _9, "Failed calls", least=0),
    Column("Complains", "0 or 1", _9, "Complaint", allowed=[0, 1]),
    Column("Subscription Length", "months", "", "Months of subscription", least=0),
    Column("Charge Amount", "step", _9, "Step of the amount charged", least=0),
    Column("Seconds of Use", "seconds", _9, "Seconds of calls", least=0),
    Column("Frequency of use", "calls", _9, "Calls", least=0),
    Column("Frequency of SMS", "messages", _9, "SMS", least=0),
    Column("Distinct Called Numbers", "count", _9, "Numbers called", least=0),
    Column("Age Group", "group", "", "Age group", allowed=[1, 2, 3, 4, 5]),
    Column("Tariff Plan", "code", "", "Tariff (1 pay as you go, 2 contract)", allowed=[1, 2]),
    Column("Status", "code", "", "Status (1 active, 2 not)", allowed=[1, 2]),
    Column("Age", "years", "", "Age", least=0),
    Column("Customer Value", "figure", _9, "The operator's value of the customer", least=0),
)
#: LightGBM's parameters for so few rows: deeper trees, of some of the columns each.
PARAMETERS = {
    "num_leaves": 24, "rounds": 170, "learning_rate": 0.04, "min_data_in_leaf": 10, "lambda_l2": 0.5,
    "feature_fraction": 0.7, "feature_fraction_bynode": 0.7,
}  # fmt: skip


def table(path: Path = FILE, date: str = "") -> Table:
    """The training table of a file with these columns and the label.  Raises FileUnusable."""
    values, label = read_csv(str(path), list(COLUMNS), LABEL)
    assert label is not None
    own = path == FILE
    return Table(
        tuple(column.name for column in COLUMNS),
        values,
        {"churn": label.astype(np.float64)},
        None,
        f"{len(values):,} customers of an Iranian operator: UCI Machine Learning Repository, data set 563 "
        "(Jafari-Marandi, Denton, Idris, Smith, Keramati 2020), CC BY 4.0; ml/data/churn_train.csv"
        if own
        else f"{len(values):,} customers of {path.name}",
        "2020" if own else date or _date(path),
        limits=[
            "One operator, one year, few customers: it shows that the training path works on real ones.",
            f"Figures are of {UCI}'s cross-validation: each row was predicted by trees that did not see it.",
        ],
    )


def _date(path: Path) -> str:
    """The day the file was last changed: a date of the data, not of the training."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
