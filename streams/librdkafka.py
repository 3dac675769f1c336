"""Records into librdkafka by the thousands, without an object of Python's for each; out of it: `fetching`.

confluent-kafka makes clients, and does with them all that is rare.  What is done for every record that is
written is done here by compiled code that calls the same librdkafka, by its public C API, without the GIL.
What was measured: docs/decisions/0009.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from confluent_kafka import KafkaError, KafkaException, Producer, cimpl
from numba import types
from numpy.typing import NDArray

from loyalty.compiled import compiled
from loyalty.spans import Spans

library = ctypes.CDLL(cimpl.__file__)  # its symbols, and those of the librdkafka that it brings

_name = library.rd_kafka_name
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.c_void_p]


def compiled_call(name: str, signature: Any) -> Any:
    """The same function for compiled code, which finds it by its name."""
    llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    return types.ExternalFunction(name, signature)


_address = types.intp
_c_produce = compiled_call("rd_kafka_produceva", types.intp(_address, _address, types.intp))
_c_error_code = compiled_call("rd_kafka_error_code", types.int32(_address))
_c_error_destroy = compiled_call("rd_kafka_error_destroy", types.void(_address))


def handle(client: Producer) -> int:
    """librdkafka's client behind one of confluent-kafka's: the first that stands in its object.

    That it is so has a test; it has been so since confluent-kafka 0.9.
    """
    found = ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value
    if not found or b"#producer" not in _name(found):
        raise RuntimeError(f"confluent-kafka keeps its {type(client).__name__} elsewhere")
    return found


#: rd_kafka_vu_t: what is said of a record, one after the other.
_VU = np.dtype(
    {"names": ["what", "first", "second", "third"], "formats": ["i4", "i8", "i8", "i8"],
     "offsets": [0, 8, 16, 24], "itemsize": 72}
)  # fmt: skip
_IS_TOPIC, _IS_PARTITION, _IS_VALUE, _IS_KEY, _IS_FLAGS, _IS_HEADER = 1, 3, 4, 5, 7, 9
_COPY = 2  # librdkafka copies the bytes
_AT_VALUE, _AT_KEY, _AT_ID = 3, 4, 5  # places of what changes from record to record


@compiled
def _produce(
    client: int, said: Any, begin: int, values: Any, keys: Any, ids: Any, sizes: Any, starts: Any
) -> tuple[int, int]:
    """Put records from `begin` on into the queue; the first that is not in it, and why (0: all are)."""
    count = sizes.shape[1]
    for n in range(begin, count):
        for which in range(2):
            of, base = said[_AT_VALUE + which], values if which == 0 else keys
            size = sizes[which, n]
            of.first = 0 if size < 0 else base.ctypes.data + starts[which, n]
            of.second = max(size, 0)
        if said.shape[0] > _AT_ID:
            of = said[_AT_ID]
            of.second, of.third = ids.ctypes.data + starts[2, n], sizes[2, n]
        error = _c_produce(client, said.ctypes.data, said.shape[0])
        if error != 0:
            code = _c_error_code(error)
            _c_error_destroy(error)
            return n, code
    return count, 0


class Headers(NamedTuple):
    """Of many records: the name of one that each has its own of, these, and those that all have."""

    name: str
    own: Sequence[bytes]
    common: Sequence[tuple[str, bytes]]


def produce(
    producer: Producer, topic: str, partition: int, keys: Sequence[bytes | None],
    values: Sequence[bytes | None], headers: Headers | None, full: Callable[[], None],
) -> None:  # fmt: skip
    """Queue records for a partition, -1: by their keys.  `full` is called while the queue is, and makes room.

    Raises KafkaException.
    """
    if not keys:
        return
    common = headers.common if headers is not None else ()
    kept = [ctypes.create_string_buffer(topic.encode())]  # what `said` points to
    said = np.zeros(5 + (headers is not None) + len(common), _VU)
    said["what"][:5] = _IS_TOPIC, _IS_PARTITION, _IS_FLAGS, _IS_VALUE, _IS_KEY
    said["first"][:3] = ctypes.addressof(kept[0]), partition & 0xFFFFFFFF, _COPY
    if headers is not None:
        for at, (name, value) in enumerate([(headers.name, b""), *common], _AT_ID):
            kept += [ctypes.create_string_buffer(name.encode()), ctypes.create_string_buffer(value)]
            said[at] = _IS_HEADER, ctypes.addressof(kept[-2]), ctypes.addressof(kept[-1]), len(value)
    columns = [_column(values), _column(keys), _column(headers.own if headers is not None else ())]
    sizes, starts = np.zeros((2, 3, len(keys)), np.int64)
    for n, (_, begins, lengths) in enumerate(columns):
        starts[n, : len(begins)], sizes[n, : len(lengths)] = begins, lengths
    in_values, in_keys, in_ids = (text for text, _, _ in columns)
    begin, client = 0, handle(producer)
    while True:
        begin, code = _produce(client, said, begin, in_values, in_keys, in_ids, sizes, starts)
        if code == 0:
            return
        if code != KafkaError._QUEUE_FULL:
            raise KafkaException(KafkaError(code))
        full()


def _column(
    texts: Sequence[bytes | None],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """What they all stand in, where each begins, and its length, -1 for None."""
    if isinstance(texts, Spans):
        return texts.text, texts.starts, texts.ends - texts.starts
    try:
        joined, lengths = b"".join(texts), np.fromiter(map(len, texts), np.int64, len(texts))  # type: ignore[arg-type]
    except TypeError:
        joined = b"".join(text for text in texts if text is not None)
        lengths = np.array([-1 if text is None else len(text) for text in texts], np.int64)
    sizes = np.maximum(lengths, 0)
    return np.frombuffer(joined or b"\0", np.uint8), np.cumsum(sizes) - sizes, lengths


def prepare() -> None:
    """Have it compiled before the first record comes, on no records."""
    none = np.zeros((3, 0), np.int64)
    text, _, _ = _column(())
    _produce(0, np.zeros(_AT_ID, _VU), 0, text, text, text, none, none)
