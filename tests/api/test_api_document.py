"""The OpenAPI document: whole, with examples; and what Schemathesis makes of it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok

from tests.faults.harness import Worker
from tests.served import Api
from web.api.doors import PREFIX

#: Requests for each operation, so that all of them take less than a minute.
EXAMPLES = 6
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def test_it_is_openapi_3_1_and_says_all_of_each_operation(api: Api) -> None:
    document = api().get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    ids: set[str] = set()
    for path, item in document["paths"].items():
        assert path.startswith(PREFIX)
        for method, operation in item.items():
            assert operation["summary"], path
            assert operation["description"], path
            assert operation["tags"], path
            assert {"APIKeyHeader", "HTTPBearer"} <= {name for each in operation["security"] for name in each}
            assert {"401", "403", "422"} <= set(operation["responses"]), path
            assert operation["operationId"] not in ids
            ids.add(operation["operationId"])
            if "requestBody" in operation:
                assert example(document, operation["requestBody"]) is not None, (method, path)
    assert len(ids) > 80


def example(document: dict[str, Any], holder: dict[str, Any]) -> Any:
    """The example of a body, said there or with its schema; True for an object of no said members."""
    content = holder["content"]["application/json"]
    if "example" in content:
        return content["example"]
    schema = content["schema"]
    for each in (schema, *schema.get("anyOf", [])):
        name = each.get("$ref", "").rsplit("/", 1)[-1]
        found = document["components"]["schemas"].get(name, each)
        if found.get("examples"):
            return found["examples"][0]
        members = found.get("properties", {})
        if members and all("examples" in member for member in members.values()):
            return True
    return None


def test_the_page_for_people_needs_nothing_from_elsewhere(api: Api) -> None:
    answer = api().get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "/webhooks/customer-event" in answer.text
    assert "<script" not in answer.text
    assert "http" not in re.sub(r"https://\w+\.example\.com", "", answer.text)


def test_schemathesis_finds_no_server_error(
    address: str, keys: dict[str, str], api: Api, live: Worker
) -> None:
    document = api().get("/openapi.json").json()
    # A simulation takes a core for seconds, whatever is asked.
    del document["paths"][f"{PREFIX}/simulations/"]["post"]
    schema = schemathesis.openapi.from_dict(document)
    tried = Counter[int]()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        # The second kind does not fit the schema; an operation that takes nothing has none.
        kinds = [
            operation.as_strategy(mode) for mode in MODES if mode is MODES[0] or takes_something(operation)
        ]

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=one_of(*kinds))
        def attempt(case: Any) -> None:
            answer = case.call(base_url=address, headers={"X-API-Key": keys["admin"]})
            tried[answer.status_code] += 1
            case.validate_response(answer, checks=[not_a_server_error])

        attempt()
    assert sum(tried.values()) > 300
    assert {200, 404, 422} <= set(tried)
    assert not {403, 429} & set(tried)


def takes_something(operation: Any) -> bool:
    """Whether there is anything that could be wrong."""
    return bool(list(operation.iter_parameters()) or list(operation.body))
