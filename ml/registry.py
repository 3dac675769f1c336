"""The models in a directory, by name and version, and how one is run.

`<directory>/<name>/<version>.onnx` are the files; `<directory>/<name>/active` holds the version that counts.
A file that cannot be used is refused when it is loaded, never when a customer waits for it.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from config.errors import KhayweError
from ml import card as cards
from ml import features
from ml.card import Card
from ml.models import DEFINITIONS, Outputs
from ml.onnx_file import BrokenFile, OnnxFile, read

SHIPPED = Path(__file__).with_name("models")
CARD = "card"  # key of the metadata
_SUFFIX = ".onnx"


class ModelError(KhayweError):
    """A model is missing, broken, of another shape, or was given what it cannot take."""


class Model:
    """A model that can be used: `card` says what it takes and gives, `file` what it is made of."""

    def __init__(self, data: bytes, where: str = "the model") -> None:
        """Load and try a model's file.  Raises ModelError; `where` names it in messages."""
        try:
            self.file: OnnxFile = read(data)
            self.card: Card = cards.decode(self.file.metadata[CARD])
        except (BrokenFile, KeyError, msgspec.MsgspecError) as error:
            raise _refused(where, f"it is no model of khaywe's ({error})") from None
        if self.card.kind not in DEFINITIONS:
            raise _refused(where, f"this version knows no models of the kind {self.card.kind!r}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is said by the exception
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common class for its errors
            raise _refused(where, f"onnxruntime cannot run it: {str(error).splitlines()[0]}") from None
        self.names = self.card.names
        self._definition = DEFINITIONS[self.card.kind]
        self._check(where)

    @property
    def version(self) -> str:
        """Its version."""
        return self.card.version

    def predict(self, values: NDArray[Any]) -> Outputs:
        """What the model says of each row of a matrix, by key (docs/models.md), with `model_version`.

        `values` has the model's features as columns, shape (n, len(names)).  Models of customers' rows also
        say who has `insufficient_history`.  Raises ModelError that names the column.
        """
        _, prediction = self.run(values)
        out = self.outputs(prediction)
        if self.card.inputs == "row":
            out["insufficient_history"] = features.insufficient_history(np.asarray(values), self.names)
        out["model_version"] = np.full(len(prediction), self.version)
        return out

    def outputs(self, prediction: NDArray[np.float32]) -> Outputs:
        """Predictions (n, targets) by key (docs/models.md), without `model_version` and the like."""
        return self._definition.outputs(prediction.astype(np.float64), self.card)

    def run(self, values: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Margins (sum of the trees) and predictions, each of shape (n, targets).  Raises ModelError."""
        taken = self._taken(values)
        if not len(taken):
            return np.zeros((0, len(self.card.targets)), np.float32), np.zeros(
                (0, len(self.card.targets)), np.float32
            )
        margin, prediction = self._session.run(["margin", "prediction"], {"features": taken})
        return margin, prediction

    def _taken(self, values: NDArray[Any]) -> NDArray[np.float32]:
        taken = np.ascontiguousarray(values, np.float32)
        if taken.ndim != 2 or taken.shape[1] != len(self.names):
            raise ModelError(
                f"{self.card.name} takes {len(self.names)} features, the matrix has the shape {taken.shape}",
                hint=f"its columns are {', '.join(self.names)}",
            )
        if not np.isfinite(taken).all():
            row, column = np.argwhere(~np.isfinite(taken))[0].tolist()
            raise ModelError(
                f"{self.names[column]} of row {row} is {taken[row, column]}, no finite number",
                hint=f"{self.card.name} takes no row with a value missing: leave it out, or fill it in",
            )
        return taken

    def _check(self, where: str) -> None:
        """The file is what its card says."""
        unknown = [name for name in self.names if name not in features.BY_NAME]
        if self.card.inputs == "row" and unknown:
            raise _refused(where, f"it wants features that this version has not: {', '.join(unknown)}")
        takes, gives = self._session.get_inputs(), self._session.get_outputs()
        shapes = [each.shape[-1] for each in (*takes, *gives)]
        targets = len(self.card.targets)
        if [each.name for each in (*takes, *gives)] != ["features", "margin", "prediction"] or shapes != [
            len(self.names), targets, targets,
        ]:  # fmt: skip
            raise _refused(
                where,
                f"it has the shape {shapes}, its card says {len(self.names)} features and {targets} targets",
            )
        if not np.isfinite(self.run(np.zeros((1, len(self.names)), np.float32))[1]).all():
            raise _refused(where, "it gives no finite number for a row of zeros")
        if len(self.file.trees.base) != targets:
            raise _refused(where, "its trees have other targets than its card")


class Registry:
    """The models of a directory."""

    def __init__(self, directory: Path = SHIPPED) -> None:
        self.directory = directory.expanduser().absolute()

    def names(self) -> list[str]:
        """Every model that has a file, in order.  Raises ModelError where there is no such directory."""
        if not self.directory.is_dir():
            raise ModelError(
                f"there is no directory {self.directory}",
                hint="set KHAYWE_MODELS to the models' directory, or unset it for those that come along",
            )
        return sorted({path.parent.name for path in self.directory.glob(f"*/*{_SUFFIX}")})

    def versions(self, name: str) -> list[str]:
        """Versions of a model, in order of their names, which begin with a date."""
        return sorted(path.stem for path in (self.directory / name).glob(f"*{_SUFFIX}"))

    def active(self, name: str) -> str:
        """The version that counts: the one activated, else the only one.  Raises ModelError."""
        known = self.names()
        if name not in known:
            raise ModelError(
                f"there is no model {name!r} in {self.directory}",
                hint=f"there are {', '.join(known)}" if known else _anew(name),
            )
        versions = self.versions(name)
        try:
            chosen = (self.directory / name / "active").read_text().strip()
        except FileNotFoundError:
            if len(versions) == 1:
                return versions[0]
            raise ModelError(
                f"{name} has {len(versions)} versions, and none is active",
                hint=f"`khaywe ml activate --model {name} --version {versions[-1]}`",
            ) from None
        return chosen

    def load(self, name: str, version: str | None = None) -> Model:
        """A model, unset: in its active version.  Raises ModelError that says what to do."""
        version = version or self.active(name)
        path = self.path(name, version)
        try:
            stat = path.stat()
            model = _model(path, f"{name} {version} ({path})", stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            found = ", ".join(self.versions(name)) or "none"
            raise ModelError(
                f"{name} {version} cannot be read: {error.strerror} ({path})",
                hint=f"versions there: {found}; `khaywe ml activate` chooses one, {_anew(name)}",
            ) from None
        if (model.card.name, model.version) != (name, version):
            raise _refused(f"{name} {version} ({path})", f"its card says {model.card.name} {model.version}")
        return model

    def add(self, data: bytes) -> Model:
        """Put a model's file where it belongs.  Raises ModelError, OSError."""
        model = Model(data)
        path = self.path(model.card.name, model.version)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, data)
        return model

    def activate(self, name: str, version: str) -> Model:
        """Let a version count from now on.  Raises ModelError for one that cannot be used, OSError."""
        model = self.load(name, version)
        _write(self.directory / name / "active", f"{version}\n".encode())
        return model

    def path(self, name: str, version: str) -> Path:
        """Where a version's file is."""
        return self.directory / name / f"{version}{_SUFFIX}"


@lru_cache(maxsize=64)
def _model(path: Path, where: str, mtime_ns: int, size: int) -> Model:
    """A file's model, read once as long as the file is the same."""
    return Model(path.read_bytes(), where)


def _write(path: Path, data: bytes) -> None:
    """Readers see the old file or the new one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_bytes(data)
    part.rename(path)


def _refused(where: str, why: str) -> ModelError:
    return ModelError(f"{where} is refused: {why}", hint=_anew(""))


def _anew(name: str) -> str:
    return f"`khaywe ml train{f' --model {name}' if name else ''}` makes it anew"
