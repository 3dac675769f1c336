"""The page of the API for people, made from its OpenAPI document; it needs nothing from elsewhere."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

#: The page runs nothing and loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_templates = Environment(
    loader=PackageLoader("web.api", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def page(document: dict[str, Any]) -> str:
    """HTML: every endpoint by its tag, with roles, parameters and examples."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation["summary"],
                    "about": operation.get("description", ""),
                    "roles": operation.get("x-roles", []),
                    "parameters": operation.get("parameters", []),
                    "body": _shown(_example(document, operation.get("requestBody"))),
                    "answer": _shown(_answer(document, operation["responses"])),
                }
            )
    return _templates.get_template("reference.html").render(
        info=document["info"], groups=dict(sorted(groups.items()))
    )


def _answer(document: dict[str, Any], responses: dict[str, Any]) -> Any:
    good = next((each for status, each in responses.items() if status.startswith("2")), None)
    return _example(document, good)


def _example(document: dict[str, Any], holder: dict[str, Any] | None) -> Any:
    """The example of a body, said there or with its schema."""
    content = (holder or {}).get("content", {}).get("application/json", {})
    if "example" in content:
        return content["example"]
    schema = content.get("schema", {})
    for each in (schema, *schema.get("anyOf", [])):
        name = each.get("$ref", "").rsplit("/", 1)[-1]
        found = document["components"]["schemas"].get(name, each).get("examples")
        if found:
            return found[0]
    return None


def _shown(example: Any) -> str:
    return "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
