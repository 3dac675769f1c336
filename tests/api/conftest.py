"""The API over services of its own."""

from tests.served import address, api, app, keys, live, parts, pipeline

__all__ = ["address", "api", "app", "keys", "live", "parts", "pipeline"]
