"""ONNX files read with nothing but NumPy: the trees of a model and its metadata, as they stand in its bytes.

onnxruntime runs a model and shows nothing of it; the library that shows it is needed for training only.
Numbers of fields are those of onnx.proto (protocol buffers, https://onnx.ai).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fields = dict[int, list[Any]]
TREES = "TreeEnsembleRegressor"


class BrokenFile(ValueError):
    """Bytes that are no ONNX file of ours."""


@dataclass(frozen=True, slots=True)
class Trees:
    """The nodes of all trees, one after the other, each array by node; `left` is taken where
    x[feature] <= threshold.  A leaf has `left` -1 and adds `weight` to the margin `target`."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    cover: NDArray[np.float64]  # training rows that came through
    weight: NDArray[np.float64]
    target: NDArray[np.int64]
    roots: NDArray[np.int64]
    base: NDArray[np.float64]  # by target


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What is read of a file: trees, constants by name, metadata."""

    trees: Trees
    constants: dict[str, NDArray[np.float32]]
    metadata: dict[str, str]


def read(data: bytes) -> OnnxFile:
    """The parts of an ONNX file.  Raises BrokenFile."""
    try:
        model = _fields(data)
        graph = _fields(model[7][0])
        metadata = {}
        for entry in model.get(14, []):
            fields = _fields(entry)
            metadata[fields[1][0].decode()] = fields[2][0].decode()
        constants = {}
        for tensor in graph.get(5, []):
            fields = _fields(tensor)
            constants[fields[8][0].decode()] = np.frombuffer(fields[9][0], "<f4")
        for node in graph.get(1, []):
            fields = _fields(node)
            if fields[4][0] == TREES.encode():
                return OnnxFile(_trees(dict(map(_attribute, fields[5]))), constants, metadata)
    except (KeyError, IndexError, UnicodeDecodeError, struct.error, ValueError) as error:
        raise BrokenFile(f"no ONNX file, or a broken one ({type(error).__name__}: {error})") from None
    raise BrokenFile(f"it has no {TREES}")


def _trees(attributes: dict[str, Any]) -> Trees:
    ids = np.array(attributes["nodes_treeids"], np.int64)
    nodes = np.array(attributes["nodes_nodeids"], np.int64)
    roots = np.flatnonzero(nodes == 0)
    first = dict(zip(ids[roots].tolist(), roots.tolist(), strict=True))
    begin = np.array([first[tree] for tree in ids.tolist()], np.int64)
    leaf = np.array([mode == b"LEAF" for mode in attributes["nodes_modes"]])
    weight, target = np.zeros(len(ids)), np.zeros(len(ids), np.int64)
    places = [
        first[tree] + node
        for tree, node in zip(attributes["target_treeids"], attributes["target_nodeids"], strict=True)
    ]
    weight[places], target[places] = attributes["target_weights"], attributes["target_ids"]
    return Trees(
        np.array(attributes["nodes_featureids"], np.int64),
        np.array(attributes["nodes_values"], np.float32),
        np.where(leaf, -1, begin + np.array(attributes["nodes_truenodeids"], np.int64)),
        np.where(leaf, -1, begin + np.array(attributes["nodes_falsenodeids"], np.int64)),
        np.array(attributes["nodes_hitrates"], np.float64),
        weight,
        target,
        roots,
        np.array(attributes["base_values"], np.float64),
    )


def _attribute(data: bytes) -> tuple[str, Any]:
    fields = _fields(data)
    name = fields[1][0].decode()
    if 7 in fields:
        return name, _floats(fields[7])
    if 8 in fields:
        return name, _ints(fields[8])
    if 9 in fields:
        return name, fields[9]
    for one in (2, 3, 4):
        if one in fields:
            return name, fields[one][0]
    return name, []


def _floats(values: list[Any]) -> list[float]:
    """Floats one by one, or packed."""
    joined = b"".join(values)
    return list(struct.unpack(f"<{len(joined) // 4}f", joined))


def _ints(values: list[Any]) -> list[int]:
    found: list[int] = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
        else:
            at = 0
            while at < len(value):
                one, at = _varint(value, at)
                found.append(one)
    return [one - (1 << 64) if one >> 63 else one for one in found]


def _fields(data: bytes) -> Fields:
    found: Fields = {}
    for number, value in _walk(data):
        found.setdefault(number, []).append(value)
    return found


def _walk(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")
