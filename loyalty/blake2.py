"""BLAKE2b of many texts at once, 16 bytes each (RFC 7693, without a key): the ids of effects.

The same bytes as `hashlib.blake2b(text, digest_size=16)`, which takes three times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.compiled import compiled

HEX = 32  # characters of an id
_BLOCK = 128  # bytes
_IV: NDArray[np.uint64] = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_FIRST = np.uint64(0x6A09E667F3BCC908 ^ 0x01010000 ^ HEX // 2)  # with the parameters: no key, so many bytes
#: Which words of a block each of the 12 rounds mixes in.
_SIGMA: NDArray[np.uint8] = np.array(
    [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
        14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3,
        11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4,
        7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8,
        9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13,
        2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9,
        12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11,
        13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10,
        6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5,
        10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0,
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
        14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3,
    ],
    np.uint8,
)  # fmt: skip
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_BITS = np.uint64(64)
_R1, _R2, _R3, _R4 = np.uint64(32), np.uint64(24), np.uint64(16), np.uint64(63)


@compiled
def _turned(word: Any, by: Any) -> Any:
    return (word >> by) | (word << (_BITS - by))


@compiled
def _mixed(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    a = a + b + x
    d = _turned(d ^ a, _R1)
    c = c + d
    b = _turned(b ^ c, _R2)
    a = a + b + y
    d = _turned(d ^ a, _R3)
    c = c + d
    b = _turned(b ^ c, _R4)
    return a, b, c, d


@compiled
def _compress(h: NDArray[np.uint64], m: NDArray[np.uint64], length: Any, last: Any) -> None:
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = _IV[4] ^ length, _IV[5], _IV[6] ^ last, _IV[7]
    for start in range(0, 192, 16):
        s = _SIGMA[start : start + 16]
        v0, v4, v8, v12 = _mixed(v0, v4, v8, v12, m[s[0]], m[s[1]])
        v1, v5, v9, v13 = _mixed(v1, v5, v9, v13, m[s[2]], m[s[3]])
        v2, v6, v10, v14 = _mixed(v2, v6, v10, v14, m[s[4]], m[s[5]])
        v3, v7, v11, v15 = _mixed(v3, v7, v11, v15, m[s[6]], m[s[7]])
        v0, v5, v10, v15 = _mixed(v0, v5, v10, v15, m[s[8]], m[s[9]])
        v1, v6, v11, v12 = _mixed(v1, v6, v11, v12, m[s[10]], m[s[11]])
        v2, v7, v8, v13 = _mixed(v2, v7, v8, v13, m[s[12]], m[s[13]])
        v3, v4, v9, v14 = _mixed(v3, v4, v9, v14, m[s[14]], m[s[15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


@compiled
def _digests(
    data: NDArray[np.uint8], places: NDArray[np.int64], block: NDArray[np.uint8], m: NDArray[np.uint64],
    h: NDArray[np.uint64], out: NDArray[np.uint8],
) -> None:  # fmt: skip
    """`block` (the same bytes as `m`) and `h` are scratch space."""
    for n in range(out.shape[0]):
        start, end = places[n], places[n + 1]
        at = start
        h[0] = _FIRST
        for i in range(1, 8):
            h[i] = _IV[i]
        while True:
            count = min(end - at, _BLOCK)
            for i in range(count):
                block[i] = data[at + i]
            for i in range(count, _BLOCK):
                block[i] = 0
            at += count
            last = at == end
            _compress(h, m, np.uint64(at - start), ~np.uint64(0) if last else np.uint64(0))
            if last:
                break
        for i in range(HEX // 2):
            byte = (h[i >> 3] >> np.uint64(8 * (i & 7))) & np.uint64(255)
            out[n, 2 * i] = _DIGITS[byte >> np.uint64(4)]
            out[n, 2 * i + 1] = _DIGITS[byte & np.uint64(15)]


def digests(data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The hash of each text as HEX hexadecimal digits, (texts, HEX).

    `places` of `data` are where each begins, and where the last ends.
    """
    out = np.empty((len(places) - 1, HEX), np.uint8)
    block = np.empty(_BLOCK, np.uint8)
    _digests(data, places, block, block.view(np.uint64), np.empty(8, np.uint64), out)
    return out
