"""Lists of the projection: customers, scores, missions, badges, points, offers, decisions, events.

Every function takes a SQLAlchemy Connection or Session as `db` and gives plain dicts.  Lists stand newest
first and come in pages; sums over everybody are in `projection.sums`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, and_, case, func, literal_column, select
from sqlalchemy.dialects.postgresql import distinct_on

from loyalty.effects import digest
from projection import schema
from projection.paging import MOST, BadCursor, Page, page, row

__all__ = [
    "MOST", "BadCursor", "Page", "badges", "customer", "customers", "decisions", "erased", "events",
    "freshness", "grants", "ledger", "mission", "mission_history", "missions", "points", "predictions",
    "score_history", "scores", "tier", "triggers", "usage",
]  # fmt: skip

LIMIT = 100
_OWN = ("partition", "recorded_at", "log_offset")


def _of(table: Table, *without: str) -> Select[Any]:
    """Its columns, but for those that are ours alone."""
    return select(*(column for column in table.columns if column.name not in (*_OWN, *without)))


def _where(statement: Select[Any], *conditions: ColumnElement[bool] | None) -> Select[Any]:
    return statement.where(*(condition for condition in conditions if condition is not None))


def _is(column: Any, value: object) -> ColumnElement[bool] | None:
    return None if value is None else column == value


def _between(
    column: Any, since: date | datetime | None, until: date | datetime | None
) -> ColumnElement[bool]:
    """`since` included, `until` not; of days both."""
    conditions = [column >= since] if since is not None else []
    if until is not None:
        conditions.append(column < until if isinstance(until, datetime) else column <= until)
    return and_(True, *conditions)


def _one(db: Any, statement: Select[Any]) -> dict[str, Any] | None:
    found = db.execute(statement).mappings().first()
    return None if found is None else row(found)


def _all(db: Any, statement: Select[Any]) -> list[dict[str, Any]]:
    return [row(each) for each in db.execute(statement).mappings()]


def _is_id(text: str) -> bool:
    """Whether it can be the id of an effect."""
    try:
        return UUID(text).hex == text
    except ValueError:
        return False


# -- customers ------------------------------------------------------------------------------------------


def customer(db: Any, customer_id: str) -> dict[str, Any] | None:
    """What the log says of a customer; None for an unknown or erased one."""
    table = schema.customers
    return _one(db, _of(table, "hash", "recent").where(table.c.customer_id == customer_id))


def customers(db: Any, *, state: str | None = None, limit: int = LIMIT, cursor: str | None = None) -> Page:
    """Customers in the order of their ids."""
    table = schema.customers
    statement = _where(_of(table, "hash", "recent"), _is(table.c.state, state))
    return page(db, statement, [table.c.customer_id], limit, cursor, descending=False)


def erased(db: Any, customer_id: str) -> datetime | None:
    """When a customer of that id was erased last; whoever uses the id now may be another."""
    table = schema.erased
    found = db.execute(
        select(table.c.recorded_at).where(table.c.hash == digest(customer_id.encode()))
    ).scalar_one_or_none()
    return found if isinstance(found, datetime) else None


def _linked(db: Any, customer_id: str) -> list[str]:
    """The customer, and all who have become this one."""
    table = schema.customers
    whole = select(table.c.customer_id).where(table.c.customer_id == customer_id).cte("whole", recursive=True)
    whole = whole.union(select(table.c.customer_id).join(whole, table.c.linked_to == whole.c.customer_id))
    return [customer_id, *(id for (id,) in db.execute(select(whole.c.customer_id)) if id != customer_id)]


def _opened(customer_id: str) -> Any:
    """When this life of a customer began, as a scalar; what is older was another's."""
    table = schema.customers
    began = select(table.c.opened_at).where(table.c.customer_id == customer_id).scalar_subquery()
    return func.coalesce(began, literal_column("'-infinity'::timestamptz"))


# -- scores and predictions -----------------------------------------------------------------------------


def scores(db: Any, customer_id: str) -> dict[str, Any] | None:
    """The scores as last published."""
    table = schema.scores
    return _one(db, _of(table).where(table.c.customer_id == customer_id))


def score_history(
    db: Any, customer_id: str, *, since: date | None = None, until: date | None = None
) -> list[dict[str, Any]]:
    """The last scores of each day on which some were published, oldest first."""
    table = schema.score_history
    return _all(
        db,
        _of(table, "customer_id")
        .where(table.c.customer_id == customer_id, _between(table.c.day, since, until))
        .order_by(table.c.day),
    )


def predictions(db: Any, customer_id: str) -> dict[str, dict[str, Any]]:
    """What was foretold last, by set of models."""
    table = schema.predictions
    found = _all(db, _of(table, "customer_id").where(table.c.customer_id == customer_id))
    return {each.pop("set"): each for each in found}


# -- missions and badges --------------------------------------------------------------------------------


def missions(
    db: Any, *, customer_id: str | None = None, status: str | None = None, number: int | None = None,
    category: str | None = None, limit: int = LIMIT, cursor: str | None = None,
) -> Page:  # fmt: skip
    """Missions as they are or ended; `status` active, completed, expired, replaced or cancelled."""
    table = schema.missions
    c = table.c
    statement = _where(
        _of(table, "day"), _is(c.customer_id, customer_id), _is(c.status, status), _is(c.number, number),
        _is(c.category, category),
    )  # fmt: skip
    return page(db, statement, [c.started_at, c.mission_id], limit, cursor)


def mission(db: Any, mission_id: str) -> dict[str, Any] | None:
    """One mission."""
    table = schema.missions
    return _one(db, _of(table, "day").where(table.c.mission_id == mission_id)) if _is_id(mission_id) else None


def mission_history(db: Any, mission_id: str) -> list[dict[str, Any]]:
    """What was told of a mission, oldest first."""
    table = schema.mission_history
    if not _is_id(mission_id):
        return []
    statement = _of(table, "day").where(table.c.mission_id == mission_id)
    return _all(db, statement.order_by(table.c.occurred_at, table.c.log_offset))


def badges(db: Any, customer_id: str) -> list[dict[str, Any]]:
    """Levels held, those of linked customers too.  `awarded_at` None: only a snapshot tells of it."""
    c = schema.badges.c
    by_snapshot = c.reason == "snapshot"
    statement = (
        select(
            c.number, c.name, c.level, c.level_name,
            case((by_snapshot, None), else_=c.occurred_at).label("awarded_at"),
            c.reason,
        )
        .ext(distinct_on(c.number, c.level))
        .where(c.customer_id.in_(_linked(db, customer_id)), c.occurred_at >= _opened(customer_id))
        .order_by(c.number, c.level, by_snapshot, c.occurred_at)
    )  # fmt: skip
    return _all(db, statement)


def tier(db: Any, customer_id: str) -> dict[str, Any] | None:
    """The tier; None for whoever never had another than the lowest."""
    c = schema.tiers.c
    return _one(
        db,
        select(c.level, c.name, c.since).where(c.customer_id == customer_id, c.since >= _opened(customer_id)),
    )


# -- points and offers ----------------------------------------------------------------------------------


def ledger(
    db: Any, *, customer_id: str | None = None, kind: str | None = None, rule: str | None = None,
    limit: int = LIMIT, cursor: str | None = None,
) -> Page:  # fmt: skip
    """What came and went: points, offers, redemptions, expiries."""
    table = schema.ledger
    c = table.c
    statement = _where(
        _of(table, "day"), _is(c.customer_id, customer_id), _is(c.kind, kind), _is(c.rule, rule)
    )
    return page(db, statement, [c.occurred_at, c.effect_id], limit, cursor)


def points(db: Any, customer_id: str) -> dict[str, Any]:
    """The balance, and what came and went by kind (`points redeemed adjusted expired reversed forfeited`).

    `as_of` is None for whoever never had any.
    """
    b, c = schema.balances.c, schema.ledger.c
    now = _one(db, select(b.balance, b.as_of).where(b.customer_id == customer_id))
    sums = dict.fromkeys(("points", "redeemed", "adjusted", "expired", "reversed", "forfeited"), 0)
    found = db.execute(
        select(c.kind, func.sum(c.points))
        .where(c.customer_id == customer_id, c.kind != "offer", c.occurred_at >= _opened(customer_id))
        .group_by(c.kind)
    )
    sums |= {kind: int(total) for kind, total in found}
    return {**(now or {"balance": 0, "as_of": None}), **sums}


def grants(
    db: Any, *, customer_id: str | None = None, status: str | None = None, offer: int | None = None,
    limit: int = LIMIT, cursor: str | None = None,
) -> Page:  # fmt: skip
    """Offers to hand out: `status` open, fulfilled, failed or reversed, as answered first."""
    told, undone = schema.ledger.alias("told"), schema.ledger.alias("undone")
    c, answer = schema.ledger.c, schema.answers.c
    again = (
        select(func.max(told.c.repeat).label("repeats"), func.max(told.c.occurred_at).label("told_at"))
        .where(told.c.grant_id == c.grant_id, told.c.repeat > 0)
        .lateral("again")
    )
    reversal = (
        select(func.min(undone.c.occurred_at).label("reversed_at"))
        .where(undone.c.reverses == c.grant_id, undone.c.kind == "reversed")
        .lateral("reversal")
    )
    became = case(
        (reversal.c.reversed_at.is_not(None), "reversed"),
        (answer.kind == "grant_fulfilled", "fulfilled"),
        (answer.kind == "grant_failed", "failed"),
        else_="open",
    )
    offers = (
        select(
            c.grant_id, c.customer_id, c.offer, c.rule, c.occurred_at, c.effect_id, c.revision,
            c.cause_source, c.cause_event, func.coalesce(again.c.repeats, 0).label("repeats"),
            func.coalesce(again.c.told_at, c.occurred_at).label("told_at"),
            answer.occurred_at.label("answered_at"), reversal.c.reversed_at, became.label("status"),
        )
        .select_from(
            schema.ledger.join(again, literal_column("true")).join(reversal, literal_column("true"))
            .outerjoin(
                schema.answers,
                and_(answer.grant_id == c.grant_id, answer.customer_id == c.customer_id),
            )
        )
        .where(c.kind == "offer", c.repeat == 0)
    )  # fmt: skip
    statement = _where(offers, _is(c.customer_id, customer_id), _is(c.offer, offer), _is(became, status))
    found = page(db, statement, [c.occurred_at, c.effect_id], limit, cursor)
    for each in found.rows:
        each["granted_at"] = each.pop("occurred_at")
        del each["effect_id"]
    return found


# -- why, and what happened -----------------------------------------------------------------------------


def decisions(
    db: Any, *, customer_id: str | None = None, kind: str | None = None, rule: str | None = None,
    control: bool | None = None, limit: int = LIMIT, cursor: str | None = None,
) -> Page:  # fmt: skip
    """Decisions with the conditions they saw."""
    table = schema.decisions
    c = table.c
    statement = _where(
        _of(table, "day"), _is(c.customer_id, customer_id), _is(c.kind, kind), _is(c.rule, rule),
        _is(c.control, control),
    )  # fmt: skip
    return page(db, statement, [c.occurred_at, c.effect_id], limit, cursor)


def events(
    db: Any, *, customer_id: str | None = None, source: str | None = None, event_type: str | None = None,
    since: datetime | None = None, until: datetime | None = None, limit: int = LIMIT,
    cursor: str | None = None,
) -> Page:  # fmt: skip
    """Events that are no usage, of the last 90 days."""
    table = schema.events
    c = table.c
    statement = _where(
        select(*(each for each in c if each.name not in ("recorded_at", "day", "units"))),
        _is(c.customer_id, customer_id), _is(c.source, source), _is(c.event_type, event_type),
        _between(c.occurred_at, since, until),
    )  # fmt: skip
    found = page(db, statement, [c.occurred_at, c.partition, c.log_offset], limit, cursor)
    for each in found.rows:
        del each["partition"], each["log_offset"]
    return found


def usage(
    db: Any, customer_id: str, *, since: date | None = None, until: date | None = None
) -> list[dict[str, Any]]:
    """Usage by day, oldest first, that of linked customers too; seconds, kilobytes and counts."""
    c = schema.usage.c
    sums = [func.sum(c[name]).label(name) for name in schema.USAGE]
    found = db.execute(
        select(c.day, *sums)
        .where(c.customer_id.in_(_linked(db, customer_id)), _between(c.day, since, until))
        .group_by(c.day)
        .order_by(c.day)
    ).mappings()
    return [{name: int(value) if name != "day" else value for name, value in each.items()} for each in found]


def triggers(
    db: Any, *, customer_id: str | None = None, campaign: int | None = None, arm: str | None = None,
    status: str | None = None, limit: int = LIMIT, cursor: str | None = None,
) -> Page:  # fmt: skip
    """Campaigns' triggers, one row each with what became of it; `status` triggered, delivered, converted."""
    table = schema.triggers
    c = table.c
    is_status = {
        None: None,
        "triggered": c.delivered_at.is_(None) & c.converted_at.is_(None),
        "delivered": c.delivered_at.is_not(None) & c.converted_at.is_(None),
        "converted": c.converted_at.is_not(None),
    }
    if status not in is_status:
        return Page([], None)
    statement = _where(
        _of(table, "day"), _is(c.customer_id, customer_id), _is(c.campaign, campaign), _is(c.arm, arm),
        is_status[status], c.triggered_at.is_not(None),
    )  # fmt: skip
    return page(db, statement, [c.triggered_at, c.trigger_id], limit, cursor)


def freshness(db: Any) -> dict[str, Any]:
    """`as_of`: up to which event time all of the log is read; `moved_at`: when something was written last."""
    c = schema.offsets.c
    return dict(
        db.execute(select(func.max(c.newest).label("as_of"), func.max(c.moved_at).label("moved_at")))
        .mappings()
        .one()
    )
