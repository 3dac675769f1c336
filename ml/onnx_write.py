"""Trees and their calibration as an ONNX file: training only.

The file is written node by node instead of by a converter, because three things must be exact: thresholds
(a float32 feature falls on the same side as in training), covers (explanations need them), and the bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper

from ml.onnx_file import TREES

IR_VERSION, OPSET, ML_OPSET = 8, 17, 3
INPUT, MARGIN, PREDICTION = "features", "margin", "prediction"
#: A node as (feature, threshold, left, right, cover), a leaf as (weight, cover).
Node = tuple[int, float, "Node", "Node", float] | tuple[float, float]


def write(
    trees: Sequence[tuple[int, Node]],
    base: Sequence[float],
    slope: Sequence[float],
    shift: Sequence[float],
    link: str,
    width: int,
    metadata: dict[str, str],
) -> bytes:
    """The file of trees (target, root): margin = base + leaves, prediction = link(slope x margin + shift).

    `link` is logit (a probability), log (an amount) or identity.  The last three sequences are by target.
    """
    count = len(base)
    attributes: dict[str, Any] = {name: [] for name in _LISTS}
    for number, (target, root) in enumerate(trees):
        _flatten(attributes, number, target, root)
    nodes = [
        helper.make_node(
            TREES, [INPUT], [MARGIN], domain="ai.onnx.ml", n_targets=count, base_values=list(base),
            aggregate_function="SUM", post_transform="NONE", **attributes,
        ),
        helper.make_node("Mul", [MARGIN, "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["calibrated"]),
        helper.make_node(_OPERATORS[link], ["calibrated"], [PREDICTION]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "khaywe",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", width])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", count])
            for name in (MARGIN, PREDICTION)
        ],
        [
            helper.make_tensor(
                name, TensorProto.FLOAT, [1, count], np.array(values, "<f4").tobytes(), raw=True
            )
            for name, values in (("slope", slope), ("shift", shift))
        ],
    )
    model = helper.make_model(
        graph,
        producer_name="khaywe",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )
    helper.set_model_props(model, metadata)
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def float_below(threshold: float) -> float:
    """The greatest float32 that is not above a float64: x <= one is x <= the other for every float32 x."""
    near = np.float32(threshold)
    return float(near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf)))


_OPERATORS = {"logit": "Sigmoid", "log": "Exp", "identity": "Identity"}
_LISTS = (
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes",
    "nodes_truenodeids", "nodes_falsenodeids", "nodes_hitrates", "target_treeids", "target_nodeids",
    "target_ids", "target_weights",
)  # fmt: skip


def _flatten(to: dict[str, Any], tree: int, target: int, root: Node) -> None:
    """Nodes are numbered in the order in which a walk from the left meets them: the root is 0."""

    def place(node: Node, number: int) -> int:
        leaf = len(node) == 2
        feature, threshold = (0, 0.0) if leaf else (int(node[0]), float_below(float(node[1])))  # type: ignore[arg-type]
        at = len(to["nodes_nodeids"])
        for name, value in (
            ("nodes_treeids", tree), ("nodes_nodeids", number), ("nodes_featureids", feature),
            ("nodes_values", threshold), ("nodes_modes", "LEAF" if leaf else "BRANCH_LEQ"),
            ("nodes_truenodeids", 0), ("nodes_falsenodeids", 0), ("nodes_hitrates", float(node[-1])),  # type: ignore[arg-type]
        ):  # fmt: skip
            to[name].append(value)
        if leaf:
            assert math.isfinite(node[0])  # type: ignore[arg-type]
            for name, value in (
                ("target_treeids", tree), ("target_nodeids", number), ("target_ids", target),
                ("target_weights", float(node[0])),  # type: ignore[arg-type]
            ):  # fmt: skip
                to[name].append(value)
            return number + 1
        to["nodes_truenodeids"][at] = number + 1
        after = place(node[2], number + 1)  # type: ignore[arg-type]
        to["nodes_falsenodeids"][at] = after
        return place(node[3], after)  # type: ignore[arg-type, misc]

    place(root, 0)
