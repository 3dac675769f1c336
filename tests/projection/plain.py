"""What the tables must hold, made from the topics' records in plain Python that knows nothing of SQL.

Only for logs in which nobody ends, is linked or erased; everything in the days of UTC.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

import psycopg2

from config import topics
from projection import schema

SCORES = ("engagement", "revenue", "loyalty", "risk", "digital")
APP_OTHER = ("app_install", "social_share", "self_care")
ENDS = {"given": "active", "progress": "active"}
Tables = dict[str, Counter[tuple[Any, ...]]]


def at(text: str) -> datetime:
    """A time of a record."""
    return datetime.fromisoformat(text)


def day(text: str) -> date:
    """Its day."""
    return at(text).astimezone(UTC).date()


def expected(records: dict[str, list[Any]]) -> Tables:
    """Rows by table, of messages by topic; a partition's in order."""
    told = {topic: [json.loads(m.value()) for m in messages] for topic, messages in records.items()}
    tables: Tables = defaultdict(Counter)
    figures: Counter[tuple[Any, ...]] = Counter()

    def last(table: str, rows: dict[Any, tuple[Any, ...]]) -> None:
        tables[table] = Counter(rows.values())

    last("scores", {
        e["customer_id"]: (e["customer_id"], *(e["scores"][n] for n in SCORES), at(e["as_of"]), e["reason"])
        for e in told[topics.BEHAVIOR_SCORES]
    })  # fmt: skip
    last("score_history", {
        (e["customer_id"], day(e["as_of"])): (
            e["customer_id"], day(e["as_of"]), *(e["scores"][n] for n in SCORES), at(e["as_of"])
        )
        for e in told[topics.BEHAVIOR_SCORES]
    })  # fmt: skip
    missions = told[topics.MISSION_PROGRESS]
    last("missions", {
        e["mission_id"]: (
            e["mission_id"], e["customer_id"], e["number"], e["name"], e["category"],
            ENDS.get(e["status"], e["status"]), e["progress"], e["target"], at(e["started_at"]),
            at(e["ends_at"]), at(e["occurred_at"]),
        )
        for e in missions
    })  # fmt: skip
    tables["mission_history"] = Counter(
        (e["effect_id"], e["mission_id"], e["status"], e["tenths"], e["cause"]["event_id"]) for e in missions
    )
    figures.update(
        (day(e["occurred_at"]), "missions", e["number"], e["status"])
        for e in missions
        if e["status"] != "progress"
    )
    awards = [e for e in told[topics.BADGE_AWARDS] if e["kind"] == "badge"]
    tiers = [e for e in told[topics.BADGE_AWARDS] if e["kind"] == "tier"]
    tables["badges"] = Counter(
        (e["effect_id"], e["customer_id"], e["number"], e["level"], at(e["occurred_at"])) for e in awards
    )
    figures.update((day(e["occurred_at"]), "badges", e["number"], e["level_name"]) for e in awards)
    last("tiers", {e["customer_id"]: (e["customer_id"], e["level"], e["level_name"]) for e in tiers})
    figures.update((day(e["occurred_at"]), "tiers", e["level"], e["reason"]) for e in tiers)
    grants = told[topics.REWARD_GRANTS]
    tables["ledger"] = Counter(
        (e["effect_id"], e["kind"], e["rule"], e["points"], e["offer"], e["balance"]) for e in grants
    )
    last("balances", {e["customer_id"]: (e["customer_id"], e["balance"]) for e in grants})
    for e in grants:
        if e["kind"] != "offer" and e["points"]:
            figures[day(e["occurred_at"]), "points", 0, e["kind"]] += e["points"]
        if e["offer"] >= 0:
            kind = "repeat" if e["repeat"] else e["kind"]
            figures[day(e["occurred_at"]), "grants", e["offer"], kind] += 1
    decisions = told[topics.DECISIONS]
    tables["decisions"] = Counter(
        (e["effect_id"], e["kind"], e["rule"], e["control"], json.dumps(e["conditions"])) for e in decisions
    )
    figures.update(
        (day(e["occurred_at"]), "control", 0, f"{e['kind']}:{e['decision']}")
        for e in decisions
        if e["control"]
    )
    last("predictions", {
        (e["customer_id"], e["set"]): (
            e["customer_id"], e["set"], at(e["occurred_at"]), json.dumps(e["models"])
        )
        for e in told[topics.PREDICTIONS]
    })  # fmt: skip
    _campaigns(told[topics.CAMPAIGN_TRIGGERS], tables, figures)
    log = zip(
        [m.partition() for m in records[topics.CUSTOMER_EVENTS]], told[topics.CUSTOMER_EVENTS], strict=True
    )
    _log(log, tables, figures)
    tables["figures"] = Counter({(*key, value): 1 for key, value in figures.items() if value})
    return tables


def _campaigns(told: list[dict[str, Any]], tables: Tables, figures: Counter[tuple[Any, ...]]) -> None:
    triggers: dict[str, dict[str, Any]] = defaultdict(dict)
    for e in told:
        one, when = triggers[e["trigger_id"]], at(e["occurred_at"])
        one[e["status"]] = when
        if e["status"] == "triggered":
            one |= {"first": e, "message": e["message"]}
            figures[day(e["occurred_at"]), "cost", e["campaign"], ""] += e["cost"]
        if e["status"] == "converted":
            one["by"] = e["by"]
        figures[day(e["occurred_at"]), "campaigns", e["campaign"], f"{e['status']}:{e['arm']}"] += 1
    tables["trigger_history"] = Counter(
        (e["effect_id"], e["trigger_id"], e["status"], e["by"], e["arm"], e["cost"]) for e in told
    )
    tables["triggers"] = Counter(
        (
            id, one["first"]["customer_id"], one["first"]["campaign"], one["first"]["arm"],
            one["first"]["cost"], one["triggered"], one.get("delivered"), one.get("converted"), one.get("by"),
            one["message"], day(one["first"]["occurred_at"]),
        )
        for id, one in triggers.items()
    )  # fmt: skip


def _log(
    events: Iterable[tuple[int, dict[str, Any]]], tables: Tables, figures: Counter[tuple[Any, ...]]
) -> None:
    usage: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    recent: dict[str, list[tuple[str, str]]] = defaultdict(list)
    listed: dict[tuple[str, str, str], tuple[Any, ...]] = {}
    seen: dict[str, list[datetime]] = defaultdict(list)
    newest: dict[int, date] = defaultdict(lambda: date.min)
    for partition, e in events:
        kind, customer = e["event_type"], e["customer_id"]
        if kind == "_tick":
            newest[partition] = max(newest[partition], day(e["attributes"]["at"]))
        if kind.startswith("_"):
            continue
        newest[partition] = max(newest[partition], day(e["occurred_at"]))
        key, value, today = (e["source"], e["event_id"]), e["value"], day(e["occurred_at"])
        cells = _cells(kind, value)
        if cells is not None:
            if key in recent[customer][-32:]:
                continue
            recent[customer].append(key)
            usage[customer, today].update(cells)
            figures[today, "events", 0, kind] += 1
        elif (customer, *key) not in listed and (newest[partition] - today).days < 90:
            listed[customer, *key] = (customer, *key, kind, value, at(e["occurred_at"]))
            figures[today, "events", 0, kind] += 1
            if kind in ("recharge", "purchase", "payment", "bundle_purchase", "invoice", "refund"):
                figures[today, "amount", 0, kind] += round(value * 100)
        seen[customer].append(at(e["occurred_at"]))
    last = max(newest.values())  # a tick that everybody saw
    tables["events"] = Counter(row for row in listed.values() if (last - row[-1].date()).days < 90)
    tables["usage"] = Counter(
        (customer, when, *(cells[name] for name in schema.USAGE)) for (customer, when), cells in usage.items()
    )
    tables["customers"] = Counter((customer, "open", min(t), max(t)) for customer, t in seen.items())


def _cells(kind: str, value: float) -> dict[str, int] | None:
    match kind:
        case "voice_call" | "roaming_call":
            return {"calls": 1, "seconds": round(value)}
        case "data_session" | "roaming_data":
            return {"data_kb": round(value * 1024)}
        case "sms" | "app_login" | "feature_use" | "content_view" | "web_login":
            return {kind: round(value)}
        case "qoe_degradation":
            return {"qoe": round(value)}
        case _ if kind in APP_OTHER:
            return {"app_other": round(value)}
    return None


SELECTS = {
    "scores": "customer_id, engagement, revenue, loyalty, risk, digital, as_of, reason",
    "score_history": "customer_id, day, engagement, revenue, loyalty, risk, digital, as_of",
    "missions": "replace(mission_id::text, '-', ''), customer_id, number, name, category, status, progress, "
    "target, started_at, ends_at, changed_at",
    "mission_history": "replace(effect_id::text, '-', ''), replace(mission_id::text, '-', ''), status, "
    "tenths, cause_event",
    "badges": "replace(effect_id::text, '-', ''), customer_id, number, level, occurred_at",
    "tiers": "customer_id, level, name",
    "ledger": "replace(effect_id::text, '-', ''), kind, rule, points, offer, balance",
    "balances": "customer_id, balance",
    "decisions": "replace(effect_id::text, '-', ''), kind, rule, control, conditions",
    "predictions": "customer_id, set, as_of, models",
    "trigger_history": "replace(effect_id::text, '-', ''), replace(trigger_id::text, '-', ''), status, "
    '"by", arm, cost',
    "triggers": "replace(trigger_id::text, '-', ''), customer_id, campaign, arm, cost, triggered_at, "
    "delivered_at, converted_at, converted_by, body->>'message', day",
    "events": "customer_id, source, event_id, event_type, value, occurred_at",
    "usage": f"customer_id, day, {', '.join(schema.USAGE)}",
    "customers": "customer_id, state, first_seen, last_seen",
}


def found(url: str) -> Tables:
    """The same of PostgreSQL."""
    tables: Tables = {}
    connection = psycopg2.connect(url.replace("+psycopg2", ""), options="-c timezone=UTC")
    try:
        with connection.cursor() as cursor:
            for table, columns in SELECTS.items():
                cursor.execute(f"select {columns} from projection.{table}")
                tables[table] = Counter(
                    tuple(json.dumps(v) if isinstance(v, list | dict) else v for v in row)
                    for row in cursor.fetchall()
                )
            cursor.execute(
                "select day, measure, number, detail, sum(value)::bigint from projection.figures "
                "group by 1, 2, 3, 4 having sum(value) <> 0"
            )
            tables["figures"] = Counter(cursor.fetchall())
    finally:
        connection.close()
    return tables


def dump(url: str) -> Tables:
    """Every row of every table, but for those that tell of the projector itself."""
    tables: Tables = {}
    connection = psycopg2.connect(url.replace("+psycopg2", ""), options="-c timezone=UTC")
    try:
        with connection.cursor() as cursor:
            for table in schema.metadata.sorted_tables:
                if table.name in ("meta", "offsets"):
                    continue
                columns = [f"{c.name}::text" if c.name != "by" else '"by"' for c in table.columns]
                if table.name == "erased":
                    columns.remove("number::text")
                cursor.execute(f"select {', '.join(columns)} from projection.{table.name}")
                tables[table.name] = Counter(cursor.fetchall())
    finally:
        connection.close()
    return tables


def same(left: Tables, right: Tables) -> None:
    """An AssertionError that names the table, and what is too many or too few."""
    assert left.keys() == right.keys(), left.keys() ^ right.keys()
    for name, rows in left.items():
        more, fewer = right[name] - rows, rows - right[name]
        assert not more, f"{name}: {more.total()} too many, as {next(iter(more))}"
        assert not fewer, f"{name}: {fewer.total()} too few, as {next(iter(fewer))}"
