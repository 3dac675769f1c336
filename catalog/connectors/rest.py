"""Records of an HTTP API: pages by number, offset, cursor or link; tried again while the API is away.

The cursor behind a page says where the API's next page begins, and behind the last one the largest value of
`cursor_field`, from which the next poll asks on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
from requests import Response
from requests.auth import AuthBase, HTTPBasicAuth

from catalog.connectors.config import Basic, Bearer, ByCursor, ByLink, ByOffset, ByPage, OnePage, Rest
from catalog.connectors.pages import ConnectorError, Page, Record, Secret, Since, at, decode

#: Bytes of one answer, unpacked.
LARGEST_ANSWER = 32 << 20
#: Pages of one run: an API that never ends is a mistake.
MOST_PAGES = 100_000
#: Seconds: the first pause before another try, doubled each time, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
CONNECT_SECONDS = 10.0
#: Answers that may be another one later.
AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))

Wait = Callable[[float], object]


class _Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cursor: records from `since` on, those `seen` left out; `next`: the page that follows."""

    since: str | int | float | None = None
    value: str | int | float | None = None
    seen: list[str] = []
    next: str | int | None = None


class _Refused(ConnectorError):
    """The API refuses this page, today and tomorrow."""


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class RestConnector:
    """Implements `catalog.connectors.pages.Connector`."""

    def __init__(self, config: Rest, secret: Secret, wait: Wait = time.sleep) -> None:
        """`wait` is called between two tries, with seconds."""
        self._config = config
        self._secret = secret
        self._wait = wait
        self._where = config.url

    def pages(self, cursor: str | None) -> Iterator[Page]:
        """See `Connector`."""
        config = self._config
        place = _read(cursor)
        since = None
        if config.cursor_field is not None:
            since = Since(
                self._where,
                config.cursor_field,
                config.in_order,
                place.since if place.value is None else place.value,
                dict.fromkeys(place.seen),
                floor=place.since,
            )
        asked_from = place.since if place.since is not None else config.cursor_start
        following: str | int | None = place.next
        resumed = following is not None
        gone: set[str | int] = set()
        with self._session() as session:
            for _ in range(MOST_PAGES):
                try:
                    answer, body = self._get(session, following, asked_from)
                except _Refused:
                    if not resumed:
                        raise
                    # The API has forgotten the place of an earlier run: from that run's beginning again.
                    resumed, following = False, None
                    continue
                resumed = False
                found = self._records(body)
                following = self._next(following, answer, body, len(found))
                if following is not None and following in gone:
                    raise ConnectorError(f"{self._where}: page {following!r} follows itself, for ever")
                records = found if since is None else since.fresh(found)
                at_end = following is None
                if since is None:
                    behind = _Place(next=following)
                else:
                    seen = list(since.seen)
                    if at_end:
                        behind = _Place(since.value, None, seen)
                    else:
                        behind = _Place(asked_from, since.value, seen, following)
                if records or at_end:
                    yield Page(records, msgspec.json.encode(behind).decode())
                if following is None:
                    return
                gone.add(following)
        raise ConnectorError(f"{self._where}: more than {MOST_PAGES:,} pages in one run")

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.headers["Accept"] = "application/json"
        session.headers.update(self._config.headers)
        match self._config.auth:
            case Bearer(token=token):
                session.auth = _Bearer(self._header(self._secret(token)))
            case Basic(username=username, password=password):
                session.auth = HTTPBasicAuth(username.encode(), self._secret(password).encode())
        return session

    def _header(self, secret: str) -> str:
        if not secret.isascii() or not secret.isprintable():
            raise ConnectorError(f"{self._where}: the bearer token has characters that no header takes")
        return secret

    # -- one page -------------------------------------------------------------------------------------

    def _get(self, session: requests.Session, following: Any, since: Any) -> tuple[Response, Any]:
        """Ask for a page, again while that may help.  Raises ConnectorError."""
        config, pause = self._config, FIRST_PAUSE
        url, params = self._address(following, since)
        for attempt in range(1, config.attempts + 1):
            why, advised = "", 0.0
            try:
                answer, content = self._answer(session, url, params)
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                why = _short(error)
            except requests.RequestException as error:
                raise ConnectorError(f"{self._where} cannot be asked: {_short(error)}") from None
            else:
                if answer.status_code == 200:
                    try:
                        return answer, decode(content)
                    except (ValueError, RecursionError) as error:
                        raise ConnectorError(f"{self._where} answers no JSON: {error}") from None
                why = f"{answer.status_code} {answer.reason}"
                if answer.status_code not in AGAIN:
                    raise _Refused(f"{self._where} answers {why}{_quoted(content)}", _hint(answer))
                advised = _retry_after(answer)
            if attempt < config.attempts:
                self._wait(min(max(pause, advised), LONGEST_PAUSE))
                pause *= 2
        raise ConnectorError(
            f"{self._where} does not answer: {why}, tried {config.attempts} times",
            hint="what was fetched is kept; the next run goes on from there",
        )

    def _address(self, following: Any, since: Any) -> tuple[str, dict[str, str]]:
        config, paging = self._config, self._config.paging
        if isinstance(paging, ByLink) and following is not None:
            return str(following), {}
        params = dict(config.params)
        if config.cursor_param is not None and since is not None:
            params[config.cursor_param] = str(since)
        if not isinstance(paging, OnePage) and paging.size_param is not None:
            params[paging.size_param] = str(paging.size)
        match paging:
            case ByPage():
                params[paging.param] = str(paging.first if following is None else following)
            case ByOffset():
                params[paging.param] = str(following or 0)
            case ByCursor() if following is not None:
                params[paging.param] = str(following)
        return config.url, params

    def _answer(self, session: requests.Session, url: str, params: dict[str, str]) -> tuple[Response, bytes]:
        """One answer, whole.  Raises RequestException, ConnectorError where it is too large."""
        timeout = self._config.timeout
        end = time.monotonic() + timeout
        with session.get(
            url,
            params=params,
            timeout=(min(CONNECT_SECONDS, timeout), timeout),
            stream=True,
            allow_redirects=False,
        ) as answer:
            content = bytearray()
            for chunk in answer.iter_content(64 << 10):
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise ConnectorError(
                        f"{self._where}: an answer is larger than {LARGEST_ANSWER >> 20} MiB",
                        hint="ask for smaller pages",
                    )
                if time.monotonic() > end:
                    raise requests.Timeout(f"the answer took more than {timeout:g} s")
            return answer, bytes(content)

    def _records(self, body: Any) -> list[Record]:
        path = self._config.records
        found = at(body, path)
        if not isinstance(found, list):
            where = f"at {path!r}" if path else "as its answer"
            raise ConnectorError(
                f"{self._where} has no list of records {where}", hint="`records` says where the list stands"
            )
        for number, record in enumerate(found):
            if not isinstance(record, dict):
                raise ConnectorError(f"{self._where}: record {number} of a page is no object")
        return found

    def _next(self, current: Any, answer: Response, body: Any, count: int) -> str | int | None:
        """What says the next page; None at the end."""
        match self._config.paging:
            case ByPage(first=first):
                return (first if current is None else int(current)) + 1 if count else None
            case ByOffset():
                return int(current or 0) + count if count else None
            case ByCursor(field=field):
                token = at(body, field)
                if token is None or token == "":
                    return None
                if not isinstance(token, str | int) or isinstance(token, bool):
                    raise ConnectorError(f"{self._where}: {field} is {token!r}, which is no cursor")
                return token
            case ByLink():
                link = answer.links.get("next", {}).get("url")
                if not link:
                    return None
                link = urljoin(answer.url, link)
                ours, theirs = urlsplit(self._config.url), urlsplit(link)
                if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
                    raise ConnectorError(f"{self._where}: its next page is on another host, {theirs.netloc}")
                return link
        return None


def _read(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place()
    try:
        return msgspec.json.decode(cursor.encode(), type=_Place)
    except ValueError as error:
        raise ConnectorError(f"the cursor kept is none of an HTTP API: {error}") from None


def _short(error: Exception) -> str:
    """The reason at the bottom: what wraps it says the URL with its parameters."""
    reason: Any = error.args[0] if error.args else error
    reason = getattr(reason, "reason", reason)
    text = str(reason)
    return text.rsplit(": ", 1)[-1][:200] or type(error).__name__


def _quoted(content: bytes) -> str:
    text = " ".join(content[:300].decode(errors="replace").split())
    return f": {text}" if text else ""


def _hint(answer: Response) -> str:
    if answer.status_code in (401, 403):
        return "look at `auth`, and at the secret it refers to"
    if 300 <= answer.status_code < 400:
        return (
            f"it redirects to {answer.headers.get('Location', '')}: say that as url, if it is to be trusted"
        )
    return "look at url and params"


def _retry_after(answer: Response) -> float:
    """Seconds the API asks to be left alone."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
