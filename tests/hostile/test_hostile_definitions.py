"""Mappings and catalogs made of nonsense are refused with words: no traceback, no crash, no wait."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from catalog import draft, yaml_text
from catalog.content import SourceContent
from catalog.mapping import compile_mapping
from catalog.service import parse_source
from cli.source import read_sources
from config.errors import KhayweError
from loyalty.conditions import ConditionError, parse, terms
from loyalty.content import Decisions
from loyalty.game import Game
from loyalty.vocabulary import INDEX, KINDS
from tests.hostile.mutation import Mutator

pytestmark = pytest.mark.timeout(120)  # each, on a machine that does other things too

LAUGHS = "".join(f"x{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
BOMB = "x0: &a0 [1,1,1,1,1,1,1,1,1]\n" + LAUGHS

NONSENSE: dict[str, str | bytes] = {
    "bomb": BOMB,
    "bomb in a rule": BOMB + "templates: [{number: 1, name: a, goal: {types: *a11}}]\n",
    "within itself": "templates: &a [*a]\n",
    "fields within themselves": "templates: [&a {name: *a}]\n",
    "merged with itself": "templates:\n - &a {<<: *a}\n",
    "100,000 lists": "templates: " + "[" * 100_000 + "]" * 100_000,
    "100,000 lists unclosed": "[" * 100_000,
    "20,000 fields": "templates: " + "{a: " * 20_000 + "1" + "}" * 20_000,
    "deep lines": "".join(" " * n + "a:\n" for n in range(2_000)),
    "python": "templates: !!python/object/apply:os.system ['true']",
    "NUL": "templates: \0",
    "no UTF-8": b"\xff\xfe\x00",
    "nothing": "",
    "a number": "1",
    "no date": "templates: 2020-13-45\n",
    "5,000 digits": "templates: [{number: " + "9" * 5_000 + ", name: a}]\n",
    "a number of a megabyte": "templates: [{number: " + "9" * (1 << 20) + ", name: a}]\n",
    "base 60": "templates: [{number: 1" + ":59" * 20_000 + ", name: a}]\n",
    "a name of a megabyte": "templates: [{number: 1, name: '" + "x" * (1 << 20) + "'}]\n",
    "too large": "# " + "x" * yaml_text.MOST_BYTES,
    "half a pair": 'templates: [{number: 1, name: "\\ud800"}]\n',
    "not a number": "templates: [{number: .inf, name: .nan, priority: -.inf}]\n",
    "keys of lists": "templates:\n - ? [a]\n   : 1\n",
    "unknown fields": "templates: [{number: 1, nome: a, ___: {}, '': []}]\nbudges: []\n",
    "a thousand rules without anything": "templates: ["
    + ", ".join(f"{{name: t{n}}}" for n in range(1_000))
    + "]",
}


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path) -> str:
    """The words with which a catalog is refused."""
    with pytest.raises(KhayweError) as error:
        draft.read([path]).onto(Game(), 2)
    assert words(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_no_catalog(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rules.yaml", NONSENSE[kind])
    assert str(path) in refused(path)


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_no_data_source(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "source.yaml", NONSENSE[kind])
    with pytest.raises(KhayweError):
        [parse_source(said) for said in read_sources(str(path))]


def test_the_seed_gone_wrong_is_refused_or_is_a_catalog(tmp_path: Path) -> None:
    """Seeded mutations of what khaywe comes with: whatever is not refused can be laid over a game."""
    r = Random(11)
    mutate = Mutator(r, huge_every=40)
    texts = [path.read_bytes() for path in sorted(draft.SEED.glob("*.yaml"))]
    pieces = [b"\n".join(_entries(text)) for text in texts]
    loaded = silent = 0
    for _ in range(250):
        good, other = r.choice(pieces), r.choice(pieces)
        text = mutate.binary(good, other) if r.random() < 0.5 else mutate.json(good, other)
        path = written(tmp_path / "seed.yaml", text or b"")
        try:
            draft.read([path]).onto(Game(), 2)
            loaded += 1
        except KhayweError as error:
            silent += not words(error)
    assert not silent
    assert loaded  # a comment gone wrong changes nothing


def _entries(text: bytes) -> list[bytes]:
    """The head of a file: enough to go wrong, and quick to read."""
    return text.split(b"\n")[:60]


MAPPING: dict[str, Any] = {
    "customer_id_field": "id", "timestamp_field": "at", "event_type_field": "kind", "value_field": "v",
}  # fmt: skip
#: Values of every type and size for every field.
ODD: tuple[Any, ...] = (
    None, "", " ", ".", "a..b", "a" * 100_000, ".".join(["a"] * 50_000), "\0", "\ud800", 0, -1, 10**400,
    1e308, float("nan"), float("inf"), True, [], {}, [[]], {"a": {"b": 1}}, "%", "%%", "%Q", "%Y" * 3,
    "%Y%m%d" + "x" * 10_000, "%Y-%m-%d" + " " * 10_000 + "%H", "%d" * 10_000, "(" * 5_000 + "%Y%m%d", "UTC",
    "../../etc/passwd", "Mars/Base", "a" * 10_000, "_tick", "voice_call", {"": "sms"}, {"x": "_merge"},
    {"x": "fax"}, {str(n): "sms" for n in range(9_999)}, {"_path": "a"}, {"a": ""}, {"remove": "x" * 100_000},
    {"prefixes": {"": "x"}}, {"prefixes": {"0": "1" * 9_999}},
)  # fmt: skip


def words(error: Exception) -> bool:
    """Whether it says something, and not a book."""
    return 0 < len(str(error)) < 100_000


def test_a_mapping_of_nonsense_is_refused_or_maps() -> None:
    record = {"id": "1", "at": "2020-01-01", "kind": "sms", "v": 1}
    made = talks = 0
    for field in (*MAPPING, "event_type", "event_types", "event_id_field", "value_scale", "timestamp_format",
                  "timezone", "id_format", "attributes", "attributes_field", "nonsense", ""):  # fmt: skip
        for odd in ODD:
            said = {"name": "s", "source_type": "cdr", "event_mapping": MAPPING | {field: odd}}
            try:
                parse_source(said)
            except KhayweError as error:
                talks += not words(error)
                continue
            compile_mapping(SourceContent("s", "cdr", MAPPING | {field: odd}), Decisions())(record, 0, b"")
            made += 1
    assert made > 50
    assert not talks


def test_a_connection_of_nonsense_is_refused() -> None:
    deep: Any = "string"
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}
    field = {"name": "id", "type": deep}
    connection: Any
    for connection in (
        {"format": "avro", "avro_schema": {"type": "record", "name": "a", "fields": [field]}},
        {"format": "avro", "avro_schema": {"type": "record", "name": "a", "fields": 5}},
        {"format": "avro", "avro_schema": {}}, {"format": "avro", "avro_schema": {"type": "record"}},
        {"format": "avro", "schema_registry": "file:///etc/passwd"},
        {"format": "avro", "schema_registry": "http://["}, {"format": "csv", "columns": []},
        {"format": "csv", "columns": ["a"] * 3}, {"format": "csv", "columns": ["a"], "delimiter": "\n"},
        {"kafka_topic": "a" * 300}, {"kafka_topic": ".."}, {"kafka_topic": "a\nb"}, {"nonsense": 1}, [],
        "x", 5,
    ):  # fmt: skip
        said = {"name": "s", "source_type": "cdr", "event_mapping": MAPPING, "connection_config": connection}
        with pytest.raises(KhayweError) as error:
            parse_source(said)
        assert words(error.value)


def conditions() -> Iterator[str]:
    """Texts that are mostly no condition, some as long as one may be."""
    r = Random(12)
    yield from (
        "",
        "(" * 2_000,
        "not " * 500 + "risk > 1",
        "risk > " + "9" * 1_900,
        "risk > 1e999",
        "x" * 2_000,
    )
    yield from ("risk in (" + "1," * 900 + "1)", "'" * 1_999, '"' + "\\" * 1_990, " " * 1_999, "\0", "\ud800")
    yield from (
        "(" * 49 + "risk > 1" + ")" * 49,
        "risk>1 and " * 150 + "risk>1",
        "risk > 1" * 200,
        "rİsk > 1",
    )
    words = [
        *list(KINDS)[:12], "and",
        "or", "not", "in", "is", "known", "(", ")", ",", "<", ">=", "=", "1", "-1e3",
        "'gold'", "yes", "no", "_", "1_0", "'", '"', "\\", ";", "__import__",
    ]  # fmt: skip
    for _ in range(3_000):
        yield " ".join(r.choice(words) for _ in range(r.randrange(1, 60)))


def test_conditions_of_nonsense_are_refused_or_compiled() -> None:
    compiled = silent = 0
    for text in conditions():
        try:
            compiled += bool(terms(parse(text, KINDS), lambda name, kind: INDEX[name]))
        except ConditionError as error:
            silent += not words(error)
    assert compiled
    assert not silent


def test_all_of_it_within_the_memory_of_a_small_machine() -> None:
    """Kilobytes, as Linux counts: what stood above was refused before it was built."""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20
