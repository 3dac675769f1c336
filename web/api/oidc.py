"""Tokens of an OpenID Connect provider: signature, issuer, audience, times, and whose they are.

Bearer tokens come with requests to the API, ID tokens from a login to the console.
"""

from __future__ import annotations

import hmac
import json
import logging
import urllib.request
from typing import Any

import jwt

from catalog.governance.audit import Caller
from catalog.governance.people import ROLES, People
from config.settings import Settings

log = logging.getLogger(__name__)

#: Only signatures with a public key: a shared secret or none would let anybody in.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
#: Seconds that clocks may differ.
LEEWAY = 30
DISCOVERY_SECONDS = 5.0
_BY_POWER = ("admin", "approver", "marketer", "system", "viewer")


class Oidc:
    """Tokens of one issuer."""

    def __init__(self, settings: Settings, people: People) -> None:
        self._settings = settings
        self._people = people
        self._keys: jwt.PyJWKClient | None = None

    def caller(self, token: str) -> Caller | None:
        """Whose bearer token it is; None where it does not count."""
        return self._known(self._claims(token, self._settings.oidc_audience, "exp", "iss", "aud"))

    def entering(self, token: str, nonce: str) -> Caller | None:
        """Whose ID token it is; None where it does not count, or is not of the login with this nonce."""
        client = self._settings.oidc_client_id
        if client is None:
            return None
        claims = self._claims(token, client, "exp", "iat", "iss", "aud", "sub", "nonce")
        if not claims or not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            return None
        # A token for several says whom it was made for.
        alone = claims["aud"] in (client, [client])
        if claims.get("azp", client if alone else None) != client:
            return None
        return self._known(claims)

    def _claims(self, token: str, audience: str, *needed: str) -> dict[str, Any]:
        """What a token says; nothing where it does not count."""
        issuer = self._settings.oidc_issuer
        if issuer is None or token.count(".") != 2:
            return {}
        try:
            if self._keys is None:
                self._keys = jwt.PyJWKClient(self._settings.oidc_jwks or discovery(issuer)["jwks_uri"])
            key = self._keys.get_signing_key_from_jwt(token)
            found: dict[str, Any] = jwt.decode(
                token, key, algorithms=ALGORITHMS, audience=audience, issuer=issuer, leeway=LEEWAY,
                options={"require": list(needed)},
            )  # fmt: skip
            return found
        except (jwt.PyJWTError, OSError, ValueError, LookupError) as error:
            log.info("a token is refused: %s", error)
            return {}

    def _known(self, claims: dict[str, Any]) -> Caller | None:
        user = claims.get(self._settings.oidc_user_claim)
        if not isinstance(user, str) or not user:
            return None
        if self._settings.oidc_role_claim is None:
            return self._people.caller_of_name(user, "oidc")
        said = claims.get(self._settings.oidc_role_claim)
        roles = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        best = next((role for role in _BY_POWER if role in roles and role in ROLES), None)
        return Caller(user, best, "oidc") if best is not None else None


def discovery(issuer: str) -> dict[str, Any]:
    """What an issuer says of itself.  Raises OSError, ValueError."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    with urllib.request.urlopen(url, timeout=DISCOVERY_SECONDS) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
