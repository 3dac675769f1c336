"""Records of an HTTP API that a real server answers for: pages, cursors, auth, tries, and what is refused."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from catalog.connectors import rest
from catalog.connectors.config import Fetched
from catalog.connectors.opening import open_connector
from catalog.connectors.pages import ConnectorError, Page
from catalog.secrets import NoSecret
from config.settings import Settings
from tests.catalog.http_api import Answer, Api, Asked, serving

ROWS: list[dict[str, Any]] = [{"id": n, "at": f"2026-01-{n:02}T00:00:00Z"} for n in range(1, 8)]


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


class Waits:
    """Pauses that are noted and not made."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def fetch(api: Api, cursor: str | None = None, waits: Waits | None = None, **how: Any) -> list[Page]:
    said = {"kind": "rest", "url": f"{api.url}/rows", **how}
    config = TypeAdapter(Fetched).validate_python(said)
    connector = open_connector(config, Settings(_env_file=None), waits or Waits())
    return list(connector.pages(cursor))


def ids(pages: list[Page]) -> list[int]:
    return [record["id"] for page in pages for record in page.records]


def by_number(asked: Asked, size: int = 3) -> Answer:
    page = int(asked.params["page"]) - 1
    return Answer({"data": {"rows": ROWS[page * size : (page + 1) * size]}})


def by_offset(asked: Asked) -> Answer:
    offset = int(asked.params["offset"])
    return Answer(ROWS[offset : offset + 2])  # fewer than it is asked for


def by_cursor(asked: Asked) -> Answer:
    at = int(asked.params.get("after", "k0")[1:])
    following = f"k{at + 3}" if at + 3 < len(ROWS) else None
    return Answer({"rows": ROWS[at : at + 3], "meta": {"next": following}})


def by_link(api: Api) -> Any:
    def answer(asked: Asked) -> Answer:
        at = int(asked.params.get("p", 0))
        link = {"Link": f'</rows?p={at + 3}>; rel="next", </rows>; rel="first"'} if at + 3 < len(ROWS) else {}
        return Answer(ROWS[at : at + 3], headers=link)

    return answer


HOW: dict[str, tuple[Any, dict[str, Any]]] = {
    "page": (lambda _: by_number, {"records": "data.rows", "paging": {"kind": "page"}}),
    "offset": (lambda _: by_offset, {"paging": {"kind": "offset", "size": 5}}),
    "cursor": (
        lambda _: by_cursor,
        {"records": "rows", "paging": {"kind": "cursor", "field": "meta.next", "param": "after"}},
    ),
    "link": (by_link, {"paging": {"kind": "link"}}),
}


@pytest.mark.parametrize("kind", HOW)
def test_every_record_comes_once_whatever_the_paging(api: Api, kind: str) -> None:
    answers, how = HOW[kind]
    api.answer = answers(api)
    assert ids(fetch(api, **how)) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("kind", HOW)
def test_it_goes_on_behind_every_page(api: Api, kind: str) -> None:
    answers, how = HOW[kind]
    api.answer = answers(api)
    how = how | {"cursor_field": "at", "cursor_param": "since"}
    pages = fetch(api, **how)
    for number, page in enumerate(pages):
        later = fetch(api, page.cursor, **how)
        assert ids(pages[: number + 1]) + ids(later) == [1, 2, 3, 4, 5, 6, 7]


def test_what_is_asked_for(api: Api) -> None:
    api.answer = by_offset
    fetch(api, params={"type": "a b"}, headers={"X-Tenant": "t1"}, paging={"kind": "offset", "size": 5})
    assert api.asked[0].params == {"type": "a b", "offset": "0", "limit": "5"}
    assert api.asked[0].headers["X-Tenant"] == "t1"
    assert [asked.params["offset"] for asked in api.asked] == ["0", "2", "4", "6", "7"]


def since(asked: Asked) -> Answer:
    """An API that says again what has exactly the value it is asked for."""
    return Answer([row for row in ROWS if row["at"] >= asked.params.get("since", "")])


def test_the_next_run_asks_on_and_leaves_out_what_it_had(api: Api) -> None:
    api.answer = since
    how: dict[str, Any] = {"cursor_field": "at", "cursor_param": "since"}
    first = fetch(api, **how)
    ROWS.append({"id": 8, "at": ROWS[-1]["at"]})  # of the same moment, but new
    ROWS.append({"id": 9, "at": "2026-01-09T00:00:00.5Z"})
    try:
        second = fetch(api, first[-1].cursor, **how)
        third = fetch(api, second[-1].cursor, **how)
    finally:
        del ROWS[7:]
    assert (ids(first), ids(second), ids(third)) == ([1, 2, 3, 4, 5, 6, 7], [8, 9], [])
    assert [asked.params.get("since") for asked in api.asked] == [
        None,
        ROWS[6]["at"],
        "2026-01-09T00:00:00.5Z",
    ]


def test_an_api_that_does_not_look_at_the_cursor_doubles_nothing(api: Api) -> None:
    api.answer = lambda asked: Answer(list(reversed(ROWS)))
    how: dict[str, Any] = {"cursor_field": "at", "cursor_param": "since"}
    first = fetch(api, **how)
    assert ids(first) == [7, 6, 5, 4, 3, 2, 1]
    assert ids(fetch(api, first[-1].cursor, **how)) == []


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        ([9, 10, 8], 10),
        ([1.5, 2], 2),
        (["9", "10"], "10"),
        (["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"], "2026-01-01T00:00:00.5Z"),
        (["2026-01-01T02:00:00+02:00", "2026-01-01T00:30:00Z"], "2026-01-01T00:30:00Z"),
        (["b", "a"], "b"),
    ],
)
def test_the_largest_value_is_asked_for_next(api: Api, values: list[Any], largest: Any) -> None:
    api.answer = lambda asked: Answer([{"id": n, "v": value} for n, value in enumerate(values)])
    how: dict[str, Any] = {"cursor_field": "v", "cursor_param": "since"}
    fetch(api, fetch(api, **how)[-1].cursor, **how)
    assert api.asked[-1].params == {"since": str(largest)}


def test_in_order_the_last_record_counts(api: Api) -> None:
    rows = [{"id": 1, "k": "evt_9"}, {"id": 2, "k": "evt_10"}]
    api.answer = lambda asked: Answer(rows)
    how: dict[str, Any] = {
        "cursor_field": "k",
        "cursor_param": "after",
        "in_order": True,
        "cursor_start": "evt_0",
    }
    cursor = fetch(api, **how)[-1].cursor
    rows[:] = [{"id": 2, "k": "evt_10"}, {"id": 3, "k": "evt_11"}]
    assert ids(fetch(api, cursor, **how)) == [3]
    assert [asked.params["after"] for asked in api.asked] == ["evt_0", "evt_10"]


def test_a_place_that_the_api_has_forgotten_is_begun_again(api: Api) -> None:
    api.answer = by_cursor
    how = HOW["cursor"][1] | {"cursor_field": "at", "cursor_param": "since"}
    pages = fetch(api, **how)

    def forgetful(asked: Asked) -> Answer:
        return Answer({"error": "expired"}, 410) if asked.params.get("after") == "k3" else by_cursor(asked)

    api.answer = forgetful
    with pytest.raises(ConnectorError, match="410"):  # the place follows from the beginning, too
        fetch(api, pages[0].cursor, **how)
    api.asked.clear()
    api.answer = lambda asked: Answer(None, 410) if "after" in asked.params else Answer({"rows": ROWS})
    assert ids(fetch(api, pages[0].cursor, **how)) == [1, 2, 4, 5, 6, 7]  # 3 is known to be had
    assert len(api.asked) == 2


def test_numbers_keep_their_digits(api: Api) -> None:
    api.answer = lambda asked: Answer(raw=b'[{"id": 1, "price": 19.990, "big": 123456789012345678901}]')
    (page,) = fetch(api)
    assert page.records == [{"id": 1, "price": Decimal("19.990"), "big": 123456789012345678901}]


def test_bearer_and_basic(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KHAYWE_SECRET_TOKEN", "t0k3n")
    monkeypatch.setenv("KHAYWE_SECRET_PASSWORD", "pässword")
    fetch(api, auth={"kind": "bearer", "token": "env:TOKEN"})
    assert api.asked[-1].headers["Authorization"] == "Bearer t0k3n"
    fetch(api, auth={"kind": "basic", "username": "ada", "password": "env:PASSWORD"})
    said = api.asked[-1].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(said).decode() == "ada:pässword"
    with pytest.raises(NoSecret, match="env:NOTHING") as missing:
        fetch(api, auth={"kind": "bearer", "token": "env:NOTHING"})
    assert "KHAYWE_SECRET_NOTHING" in missing.value.hint
    api.answer = lambda asked: Answer({"error": "who are you"}, 401)
    with pytest.raises(ConnectorError, match=r"answers 401 Unauthorized: .*who are you") as refused:
        fetch(api, auth={"kind": "bearer", "token": "env:TOKEN"})
    assert "t0k3n" not in str(refused.value)
    assert len([asked for asked in api.asked if asked.headers.get("Authorization") == "Bearer t0k3n"]) == 2


@pytest.mark.parametrize(
    "fault", [Answer(None, 503), Answer(None, 429), Answer(ROWS, cut=40), Answer(ROWS, cut=0)]
)
def test_an_api_that_falters_is_asked_again(api: Api, fault: Answer) -> None:
    faults = [fault, fault]
    api.answer = lambda asked: faults.pop() if faults else Answer(ROWS)
    waits = Waits()
    assert ids(fetch(api, waits=waits)) == [1, 2, 3, 4, 5, 6, 7]
    assert waits.seconds == [0.5, 1.0]


def test_an_api_that_breaks_in_the_middle_gives_what_came_before(api: Api) -> None:
    whole = by_number

    def broken(asked: Asked) -> Answer:
        return Answer(None, 500) if asked.params["page"] == "2" else whole(asked)

    api.answer = broken
    how = HOW["page"][1] | {"cursor_field": "at", "cursor_param": "since"}
    waits = Waits()
    config = TypeAdapter(Fetched).validate_python({"kind": "rest", "url": api.url, "attempts": 3, **how})
    pages = open_connector(config, Settings(_env_file=None), waits).pages(None)
    first = next(pages)
    with pytest.raises(ConnectorError, match="500 Internal Server Error, tried 3 times"):
        next(pages)
    assert waits.seconds == [0.5, 1.0]
    api.answer = whole
    assert ids(fetch(api, first.cursor, **how)) == [4, 5, 6, 7]


def test_retry_after_is_obeyed(api: Api) -> None:
    later = formatdate(time.time() + 20, usegmt=True)
    faults = [Answer(None, 429, {"Retry-After": later}), Answer(None, 503, {"Retry-After": "7"})]
    api.answer = lambda asked: faults.pop() if faults else Answer(ROWS)
    waits = Waits()
    fetch(api, waits=waits)
    assert waits.seconds[0] == 7
    assert 15 < waits.seconds[1] <= 20


def test_nobody_there(api: Api) -> None:
    waits = Waits()
    with pytest.raises(ConnectorError, match=r"does not answer: .*refused.*, tried 4 times"):
        fetch(api, waits=waits, url="http://127.0.0.1:9/", attempts=4)
    assert waits.seconds == [0.5, 1.0, 2.0]


def test_an_answer_that_drips_is_given_up(api: Api) -> None:
    def slow(asked: Asked) -> Answer:
        time.sleep(0.6)
        return Answer(ROWS)

    api.answer = slow
    with pytest.raises(ConnectorError, match="tried 1 times"):
        fetch(api, timeout=0.2, attempts=1)


@pytest.mark.parametrize(
    ("answer", "how", "message"),
    [
        (Answer(raw=b"<html>"), {}, "answers no JSON"),
        (Answer({"rows": 5}), {"records": "rows"}, "no list of records at 'rows'"),
        (Answer({"rows": []}), {}, "no list of records as its answer"),
        (Answer([1]), {}, "record 0 of a page is no object"),
        (Answer(None, 404), {}, "answers 404 Not Found"),
        (Answer(None, 302, {"Location": "http://elsewhere/"}), {}, "answers 302"),
        (Answer([{"id": 1}]), {"cursor_field": "at", "cursor_param": "s"}, "a record has no at"),
        (Answer([{"v": 1}, {"v": "b"}]), {"cursor_field": "v", "cursor_param": "s"}, "they have no order"),
        (Answer(ROWS, headers={"Link": '<http://other.example/>; rel="next"'}), {"paging": {"kind": "link"}},
         "on another host, other.example"),
        (Answer(ROWS, headers={"Link": '</rows?x=1>; rel="next"'}), {"paging": {"kind": "link"}},
         "follows itself"),
        (Answer({"n": ["x"], "rows": []}),
         {"records": "rows", "paging": {"kind": "cursor", "field": "n", "param": "p"}}, "is no cursor"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told(api: Api, answer: Answer, how: dict[str, Any], message: str) -> None:
    api.answer = lambda asked: answer
    with pytest.raises(ConnectorError, match=message):
        fetch(api, **how)


def test_an_answer_has_a_size_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "LARGEST_ANSWER", 100_000)
    api.answer = lambda asked: Answer(["x" * 200_000])
    with pytest.raises(ConnectorError, match="larger than"):
        fetch(api)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://a:b@x/"}, "url"),
        ({"url": "http://x/#y"}, "url"),
        ({"url": "http://[x/"}, "url"),
        ({"auth": {"kind": "bearer", "token": "s3cret"}}, "token"),
        ({"auth": {"kind": "bearer", "token": "env:home"}}, "token"),
        ({"auth": {"kind": "digest"}}, "auth"),
        ({"headers": {"Authorization": "Bearer x"}}, "headers"),
        ({"headers": {"X": "a\nb"}}, "headers"),
        ({"cursor_field": "at"}, ""),
        ({"in_order": True}, ""),
        ({"paging": {"kind": "cursor", "param": "p"}}, "field"),
        ({"attempts": 0}, "attempts"),
        ({"kind": "soap"}, ""),
        ({"method": "POST"}, "method"),
    ],
)
def test_what_cannot_be_a_connection_names_its_field(said: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Fetched).validate_python({"kind": "rest", "url": "http://x/", **said})
    assert place == "" or place in [str(step) for each in error.value.errors() for step in each["loc"]]
