"""From what a person says of a connection to the connector that fetches it."""

from __future__ import annotations

import time

from catalog.connectors.config import Files, Rest, Sql
from catalog.connectors.files import FilesConnector
from catalog.connectors.pages import Connector
from catalog.connectors.rest import RestConnector, Wait
from catalog.connectors.sql import SqlConnector
from catalog.secrets import resolve
from config.settings import Settings


def open_connector(config: Rest | Sql | Files, settings: Settings, wait: Wait = time.sleep) -> Connector:
    """`wait` is called between two tries, with seconds."""

    def secret(reference: str) -> str:
        return resolve(reference, settings)

    match config:
        case Rest():
            return RestConnector(config, secret, wait)
        case Sql():
            return SqlConnector(config, secret)
        case Files():
            return FilesConnector(config, settings.imports or settings.home_dir / "imports")
