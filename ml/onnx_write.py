"""Trees and their calibration as an ONNX file: training only.

The file is written node by node instead of by a converter, because three things must be exact: thresholds
(a float32 feature falls on the same side as in training), covers (explanations need them), and the bytes.
"""

from __future__ import annotations

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

    def put(**values: Any) -> None:
        for name, value in values.items():
            to[name].append(value)

    def place(node: Node, number: int) -> int:
        """Put a node and what is below it; the number after the last."""
        at = len(to["nodes_nodeids"])
        put(nodes_treeids=tree, nodes_nodeids=number, nodes_truenodeids=0, nodes_falsenodeids=0)
        if len(node) == 2:
            weight, cover = node
            put(nodes_featureids=0, nodes_values=0.0, nodes_modes="LEAF", nodes_hitrates=cover)
            put(target_treeids=tree, target_nodeids=number, target_ids=target, target_weights=weight)
            return number + 1
        feature, threshold, left, right, cover = node
        put(nodes_featureids=feature, nodes_values=float_below(threshold))
        put(nodes_modes="BRANCH_LEQ", nodes_hitrates=cover)
        to["nodes_truenodeids"][at] = number + 1
        to["nodes_falsenodeids"][at] = place(left, number + 1)
        return place(right, int(to["nodes_falsenodeids"][at]))

    place(root, 0)
