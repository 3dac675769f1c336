"""The topics: an AsyncAPI 3 document made from the registry and the message structs, and a page of it.

Records that code writes as text have no struct; their schemas stand here, and a test holds them against
records that workers have written.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
import yaml

from agents.commands import FORWARDED, REPLAY, TICK, Command, Result
from agents.dead_letters import Letter, Replayed
from catalog.content import Content
from config import topics
from config.settings import Settings
from docs.made.markdown import code, plain, table
from loyalty.asking import SETS
from loyalty.effects import (
    BadgeAward,
    BehaviorScores,
    CampaignTrigger,
    Cause,
    Decision,
    MissionProgress,
    RewardGrant,
)
from loyalty.events import NAMES, SOURCE_TYPES, CustomerEvent

HEAD = """\
# Topics

What stands on Kafka, for systems that read it or write to it. The [AsyncAPI 3 document](asyncapi.yaml) has
the schemas for programs. Keys of topics that go with the customer are placed by murmur2, as Java's
producers do.

Records are JSON, but for `customers-changelog`, which is khaywe's own. Effects carry CloudEvents 1.0
headers: `ce_id` (the `effect_id`), `ce_source` (`khaywe`), `ce_type` (`khaywe.TOPIC.v1`), `ce_specversion`,
`content-type`. Read them with `isolation.level=read_committed`, and know an effect again by its
`effect_id`. Members may be added; readers leave alone what they do not know.

This page is made from `config/topics.py` and the message types: `python -m docs.made`.
"""
_EFFECTS = (
    topics.BEHAVIOR_SCORES, topics.MISSION_PROGRESS, topics.BADGE_AWARDS, topics.REWARD_GRANTS,
    topics.DECISIONS, topics.CAMPAIGN_TRIGGERS, topics.PREDICTIONS, topics.COMMAND_RESULTS, topics.ERASURES,
)  # fmt: skip
#: What stands on each topic, by the names of the schemas.
MESSAGES = {
    topics.CUSTOMER_EVENTS: ("CustomerEvent", "OwnEvent"),
    topics.CUSTOMER_COMMANDS: ("Command",),
    topics.CATALOG: ("Content",),
    topics.CHANGELOG: ("Row",),
    topics.BEHAVIOR_SCORES: ("BehaviorScores",),
    topics.MISSION_PROGRESS: ("MissionProgress",),
    topics.BADGE_AWARDS: ("BadgeAward",),
    topics.REWARD_GRANTS: ("RewardGrant",),
    topics.DECISIONS: ("Decision",),
    topics.CAMPAIGN_TRIGGERS: ("CampaignTrigger",),
    topics.PREDICTIONS: ("Prediction",),
    topics.COMMAND_RESULTS: ("Result",),
    topics.ERASURES: ("Erasure",),
    topics.DEAD_LETTERS: ("Letter", "Replayed"),
}
#: Who else writes a topic than khaywe's workers.
_WRITTEN_BY_OTHERS = (topics.CUSTOMER_COMMANDS,)
_STRUCTS = (
    CustomerEvent, Command, Content, BehaviorScores, MissionProgress, BadgeAward, RewardGrant, Decision,
    CampaignTrigger, Result, Letter, Replayed, Cause,
)  # fmt: skip
_REF = "#/components/schemas/{name}"
_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_NUMBER = {"type": "number"}


def _members(required: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": required | more, "required": list(required)}


_HEAD = {
    "effect_id": _TEXT, "customer_id": _TEXT, "occurred_at": _TIME, "revision": {"type": "integer"},
    "cause": {"$ref": _REF.format(name="Cause")},
}  # fmt: skip
_MODEL = _members(
    {"model_version": _TEXT, "insufficient_history": {"type": "boolean"}, "fallback": {"type": "boolean"}}
)
#: Of records without a struct.
_PLAIN: dict[str, dict[str, Any]] = {
    "OwnEvent": {
        "title": "OwnEvent",
        "description": "What khaywe itself writes to the log: ticks, markers of revisions, commands, merges, "
        "predictions, reservations.",
        **_members(
            {
                "event_id": _TEXT, "customer_id": _TEXT,
                "event_type": {"enum": sorted(set(NAMES.values()) - SOURCE_TYPES)},
                "source": _TEXT, "value": _NUMBER, "occurred_at": _TIME, "received_at": _TIME,
            },
            attributes={"type": "object"},
        ),
    },
    "Prediction": {
        "title": "Prediction",
        "description": "What a set of models says of a customer, with the features it saw. `models` by name: "
        "what each gives stands in docs/models.md. `features`: numbers in its order, null where unknown.",
        **_members(
            _HEAD | {
                "set": {"enum": sorted(SETS.values())},
                "models": {"type": "object", "additionalProperties": _MODEL},
                "features": {"type": "array", "items": {"anyOf": [_NUMBER, {"type": "null"}]}},
                "feature_set": {"type": "integer"},
            }
        ),
    },
    "Erasure": {
        "title": "Erasure",
        "description": "A customer who was erased: blake2b-128 of the id, in hex.",
        **_members({"customer_hash": _TEXT, "erased_at": _TIME}),
    },
    "Row": {
        "title": "Row",
        "description": "A row, a side entry or a partition's memory, in a form of khaywe's own.",
        "type": "string",
        "contentEncoding": "binary",
    },
}  # fmt: skip
_RAW = "raw_{source}_events"


@cache
def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    settings = Settings.model_construct()
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    schemas = schemas | _PLAIN
    event_type = {"type": "string", "enum": sorted(SOURCE_TYPES)}
    schemas["CustomerEvent"]["properties"]["event_type"] = event_type
    schemas["Command"]["properties"]["command"] = {
        "type": "string",
        "enum": sorted({*FORWARDED, TICK, REPLAY}),
    }
    registry = topics.registry(settings)
    channels = {topic.name: _channel(topic, settings) for topic in registry}
    channels["raw"] = {
        "address": _RAW,
        "title": "Raw records of a data source",
        "description": "JSON, CSV lines or Avro, as the source's connection says; any key. The connection "
        "may name another topic.",
        "parameters": {"source": {"description": "The data source's name."}},
        "messages": {"Raw": {"$ref": "#/components/messages/Raw"}},
    }
    names = sorted({name for each in MESSAGES.values() for name in each})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "khaywe",
            "version": version("khaywe"),
            "description": "Real-time loyalty and gamification engine for telecom operators.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            **{f"send-{name}": _operation("send", name) for name in MESSAGES},
            **{f"receive-{name}": _operation("receive", name) for name in (*_WRITTEN_BY_OTHERS, "raw")},
        },
        "components": {
            "messages": {name: _message(name, schemas[name]) for name in names} | {"Raw": _raw()},
            "messageTraits": {"CloudEvent": _cloud_event()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _channel(topic: topics.Topic, settings: Settings) -> dict[str, Any]:
    config = topic.config()
    return {
        "address": topic.name,
        "description": f"{topic.about[0].upper()}{topic.about[1:]}. Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in MESSAGES[topic.name]},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions(settings),
                "topicConfiguration": {
                    "cleanup.policy": [config["cleanup.policy"]],
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(action: str, name: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    topic = next(topic for topic, names in MESSAGES.items() if name in names)
    message: dict[str, Any] = {
        "name": name,
        "summary": plain(schema["description"]),
        "payload": {"$ref": _REF.format(name=name)},
    }
    if name == "Row":
        message["contentType"] = "application/octet-stream"
    if topic in _EFFECTS:
        message["traits"] = [{"$ref": "#/components/messageTraits/CloudEvent"}]
    return message


def _raw() -> dict[str, Any]:
    return {
        "name": "Raw",
        "summary": "A record in the source's own fields.",
        "headers": {
            "type": "object",
            "properties": {
                "khaywe-backfill": {
                    "description": "Where it is there, the record is history: it causes nothing."
                }
            },
        },
        "payload": {"description": "What the source's mapping reads."},
    }


def _cloud_event() -> dict[str, Any]:
    return {
        "headers": _members(
            {
                "ce_id": _TEXT, "ce_source": {"const": "khaywe"}, "ce_type": _TEXT,
                "ce_specversion": {"const": "1.0"}, "content-type": {"const": "application/json"},
            }
        )
    }  # fmt: skip


class _Dumper(yaml.SafeDumper):
    """Writes everything out: what is used twice is no alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def document_text() -> str:
    """It, as YAML."""
    return yaml.dump(document(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def page() -> str:
    """The page, in Markdown."""
    settings, schemas = Settings.model_construct(), document()["components"]["schemas"]
    lines = [HEAD, "## All topics", ""]
    lines += table(
        ("topic", "key", "what stands there", "records", "partitions", "kept"),
        [
            (
                f"`{topic.name}`", topic.key, topic.about,
                ", ".join(f"[{name}](#{name.lower()})" for name in MESSAGES[topic.name]),
                "`KHAYWE_PARTITIONS`" if topic.with_customers else str(topic.partitions(settings)),
                "the last of each key" if topic.compacted
                else "for ever" if topic.retention_days is None else "`KHAYWE_RETENTION` days",
            )
            for topic in topics.registry(settings)
        ],
    )  # fmt: skip
    lines += [
        "",
        f"Beside these, a raw topic for each data source: `{_RAW.format(source='NAME')}`, or the one that "
        "its connection names. You write it; any key, any number of partitions. The header `khaywe-backfill` "
        "marks history.",
        "",
        "## Records",
        "",
    ]
    for names in MESSAGES.values():
        for name in names:
            lines += _record(name, schemas[name])
    parts = sorted(_referred(schemas) - {name for names in MESSAGES.values() for name in names})
    lines += ["## Parts of records", ""]
    lines += [
        f"{code(parts)} are parts of others. Those of a catalog revision are explained in "
        "[The rules of the game](../catalog.md); the AsyncAPI document has all of their members.",
        "",
    ]
    for name in ("Cause", "Scores", "Comparison", "Sold", "Bytes"):
        lines += _record(name, schemas[name])
    return "\n".join(lines).rstrip() + "\n"


def _record(name: str, schema: dict[str, Any]) -> list[str]:
    about = plain(schema["description"]).replace("docs/models.md", "[Models](../models.md)")
    lines = [f"### {name}", "", about, ""]
    members = schema.get("properties", {})
    needed = schema.get("required", [])
    if members:
        lines += table(
            ("member", "type", ""),
            [
                (f"`{key}`", _type(each), "" if key in needed else "may be absent")
                for key, each in members.items()
            ],
        )
        lines.append("")
    return lines


def _type(schema: dict[str, Any]) -> str:
    """A schema in few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"object of {_type(inner)}" if isinstance(inner, dict) and inner else "object"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _referred(schema: Any) -> set[str]:
    """Names of the schemas that are referred to."""
    if isinstance(schema, dict):
        own = {schema["$ref"].rsplit("/", 1)[1]} if "$ref" in schema else set()
        return own.union(*(_referred(each) for each in schema.values()))
    if isinstance(schema, list):
        return set().union(*(_referred(each) for each in schema))
    return set()
