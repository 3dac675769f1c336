"""Where a key goes: murmur2, as Java, Faust and librdkafka's `murmur2_random` place it."""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


@lru_cache(maxsize=100_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Partition, from 0, of a record with that key in a topic of so many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(key: bytes) -> int:
    """MurmurHash2 (Austin Appleby), 32 bits, with the seed that Kafka uses; unsigned."""
    length = len(key)
    whole = length & ~3
    h = _SEED ^ length
    for start in range(0, whole, 4):
        k = int.from_bytes(key[start : start + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15
