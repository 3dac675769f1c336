"""Logging in at the operator's OpenID provider: authorization code with PKCE, state and nonce.

1. The browser gets a cookie with a state, a nonce and a verifier, and is sent to the provider with the first
   two and the verifier's hash.
2. The provider sends it back with a code and the state, which must be the cookie's.
3. The code is exchanged, with the verifier, for an ID token, which must be signed by the issuer, made for us,
   and have the nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from catalog.governance.audit import Caller
from config.errors import KhayweError
from config.settings import Settings
from web.api.oidc import Oidc, discovery

#: Seconds for which somebody may be away at the provider.
AWAY_SECONDS = 600
#: Seconds for which its discovery document is believed.
KNOWN_SECONDS = 3600.0
ANSWER_SECONDS = 10.0
LARGEST_ANSWER = 1 << 20
SCOPE = "openid profile email"


class NoLogin(KhayweError):
    """The provider cannot be asked, or has not said who it is."""


class Leave(msgspec.Struct, frozen=True):
    """What the browser keeps while its user is at the provider; `next` is where to go afterwards."""

    state: str
    nonce: str
    verifier: str
    next: str

    def cookie(self) -> str:
        """As the value of a cookie."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @staticmethod
    def of(cookie: str) -> Leave | None:
        """The reverse; None for what is none of ours."""
        try:
            return msgspec.json.decode(
                base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4)), type=Leave
            )
        except (ValueError, msgspec.DecodeError):
            return None


class _Stays(urllib.request.HTTPRedirectHandler):
    # Codes and secrets go where the discovery document says, and nowhere else.
    def redirect_request(self, *_: Any) -> None:
        return None


_open = urllib.request.build_opener(_Stays).open


@dataclass(slots=True)
class Provider:
    """The issuer of KHAYWE_OIDC_ISSUER, where the console is its client KHAYWE_OIDC_CLIENT_ID."""

    settings: Settings
    oidc: Oidc
    _known: dict[str, Any] = field(default_factory=dict)
    _until: float = 0.0

    @property
    def name(self) -> str:
        """Its host; nothing where nobody logs in there."""
        issuer = self.settings.oidc_issuer
        return urlsplit(issuer).netloc if issuer is not None and self.settings.oidc_client_id else ""

    def begin(self, back: str, next: str) -> tuple[str, Leave]:
        """Where the browser goes, and what it keeps; `back` is our address.  Raises NoLogin."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        leave = Leave(state, nonce, verifier, next)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode()
        asked = {
            "response_type": "code", "client_id": self.settings.oidc_client_id, "redirect_uri": back,
            "scope": SCOPE, "state": state, "nonce": nonce,
            "code_challenge": challenge.rstrip("="), "code_challenge_method": "S256",
        }  # fmt: skip
        target = self._endpoint("authorization_endpoint")
        return f"{target}{'&' if urlsplit(target).query else '?'}{urlencode(asked)}", leave

    def end(self, leave: Leave, said: dict[str, str], back: str) -> Caller | None:
        """Who has logged in; None where the token does not count, or nobody here has that name.

        `said` is the query that the browser came back with.  Raises NoLogin.
        """
        if not hmac.compare_digest(leave.state.encode(), said.get("state", "").encode()):
            raise NoLogin("this login was begun in another window, or long ago", hint="log in anew")
        if said.get("iss", self.settings.oidc_issuer) != self.settings.oidc_issuer:
            raise NoLogin("another issuer has answered", hint="log in anew")
        if "error" in said:
            raise NoLogin(f"{self.name} says: {said.get('error_description') or said['error']}"[:500])
        return self.oidc.entering(self._exchanged(said.get("code", ""), leave.verifier, back), leave.nonce)

    def _exchanged(self, code: str, verifier: str, back: str) -> str:
        """The ID token for a code."""
        client, secret = self.settings.oidc_client_id or "", self.settings.oidc_client_secret
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier
        }  # fmt: skip
        headers = {"Accept": "application/json"}
        endpoint = self._endpoint("token_endpoint")
        ways = self._discovered().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret is not None and "client_secret_basic" in ways:
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"  # as RFC 6749, 2.3.1, has it
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": client} | ({"client_secret": secret} if secret is not None else {})
        request = urllib.request.Request(endpoint, urlencode(form).encode(), headers)
        try:
            with _open(request, timeout=ANSWER_SECONDS) as answer:
                return str(json.loads(answer.read(LARGEST_ANSWER))["id_token"])
        except urllib.error.HTTPError as error:
            raise NoLogin(f"{self.name} does not take the login: {_why(error)}", hint="log in anew") from None
        except (OSError, HTTPException) as error:
            raise self._silent(error) from None
        except (ValueError, LookupError, TypeError):
            raise NoLogin(f"{self.name} has answered without an ID token") from None

    def _endpoint(self, name: str) -> str:
        found = self._discovered().get(name)
        # Nothing of a login may go over an open line because a document says so.
        if not isinstance(found, str) or urlsplit(found).scheme not in (
            ("https",) if str(self.settings.oidc_issuer).startswith("https:") else ("https", "http")
        ):
            raise NoLogin(f"{self.name} has no {name} that can be used")
        return found

    def _discovered(self) -> dict[str, Any]:
        if time.monotonic() >= self._until:
            issuer = str(self.settings.oidc_issuer)
            try:
                found = discovery(issuer)
            except (OSError, HTTPException, ValueError) as error:
                raise self._silent(error) from None
            if not isinstance(found, dict) or found.get("issuer") != issuer:
                raise NoLogin(
                    f"what answers at {self.name} is another issuer",
                    hint=f"KHAYWE_OIDC_ISSUER must be what its discovery document says, not {issuer}",
                )
            self._known, self._until = found, time.monotonic() + KNOWN_SECONDS
        return self._known

    def _silent(self, error: Exception) -> NoLogin:
        return NoLogin(
            f"{self.name} does not answer: {getattr(error, 'reason', error)}",
            hint="with a key of the API one comes in all the same",
        )


def _why(error: urllib.error.HTTPError) -> str:
    """What a token endpoint says of an error (RFC 6749, 5.2)."""
    try:
        found = json.loads(error.read(LARGEST_ANSWER))
        return str(found.get("error_description") or found["error"])[:500]
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError):
        return f"status {error.code}"
