"""Records gone wrong, by a seed: bytes flipped, cut and spliced, and values that no one should send."""

from __future__ import annotations

import json
import re
from random import Random

#: JSON's tokens: a string, a number, or a word.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null')
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:')

NUMBERS = (
    b"0", b"-0", b"-0.0", b"0.1", b"-1", b"1e308", b"-1e308",
    b"1e309", b"1E400", b"-1e400", b"1e-400", b"5e-324",
    b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5",
    b"+1", b"0x10", b"1_000", b"1e", b"9007199254740993",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616",
    b"4294967296", b"65536", b"256", b"2147483648", b"1" + b"0" * 400, b"-1" + b"0" * 400, b"9" * 4_301,
    b"0." + b"3" * 5_000, b"1e" + b"9" * 30, b"0.5", b"2.5", b"1.005", b"1e15", b"1000000000000001",
)  # fmt: skip
STRINGS = (
    b'""', b'" "', b'"\\u0000"', b'"a\\u0000b"', b'"\x00"',
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"',
    b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"',
    b'"\n"', b'"\\x"', b'"\\u12"', b'"unclosed',
    b'"' + b"x" * 64 + b'"', b'"' + b"x" * 257 + b'"',
    b'"' + b"9" * 5_000 + b'"', b'"' + "é".encode() * 300 + b'"',
    b'"_tick"', b'"_merge"', b'"_command"', b'"_reservation"', b'"khaywe"', b'"template:1"', b'"campaign:1"',
    b'"nan"', b'"inf"', b'"1e400"', b'"1_0"', '"٣"'.encode(),
    '"１２"'.encode(), b'"true"', b'"null"', b'"None"',
    b'"%s%n"', b'"\'; drop table customers; --"', b'"{}"',
    b'"../../etc/passwd"', b'"\xe2\x80\xae"', b'"\xef\xbb\xbf"',
)  # fmt: skip
TIMES = (
    b'"0000-01-01T00:00:00.000Z"', b'"0001-01-01T00:00:00.000Z"', b'"9999-12-31T23:59:59.999Z"',
    b'"10000-01-01T00:00:00.000Z"', b'"-001-01-01T00:00:00.000Z"', b'"1970-01-01T00:00:00.000Z"',
    b'"1971-01-01T00:00:00.000Z"', b'"2099-12-31T23:59:59.999Z"', b'"2100-01-01T00:00:00.000Z"',
    b'"2016-12-31T23:59:60.000Z"', b'"2015-06-30T23:59:60Z"', b'"2020-02-30T00:00:00.000Z"',
    b'"2020-01-01T24:00:00.000Z"', b'"2020-01-01T00:00:00.000+14:00"', b'"2020-01-01T00:00:00+24:00"',
    b'"2020-01-01T00:00:00-23:59:59.999999"', b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"',
    b'"2020-W01-1"', b'"2020-001"', b'"20200101T000000Z"', b'"2020-01-01T00:00:00.000z"', b'"2020-01-01T00"',
    '"２０２０-01-01T00:00:00.000Z"'.encode(),
    b'"2020-01-01T00:00:00,123456789Z"', b'"2020-10-25T02:30:00.000Z"',
    b"0", b"-62135596800", b"253402300800000", b"-1", b"1577836967.5", b"1e18", b"20200101000000",
)  # fmt: skip
OTHERS = (
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]",
    b'[{"a":1}]', b'{"a":{"b":[null]}}', b"[1,2", b"{,}", b"",
    b"undefined", b"\x00", b'{"":""}', b'["_tick"]', b"[" * 70 + b"]" * 70, b"[" * 40 + b"]" * 40,
)  # fmt: skip
NASTY = (*NUMBERS, *STRINGS, *TIMES, *OTHERS)
CELLS = tuple(each for each in (text.strip(b'"') for text in NASTY) if b"," not in each)

#: As large and as deep as it gets; each is rare, or nothing else would be tried.
HUGE: tuple[bytes, ...] = (
    b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'"' + b"x" * (10 << 20) + b'"', b"1" * (2 << 20), b" " * (1 << 20), b'"' + b"\\u0000" * 150_000 + b'"',
    b"[" + b"1," * 300_000 + b"1]", b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(50_000)) + b"}",
    b'"' + b" " * 900_000 + b'"', b"[" * 500 + b"]" * 500, b"[" * 950 + b"]" * 950,
)  # fmt: skip
#: Those that a reference which hashes byte by byte can be asked about.
HUGE_FOR_ALL = tuple(each for each in HUGE if each[:1] not in (b'"', b" ") or len(each) < 100_000)
#: One record in so many has something huge in it.
HUGE_EVERY = 5_000


class Mutator:
    """Makes bad records of good ones; the same seed gives the same ones."""

    def __init__(self, random: Random, huge_every: int = HUGE_EVERY, huge: tuple[bytes, ...] = HUGE) -> None:
        self._random = random
        self._huge = huge
        self._huge_every = huge_every

    def json(self, good: bytes, other: bytes) -> bytes | None:
        """A JSON record with one to three things wrong; `other` is a record to take parts of."""
        r = self._random
        if r.randrange(self._huge_every) == 0:
            return self._token(good, r.choice(self._huge))
        found: bytes | None = good
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            if found is None:
                return None
            match r.randrange(12):
                case 0 | 1 | 2 | 3 | 4:
                    found = self._token(found, r.choice(NASTY))
                case 5:
                    found = self._again(found)
                case 6:
                    found = self._without(found)
                case 7:
                    found = self._swapped(found, other)
                case _:
                    found = self.binary(found, other)
        return found

    def csv(self, good: bytes, other: bytes) -> bytes | None:
        """A CSV line with something wrong."""
        r = self._random
        if r.random() < 0.5:
            cells = good.split(b",")
            cells[r.randrange(len(cells))] = r.choice(CELLS)
            return b",".join(cells)
        if r.randrange(self._huge_every) == 0:
            return good + r.choice(self._huge)
        return self.binary(good, other)

    def binary(self, good: bytes, other: bytes) -> bytes | None:
        """Bytes with something wrong, whatever they mean."""
        r = self._random
        at = r.randrange(len(good) + 1)
        match r.randrange(10):
            case 0:
                return good[:at]
            case 1:
                return good[at:]
            case 2:
                return good[:at] + other[r.randrange(len(other) + 1) :]
            case 3:
                return good[:at] + r.randbytes(r.randrange(1, 9)) + good[at:]
            case 4:
                end = at + r.randrange(1, 20)
                return good[:at] + good[end:]
            case 5:
                return good[:at] + r.choice(NASTY) + good[at:]
            case 6 | 7 | 8:
                flipped = bytearray(good)
                for _ in range(r.choice((1, 1, 2, 8)) if flipped else 0):
                    flipped[r.randrange(len(flipped))] ^= 1 << r.randrange(8)
                return bytes(flipped)
        return r.choice((None, b"", good + good, good + b"\x00", b"\xef\xbb\xbf" + good, b" " + good + b"\n"))

    def _token(self, good: bytes, new: bytes) -> bytes:
        """Another value, or another key, in place of one."""
        spans = [match.span() for match in _TOKEN.finditer(good)]
        if not spans:
            return new
        start, end = self._random.choice(spans)
        return good[:start] + new + good[end:]

    def _again(self, good: bytes) -> bytes:
        """A key twice, with another value: before or after."""
        keys: list[bytes] = _KEY.findall(good)
        if not keys:
            return good
        pair = b'"' + self._random.choice(keys) + b'":' + self._random.choice(NASTY)
        if self._random.random() < 0.5:
            return good.replace(b"{", b"{" + pair + b",", 1)
        return good[: good.rfind(b"}")] + b"," + pair + b"}"

    def _without(self, good: bytes) -> bytes:
        """A member less, or under another name."""
        try:
            members = json.loads(good)
        except (ValueError, RecursionError):
            return good
        if not isinstance(members, dict) or not members:
            return good
        name = self._random.choice(list(members))
        value = members.pop(name)
        if self._random.random() < 0.5:
            members[self._random.choice((name.upper(), name + " ", "_" + name, ""))] = value
        return json.dumps(members).encode("utf-8", "backslashreplace")

    def _swapped(self, good: bytes, other: bytes) -> bytes:
        """A value of another record in place of one."""
        values = _TOKEN.findall(other)
        return self._token(good, self._random.choice(values)) if values else good
