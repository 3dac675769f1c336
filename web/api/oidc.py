"""Bearer tokens of an OpenID Connect provider: signature, issuer, audience, times, and whose they are."""

from __future__ import annotations

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
        """Whose token it is; None where it does not count."""
        issuer = self._settings.oidc_issuer
        if issuer is None or token.count(".") != 2:
            return None
        try:
            if self._keys is None:
                self._keys = jwt.PyJWKClient(self._settings.oidc_jwks or _jwks_of(issuer))
            key = self._keys.get_signing_key_from_jwt(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.oidc_audience,
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, OSError, ValueError, LookupError) as error:
            log.info("a bearer token is refused: %s", error)
            return None
        return self._known(claims)

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


def _jwks_of(issuer: str) -> str:
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    with urllib.request.urlopen(url, timeout=DISCOVERY_SECONDS) as answer:
        return str(json.load(answer)["jwks_uri"])
