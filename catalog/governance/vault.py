"""Secrets of connections, encrypted in PostgreSQL; what refers to one says `vault:NAME`.

The key is KHAYWE_SECRETS_KEY, or stands in KHAYWE_HOME/secrets.key, which is made at the first use.  Whoever
reads secrets (pollers, product sync, webhooks) needs the same key.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import select

from catalog.database import connect
from catalog.governance.audit import Caller, record
from catalog.governance.models import SecretRow
from catalog.governance.store import Store
from catalog.service import NoSuch
from config.errors import KhayweError
from config.settings import Settings

KEY_FILE = "secrets.key"
PREFIX = "vault:"


class VaultError(KhayweError):
    """The key is missing, no key, or another than the one that encrypted."""


class Vault:
    """Secrets by name."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def names(self, prefix: str = "") -> list[str]:
        """Names that begin so."""
        query = select(SecretRow.name).where(SecretRow.name.startswith(prefix, autoescape=True))
        with self._store.session() as session:
            return list(session.scalars(query.order_by(SecretRow.name)))

    def put(self, name: str, value: str, caller: Caller) -> None:
        """Keep a secret, in place of an older one of its name.  Raises VaultError."""
        token = self._fernet(make=True).encrypt(value.encode())
        with self._store.session() as session:
            there = session.get(SecretRow, name) is not None
            session.merge(SecretRow(name=name, token=token))
            record(session, caller, "replace" if there else "create", f"secrets/{name}")

    def get(self, name: str) -> str | None:
        """A secret; None where there is none.  Raises VaultError."""
        with self._store.session() as session:
            row = session.get(SecretRow, name)
        if row is None:
            return None
        try:
            return self._fernet(make=False).decrypt(row.token).decode()
        except InvalidToken:
            raise VaultError(
                f"the secret {name!r} was encrypted with another key",
                hint=f"set KHAYWE_SECRETS_KEY, or bring {self._file} back; or save the secret again",
            ) from None

    def remove(self, name: str, caller: Caller) -> None:
        """Forget a secret.  Raises NoSuch."""
        with self._store.session() as session:
            row = session.get(SecretRow, name)
            if row is None:
                raise NoSuch(f"there is no secret {name!r}")
            session.delete(row)
            record(session, caller, "remove", f"secrets/{name}")

    @property
    def _file(self) -> Path:
        return self._settings.home_dir / KEY_FILE

    def _fernet(self, make: bool) -> Fernet:
        key = self._settings.secrets_key or self._key_of_file(make)
        try:
            return Fernet(key)
        except ValueError:
            raise VaultError(
                "the key of the secrets is no key",
                hint="it is 32 random bytes in url-safe base64: unset KHAYWE_SECRETS_KEY to have one made",
            ) from None

    def _key_of_file(self, make: bool) -> str:
        if make:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(Fernet.generate_key())
            except FileExistsError:
                pass
        try:
            return self._file.read_text().strip()
        except FileNotFoundError:
            raise VaultError(
                f"there is no key of the secrets: neither KHAYWE_SECRETS_KEY nor {self._file}",
                hint="it must be the key of whoever saved the secrets",
            ) from None


def read_secret(settings: Settings, name: str) -> str:
    """A secret, for whoever has no vault of its own.  Raises VaultError, NoSuch."""
    engine = connect(settings.database_url())
    try:
        found = Vault(Store(engine), settings).get(name)
    finally:
        engine.dispose()
    if found is None:
        raise NoSuch(f"there is no secret {name!r}", hint="PUT data-sources/{id}/secrets/{name}/ saves one")
    return found
