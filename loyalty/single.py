"""Records that need the side table in the middle of the log: refunds, answers for grants, accounts, erasure.

They are rare, so each is folded alone: the kernel runs up to it, and again after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loyalty import joining
from loyalty.campaign_telling import entry_of
from loyalty.columns import (
    CLOSED,
    DONE,
    ERASE_OP,
    ERASED,
    GRANT,
    NEVER,
    OTHER_WINDOW,
    TIER,
    UNKNOWN_CUSTOMER,
    UNKNOWN_GRANT,
)
from loyalty.decode import ANSWERS, CONVERTED, FULFILLED, OPS, REFUND, Batch
from loyalty.effects import Cause, Moment, digest, erased, mission_id, moment, result_effect
from loyalty.game import TEMPLATES, Campaign, Limits
from loyalty.hashing import hash64
from loyalty.links import own_record
from loyalty.moving import in_control
from loyalty.points import balance
from loyalty.records import Record
from loyalty.row import ACTIVE, AT_REST, OPEN, UNDER_WAY
from loyalty.rules import Rules
from loyalty.spans import Spans
from loyalty.telling import unknown_refund
from loyalty.times import iso
from loyalty.wording import ask

if TYPE_CHECKING:
    from loyalty.engine import Engine, Outcome


MOST_NUMBER = TEMPLATES  # of a template or campaign
TAKEN = 1  # what an account granted


class Single:
    """What an engine does with such records."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._side = engine.side

    def _moment(self, record: Record, id: bytes, as_of: int) -> Moment:
        revision = self._engine.state.partition.revision
        return moment(id, iso(as_of), revision, record.source, record.event_id, record.customer_id)

    # -- refunds and answers ------------------------------------------------------------------------

    def event(self, batch: Batch, i: int, out: Outcome) -> None:
        """The rest of a refund or an answer that was counted."""
        slot = int(batch.events["slot"][i])
        if self._engine.state.rows["state"][slot] != OPEN:
            return
        kind = int(batch.events["kind"][i])
        if kind == REFUND:
            self._refund(batch, i, slot, out)
        elif ANSWERS[kind] == "trigger_id":
            self._triggered(batch, i, slot, out)
        else:
            self._answer(batch, i, slot)
        record = batch.records[i]
        if out.asks and out.asks[-1].cause == Cause(record.source, record.event_id):
            out.handed_out[-1][-1] = self._engine.state.rows[slot]  # as it is when all else is done

    def _refund(self, batch: Batch, i: int, slot: int, out: Outcome) -> None:
        record, id, side, engine = batch.records[i], batch.ids[i], self._side, self._engine
        hash_ = hash64(f"{record.source}\0{record.attributes['refunds']}".encode())
        row = engine.state.rows[slot]
        revision = engine.state.partition.revision
        control = bool(in_control(row["id_hash"], engine.policy()[0]))
        if side.time(id, hash_) == NEVER:
            out.effects.append(unknown_refund(self._moment(record, id, int(row["as_of"])), control))
            return
        if control:
            return
        undone = []
        for grant_id in side.caused(id, hash_):
            grant = side.grant(id, grant_id)
            if grant is not None and grant.status != "reversed":
                undone.append((grant_id, grant, grant.status == "open"))
                grant.status = "reversed"
                side.put_grant(id, grant_id, grant)
        grants = [grant for _, grant, _ in undone]
        points = np.array([grant.points for grant in grants], np.int64)
        months = np.array([grant.month for grant in grants], np.int64)
        offers = np.array([grant.offer for grant in grants], np.int64)
        was_open = np.array([open_ for _, _, open_ in undone], np.bool_)

        def run(begin: int, rules: Rules, desk: NDArray[np.void]) -> int:
            joining.take_back_grants(
                engine.state.rows,
                slot,
                0,
                points,
                months,
                offers,
                was_open,
                engine.policy(),
                desk,
                engine.effects,
            )
            return 1

        def emit(found: Any) -> None:
            of, teller = self._moment(record, id, int(row["as_of"])), engine.emitter.teller
            for told, (grant_id, _, _) in zip(teller.columns(found, GRANT), undone, strict=True):
                teller.grant(of, told, revision, out.effects, None, grant_id)
            for told in teller.columns(found, TIER):
                teller.tier(of, told, revision, out.effects)

        engine.run(1, run, emit, out)

    def _answer(self, batch: Batch, i: int, slot: int) -> None:
        grant_id, id = batch.records[i].attributes["grant_id"], batch.ids[i]
        grant = self._side.grant(id, grant_id)
        if grant is None or grant.status != "open":
            return
        grant.status = "fulfilled" if batch.events["kind"][i] == FULFILLED else "failed"
        self._side.put_grant(id, grant_id, grant)
        row = self._engine.state.rows[slot]
        row["open_grants"] = max(int(row["open_grants"]) - 1, 0)

    def _triggered(self, batch: Batch, i: int, slot: int, out: Outcome) -> None:
        """A message was delivered, or a campaign has brought what it was for."""
        record, id, engine = batch.records[i], batch.ids[i], self._engine
        given: str = record.attributes["trigger_id"]
        row, revision = engine.state.rows[slot], engine.state.partition.revision
        entry = entry_of(row, record.customer_id, given)
        if entry < 0:
            return
        converted = batch.events["kind"][i] == CONVERTED
        if converted:
            if row["campaign_status"][entry] != UNDER_WAY:
                return
            row["campaign_status"][entry] = AT_REST
        if in_control(row["id_hash"], engine.policy()[0]):
            return
        out.counts["campaigns_converted"] += converted
        number, arm = int(row["campaign"][entry]), int(row["campaign_arm"][entry])
        status, by = ("converted", "answer") if converted else ("delivered", "")
        of = self._moment(record, id, int(row["as_of"]))
        out.effects.append(engine.emitter.campaigns.outcome(of, revision, number, given, arm, status, by))

    # -- commands for one customer ------------------------------------------------------------------

    def command(self, batch: Batch, i: int, out: Outcome) -> None:
        """`repeat_grant` and `erase`."""
        record, id, engine = batch.records[i], batch.ids[i], self._engine
        out.counts["commands"] += 1
        op = OPS[record.attributes["command"]]
        status, slot = DONE, engine.state.find(id)
        nameless = op == ERASE_OP
        if slot < 0:
            gone = digest(id) in engine.erased
            status, nameless = ERASED if gone else UNKNOWN_CUSTOMER, False
        elif op == ERASE_OP:
            self._erase(record, id, slot, out)
        elif engine.state.rows["state"][slot] != OPEN:
            status = CLOSED
        else:
            hash_, row = int(batch.events["hash"][i]), engine.state.rows[slot]
            before = self._side.time(id, hash_)
            now = max(int(row["as_of"]), engine.state.partition.tick)
            if before != NEVER and now - before <= OTHER_WINDOW:
                out.counts["duplicates"] += 1
                return
            status = self._repeat(record, id, slot, out)
            if status == DONE:
                self._side.remember(id, hash_, int(row["as_of"]))
        revision = engine.state.partition.revision
        out.effects.append(result_effect(record, revision, engine.partition, status, nameless))

    def _repeat(self, record: Record, id: bytes, slot: int, out: Outcome) -> int:
        grant_id = record.attributes["arguments"]["grant_id"]
        grant = self._side.grant(id, grant_id)
        if grant is None or grant.kind != "offer":
            return UNKNOWN_GRANT
        row = self._engine.state.rows[slot]
        as_of, left = int(row["as_of"]), int(balance(row))
        of = self._moment(record, id, as_of)
        self._engine.emitter.teller.repeat(of, grant_id, grant, as_of, left, out.effects)
        return DONE

    def _erase(self, record: Record, id: bytes, slot: int, out: Outcome) -> None:
        engine, state = self._engine, self._engine.state
        row = state.rows[slot]
        at = iso(state.partition.tick) if state.partition.tick else record.occurred_at
        if row["state"] == OPEN:
            self._give_back(row, record.customer_id, out)
            engine.owe(row, -1)
        self._side.erase(id)
        state.rows[slot] = np.zeros(1, state.rows.dtype)[0]
        state.touch(np.array([slot], np.int32))
        engine.erased.add(digest(id))
        self._side.set_erased(digest(id), True)
        out.effects.extend(erased(id, at))
        out.counts["erased"] += 1

    def _give_back(self, row: Any, customer_id: str, out: Outcome) -> None:
        """Let other customers have the capped missions of one who goes."""
        engine, at = self._engine, iso(int(row["as_of"]))
        if in_control(row["id_hash"], engine.policy()[0]):
            return
        for n in np.flatnonzero(row["mission_status"] == ACTIVE).tolist():
            number = int(row["mission_template"][n])
            rule = engine.emitter.teller.names(int(row["mission_revision"][n])).rule(number)
            if rule.capped:
                event_id = f"release:{mission_id(customer_id, number, int(row['mission_started'][n]))}"
                out.forwards.append(ask(number, customer_id, event_id, at, -1, -rule.points))

    # -- accounts -----------------------------------------------------------------------------------

    def reserve(self, batch: Batch, i: int, out: Outcome) -> None:
        """Take from the account of a template or campaign, or give back to it."""
        record, id = batch.records[i], batch.ids[i]
        attributes = record.attributes
        kind = _of(record)
        count, points, number = attributes["count"], attributes["points"], attributes[kind]
        account = self._side.account(id)
        if count < 0:
            account.count = max(account.count + count, 0)
            account.points = max(account.points + points, 0)
            self._side.put_account(id, account)
            return
        limits = self._limits(kind, number)
        granted = (
            limits is not None
            and record.customer_id == f"{kind}:{number}"
            and (not limits.total or account.count + count <= limits.total)
            and (not limits.budget or account.points + points <= limits.budget)
        )
        if granted:
            account.count += count
            account.points += points
            self._side.put_account(id, account)
        answer = {kind: number, "granted": granted, "count": count, "points": points}
        out.forwards.append(
            own_record(
                attributes["customer"],
                "_reservation",
                f"reservation:{record.event_id}",
                record.occurred_at,
                answer,
            )
        )

    def _limits(self, kind: str, number: int) -> Limits | Campaign | None:
        """Those of a template or campaign, None for one that is gone or switched off."""
        engine = self._engine
        revision = engine.state.partition.revision
        if kind == "campaign":
            known = engine.emitter.campaigns.known(revision, number)
            return known.campaign if known is not None and known.campaign.active else None
        template = engine.emitter.teller.names(revision).templates.get(number)
        return template.limits if template is not None and template.active else None

    def reservation(self, batch: Batch, i: int, out: Outcome) -> None:
        """The answer of an account, for the customer who waits for it."""
        record, id, engine = batch.records[i], batch.ids[i], self._engine
        attributes, state = record.attributes, engine.state
        kind = _of(record)
        number, granted = attributes[kind], attributes["granted"]
        slot, at = state.find(id), int(batch.events["at"][i])
        answer = joining.answer_campaign if kind == "campaign" else joining.answer_reservation
        # What has no such number in any catalog is nobody's: -1 is a number that compiled code can hold.
        mine = number if 0 <= number <= MOST_NUMBER else -1
        status = 0
        if slot >= 0 and state.rows["state"][slot] == OPEN:

            def run(begin: int, rules: Rules, desk: NDArray[np.void]) -> int:
                nonlocal status
                status = answer(
                    state.rows, slot, 0, at, mine, granted, engine.policy(), rules.tables, desk,
                    engine.effects, engine.seen, engine.asked,
                )  # fmt: skip
                return 1 if status >= 0 else 0

            told: list[Any] = []
            engine.run(1, run, lambda found: told.append(found.copy()), out)
            for found in told:
                engine.emitter.emit(batch, i, found, Spans.of([id] * len(found)), out)
            if status:
                state.touch(np.array([slot], np.int32))
        if granted and status != TAKEN:
            out.forwards.append(
                ask(
                    number,
                    record.customer_id,
                    f"return:{record.event_id}",
                    record.occurred_at,
                    -attributes["count"],
                    -attributes["points"],
                    kind,
                )
            )


def _of(record: Record) -> str:
    """What an account, or its answer, is about: a template or a campaign."""
    return "campaign" if "campaign" in record.attributes else "template"
