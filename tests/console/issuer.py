"""An OpenID provider: a real HTTP server with discovery, authorization, token endpoint and keys.

Whoever is sent to it is `user`, logged in already.  What it hands out may be bent by the tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "khaywe-console", "s3cret/of+the:console"


class Issuer:
    """`user` and `roles` stand in tokens, `bend` changes claims; `refuse` is an error instead of a code."""

    def __init__(self) -> None:
        self.user, self.roles, self.refuse = "", [], ""  # type: ignore[var-annotated]
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signs = self.key
        self.bend: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        #: Requests to the token endpoint that were answered with an error, and why.
        self.refused: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/.well-known/openid-configuration":
                    self._json(issuer.document())
                elif parts.path == "/keys":
                    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(issuer.key.public_key(), as_dict=True)
                    self._json({"keys": [jwk | {"kid": "one", "use": "sig", "alg": "RS256"}]})
                else:
                    assert parts.path == "/authorize", parts.path
                    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                    self.send_response(302)
                    self.send_header("Location", issuer.authorized(asked))
                    self.end_headers()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._json(*issuer.exchanged(form, self.headers.get("Authorization", "")))

            def _json(self, found: Any, status: int = 200) -> None:
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def document(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/keys",
        } | self.discovery  # fmt: skip

    def authorized(self, asked: dict[str, str]) -> str:
        """Where a browser goes that was sent here: with a code, or why not."""
        assert asked["client_id"] == CLIENT
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert "openid" in asked["scope"].split()
        said = {"state": asked["state"], "iss": self.url}
        if self.refuse:
            said |= {"error": self.refuse}
        else:
            said |= {"code": secrets.token_urlsafe(16)}
            self._codes[said["code"]] = asked
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    def exchanged(self, form: dict[str, str], authorization: str) -> tuple[dict[str, Any], int]:
        """The tokens for a code, once; the client, its secret, the address and the verifier must be right."""
        asked = self._codes.pop(form.get("code", ""), None)
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode() if authorization else ":"
        client = tuple(unquote(each) for each in pair.split(":"))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        why = ""
        if client != (CLIENT, SECRET):
            why = "invalid_client"
        elif asked is None or (form.get("redirect_uri"), challenge) != (
            asked["redirect_uri"], asked["code_challenge"],
        ):  # fmt: skip
            why = "invalid_grant"
        if why or asked is None:
            self.refused.append(why)
            return {"error": why}, 400
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": self.user, "iat": now, "exp": now + 60,
            "nonce": asked["nonce"], "roles": self.roles,
        } | self.bend  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return {
            "access_token": "not-looked-at", "token_type": "Bearer",
            "id_token": jwt.encode(claims, self.signs, "RS256", headers={"kid": "one"}),
        }, 200  # fmt: skip
