"""Rows of a real PostgreSQL and records of files: in order, each once, from where the last run ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import create_engine, text

from catalog.connectors import pages
from catalog.connectors.config import Fetched
from catalog.connectors.opening import open_connector
from catalog.connectors.pages import ConnectorError, Page
from config.settings import Settings

Execute = Callable[[str], None]


def fetch(how: dict[str, Any], cursor: str | None = None, imports: Path | None = None) -> list[Page]:
    config = TypeAdapter(Fetched).validate_python(how)
    return list(open_connector(config, Settings(_env_file=None, imports=imports)).pages(cursor))


def ids(found: list[Page]) -> list[Any]:
    return [record["id"] for page in found for record in page.records]


# SQL


@pytest.fixture
def execute(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Execute]:
    engine = create_engine(database)
    monkeypatch.setenv("KHAYWE_SECRET_BILLING", database)

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    run("create table payments (id int, msisdn text, amount numeric(12,3), at timestamptz, note bytea)")
    yield run
    engine.dispose()


def rows(*given: tuple[int, str]) -> str:
    values = ", ".join(f"({n}, '48{n}', {n}.500, '{at}', null)" for n, at in given)
    return f"insert into payments values {values}"


def sql(**more: Any) -> dict[str, Any]:
    query = "select id, msisdn, amount, at from payments where msisdn like '48%' -- those here"
    return {"kind": "sql", "database": "env:BILLING", "query": query, "cursor_field": "at"} | more


def test_rows_come_in_order_each_once_and_exact(execute: Execute) -> None:
    execute(
        rows((2, "2026-01-02 00:00:00.000001+00"), (1, "2026-01-01 01:00+01"), (3, "2026-01-02 00:00+00"))
    )
    first = fetch(sql())
    assert [record for page in first for record in page.records] == [
        {"id": 1, "msisdn": "481", "amount": Decimal("1.500"), "at": "2026-01-01T00:00:00Z"},
        {"id": 3, "msisdn": "483", "amount": Decimal("3.500"), "at": "2026-01-02T00:00:00Z"},
        {"id": 2, "msisdn": "482", "amount": Decimal("2.500"), "at": "2026-01-02T00:00:00.000001Z"},
    ]
    assert b'"amount":1.500' in pages.encode(first[0].records[0])
    execute(rows((4, "2026-01-02 00:00:00.000001+00"), (5, "2026-01-03"), (6, "2025-12-31")))
    second = fetch(sql(), first[-1].cursor)
    assert ids(second) == [4, 5]  # 6 is of before: the column only grows
    assert ids(fetch(sql(), second[-1].cursor)) == []


@pytest.mark.parametrize("page", [1, 2, 3, 10])
def test_pages_may_end_among_rows_of_one_moment(execute: Execute, page: int) -> None:
    execute(rows(*((n, f"2026-01-0{1 + n // 4}") for n in range(10))))
    found = fetch(sql(page=page))
    assert sorted(ids(found)) == list(range(10))
    assert len(found) == -(-10 // page)
    for number, one in enumerate(found):
        later = fetch(sql(page=page), one.cursor)
        assert sorted(ids(found[: number + 1]) + ids(later)) == list(range(10))


def test_a_number_as_cursor_and_where_to_start(execute: Execute) -> None:
    execute(rows(*((n, "2026-01-01") for n in range(1, 12))))
    how = sql(cursor_field="id", cursor_start="9", page=2)
    found = fetch(how)
    assert ids(found) == [9, 10, 11]
    assert ids(fetch(how, found[-1].cursor)) == []
    assert ids(fetch(sql(cursor_field=None))) == list(range(1, 12))


def test_too_many_rows_of_one_moment_are_told(execute: Execute, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_ALIKE", 5)
    execute(rows(*((n, "2026-01-01") for n in range(6))))
    with pytest.raises(ConnectorError, match="more than 5 records have at = "):
        fetch(sql())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"query": "select 1 as a, 2 as a", "cursor_field": None}, "two columns 'a'"),
        ({"query": "select nothing from payments"}, 'column "nothing" does not exist'),
        ({"query": "delete from payments returning *"}, "syntax error"),
        ({"query": "with d as (delete from payments returning *) select * from d"}, "top level|read-only"),
        ({"query": "select pg_sleep(5), now() as at"}, "statement timeout"),
        ({"database": "env:ELSEWHERE"}, "refused|failed"),
    ],
)
def test_what_fails_is_told_and_writes_nothing(
    execute: Execute, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("KHAYWE_SECRET_ELSEWHERE", "postgresql://nobody:pw@127.0.0.1:9/none")
    execute(rows((1, "2026-01-01")))
    with pytest.raises(ConnectorError, match=message) as error:
        fetch(sql(timeout=0.3, **how))
    assert "pw" not in str(error.value)
    assert ids(fetch(sql())) == [1]


# Files


@pytest.fixture
def imports(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def write(path: Path, content: str, age: float = 3_600) -> Path:
    path.write_text(content)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def files(**more: Any) -> dict[str, Any]:
    return {"kind": "files", "folder": "in"} | more


def test_all_kinds_in_the_order_of_their_names(imports: Path) -> None:
    folder = imports / "in"
    write(folder / "b.jsonl", '{"id": 3}\n\n{"id": 4, "x": {"y": 1}}\n')
    write(folder / "a.csv", "id;x\n1;a\n2;b\n")
    parquet.write_table(pa.table({"id": [5, 6]}), folder / "c.parquet")
    for name in (".hidden.csv", "d.csv.tmp", "e.part", "readme.txt"):
        write(folder / name, "id\n9\n")
    found = fetch(files(delimiter=";"), imports=imports)
    assert ids(found) == ["1", "2", 3, 4, 5, 6]
    assert ids(fetch(files(delimiter=";"), found[-1].cursor, imports)) == []
    assert ids(fetch(files(pattern="b.*"), imports=imports)) == [3, 4]


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_it_goes_on_behind_every_page_of_a_file(imports: Path, page: int) -> None:
    write(imports / "in" / "1.csv", "id\n" + "".join(f"{n}\n" for n in range(5)))
    write(imports / "in" / "2.csv", "id\n" + "".join(f"{n}\n" for n in range(5, 9)))
    how = files(page=page)
    found = fetch(how, imports=imports)
    for number, one in enumerate(found):
        later = fetch(how, one.cursor, imports)
        assert ids(found[: number + 1]) + ids(later) == [str(n) for n in range(9)]


def test_the_last_file_may_grow_and_later_ones_come(imports: Path) -> None:
    path = write(imports / "in" / "1.jsonl", '{"id": 1}\n{"id": 2}\n{"id"', age=0)
    first = fetch(files(), imports=imports)
    assert ids(first) == [1, 2]
    write(path, '{"id": 1}\n{"id": 2}\n{"id": 3}\n{"id": 4}', age=0)
    second = fetch(files(), first[-1].cursor, imports)
    assert ids(second) == [3]
    write(path, '{"id": 1}\n{"id": 2}\n{"id": 3}\n{"id": 4}')  # left alone since
    third = fetch(files(), second[-1].cursor, imports)
    assert ids(third) == [4]
    write(imports / "in" / "2.jsonl", '{"id": 5}\n')
    write(imports / "in" / "0.jsonl", '{"id": 0}\n')  # comes too late
    assert ids(fetch(files(), third[-1].cursor, imports)) == [5]


def test_a_file_that_is_read_is_not_opened_again(imports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(imports / "in" / "1.csv", "id\n1\n2\n")
    cursor = fetch(files(page=2), imports=imports)[-1].cursor
    monkeypatch.setattr("catalog.connectors.files.open_records", None)
    assert fetch(files(page=2), cursor, imports) == []


def test_a_file_being_written_waits_and_a_broken_one_is_told(imports: Path) -> None:
    folder = imports / "in"
    whole = folder / "2.parquet"
    parquet.write_table(pa.table({"id": [2]}), whole)
    content = whole.read_bytes()
    write(folder / "1.csv", "id\n1\n")
    whole.write_bytes(content[:-20])
    first = fetch(files(), imports=imports)
    assert ids(first) == ["1"]
    whole.write_bytes(content)
    assert ids(fetch(files(), first[-1].cursor, imports)) == [2]

    write(folder / "3.jsonl", '{"id": 3}\n{"id": \n{"id": 5}\n')
    connector = open_connector(TypeAdapter(Fetched).validate_python(files()), Settings(imports=imports))
    later = connector.pages(first[-1].cursor)
    assert [ids([next(later)]) for _ in range(2)] == [[2], [3]]
    with pytest.raises(ConnectorError, match=r"3.jsonl, line 2: no JSON object"):
        next(later)


def test_nothing_outside_is_read(imports: Path, tmp_path: Path) -> None:
    outside = write(tmp_path.parent / f"{tmp_path.name}-secret.csv", "id\n1\n")
    (imports / "in" / "a.csv").symlink_to(outside)
    with pytest.raises(ConnectorError, match="link out of KHAYWE_IMPORTS"):
        fetch(files(), imports=imports)
    (imports / "out").symlink_to(tmp_path.parent)
    with pytest.raises(ConnectorError, match="leads out of KHAYWE_IMPORTS"):
        fetch(files(folder="out"), imports=imports)
    with pytest.raises(ConnectorError, match="cannot be read"):
        fetch(files(folder="nothing"), imports=imports)
    for folder in ("/etc", "../x", "a/../../x", ""):
        with pytest.raises(ValidationError, match="folder"):
            fetch(files(folder=folder), imports=imports)
    for pattern in ("", "a/*.csv"):
        with pytest.raises(ValidationError, match="pattern"):
            fetch(files(pattern=pattern), imports=imports)
