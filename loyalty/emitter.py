"""What the kernel's effects become: effects on their topics, forwards, and changes of the side table.

Many effects of a pass are written together, in columns; those that need more than the row, and all where they
are few, one by one.  Either way the bytes and their order are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loyalty.asking import Ask
from loyalty.campaign_telling import CampaignTeller
from loyalty.columns import (
    ASK,
    BADGE,
    BY_EVENT,
    BY_HELD,
    BY_REFRESH,
    BY_SETTLE,
    CAMPAIGN,
    GRANT,
    LINK,
    MISSION,
    OPEN_GRANTS,
    PUBLICATION,
    REFRESH,
    REKEY,
    RESET,
    RESULT,
    SET_PROFILE,
    TIER,
)
from loyalty.decode import Batch
from loyalty.effects import SOURCE, Cause, Effect, Moments, Which, result_effect, scores_effects
from loyalty.events import CODES, MONEY
from loyalty.links import merge_record, path_of, rekeyed
from loyalty.outcome import Outcome
from loyalty.spans import Spans
from loyalty.telling import Teller
from loyalty.telling_many import ManyTeller, Telling, moves_words
from loyalty.times import iso_many

if TYPE_CHECKING:
    from loyalty.engine import Engine

#: Effects of a pass as the kernel leaves them.
Found = NDArray[np.void]

MANY = 500  # effects of a pass from which on it is faster to write them together
_GAME = frozenset((MISSION, BADGE, TIER, GRANT))
_MONEY = frozenset(CODES[name] for name in MONEY)
_BY = {BY_REFRESH: "refresh", BY_SETTLE: "settle", BY_HELD: "held"}


class Emitter:
    """Of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.teller = Teller(engine.content, engine.side)
        self.campaigns = CampaignTeller(engine.content, engine.side)
        self.many = MANY
        self._many_teller = ManyTeller(self.teller.names, engine.side)

    def emit(
        self, batch: Batch, start: int, found: Found, ids: Spans, out: Outcome,
        links: NDArray[np.void] | None = None,
    ) -> None:  # fmt: skip
        """Turn effects into records, and do to the side table what they say, in their order.

        Events of the effects count from `start` of the batch; `ids` are the customers of the effects.
        """
        engine, teller, side, records = self._engine, self.teller, self._engine.side, batch.records
        revision = engine.state.partition.revision
        moments, which = self._moments(batch, start, found, ids)
        kinds = found["kind"]
        told, busy = None, np.arange(len(found))
        if len(found) >= self.many and not moves_words(found):
            told = self._many_teller.tell(Telling(found, moments, which, engine.seen), revision)
            busy = told.busy()
        mine = np.flatnonzero(kinds == PUBLICATION) if told is None else busy[:0]
        published = scores_effects(moments, which[mine], found["detail"][mine], found["scores"][mine])
        game = {
            kind: teller.columns(found, kind)
            for kind in np.unique(kinds[busy]).tolist()
            if kind >= MISSION and (told is None or kind not in _GAME)
        }
        names = (found[name][busy].tolist() for name in ("kind", "detail", "cause", "event", "as_of"))
        rows = zip(busy.tolist(), which[busy].tolist(), ids.take(busy).all(), *names, strict=True)
        effects: list[Effect] = []
        places: list[int] = []  # of effects that come between those told together
        for n, m, id, kind, detail, cause, event, as_of in rows:
            i = start + event
            if kind == PUBLICATION:
                effects.append(next(published))
            elif kind in _GAME:
                paid = cause == BY_EVENT and batch.events["kind"][i] in _MONEY
                hash_ = int(batch.events["hash"][i]) if paid else None
                if told is not None:
                    self._many_teller.keep(told, n, hash_, out.forwards)
                elif kind == MISSION:
                    teller.mission(moments[m], next(game[kind]), engine.seen, effects, out.forwards)
                elif kind == BADGE:
                    teller.badge(moments[m], next(game[kind]), revision, engine.seen, effects)
                elif kind == GRANT:
                    teller.grant(moments[m], next(game[kind]), revision, effects, hash_)
                else:
                    teller.tier(moments[m], next(game[kind]), revision, effects)
            elif kind == ASK:
                by = Cause(moments.sources[m].decode(), moments.event_ids[m].decode())
                out.asks.append(Ask(id, detail, as_of, revision, by))
            elif kind == OPEN_GRANTS:
                teller.repeat_open(moments[m], next(game[kind]), effects)
            elif kind == CAMPAIGN:
                row = next(game[kind])
                self.campaigns.campaign(moments[m], row, revision, engine.seen, effects, out.forwards)
            elif kind == RESULT:
                effects.append(result_effect(records[i], revision, engine.partition, detail))
            elif kind == REKEY:
                self.rekey(batch, i, out)
            elif kind == LINK:
                assert links is not None
                self._link(batch, i, links[batch.events["extra"][i]].tobytes(), out)
            elif kind == SET_PROFILE:
                profile = side.profile(id) | batch.updates[batch.events["extra"][i]]
                side.set_profile(id, {name: word for name, word in profile.items() if word is not None})
            elif kind == RESET:
                side.set_profile(id, {})
                side.forget_grants(id)
            if told is not None:
                places += [n] * (len(effects) - len(places))
        if told is None:
            out.effects.extend(effects)
        else:
            out.effects.add(told.among(places, effects))
        refreshed = (found["kind"] == PUBLICATION) & (found["detail"] == REFRESH)
        out.counts["refreshes"] += int(np.count_nonzero(refreshed))

    def _moments(self, batch: Batch, start: int, found: Found, ids: Spans) -> tuple[Moments, Which]:
        """The moments of effects, and which of them is an effect's."""
        new = np.ones(len(found), np.bool_)
        new[1:] = False
        for name in ("event", "slot", "cause", "caused_at", "as_of"):
            new[1:] |= found[name][1:] != found[name][:-1]
        firsts = np.flatnonzero(new)
        first = found[firsts]
        sources, event_ids = batch.records.causes(start + first["event"].astype(np.int64))
        timed = np.flatnonzero(first["cause"] != BY_EVENT)
        if len(timed):
            times = zip(first["cause"][timed].tolist(), iso_many(first["caused_at"][timed]), strict=True)
            sources = sources.but(timed, [SOURCE.encode()] * len(timed))
            event_ids = event_ids.but(
                timed, [f"{_BY.get(cause, 'tick')}:{at}".encode() for cause, at in times]
            )
        customers, revision = ids.take(firsts).joined(), self._engine.state.partition.revision
        moments = Moments(customers, first["as_of"], revision, sources, event_ids)
        return moments, np.cumsum(new, dtype=np.int64) - 1

    def _link(self, batch: Batch, i: int, row: bytes, out: Outcome) -> None:
        record, id = batch.records[i], batch.ids[i]
        side = self._engine.side
        side.set_link(id, record.attributes["to"])
        entries, profile = side.entries(id), side.profile(id)
        out.forwards.append(merge_record(record, int(batch.events["hash"][i]), row, entries, profile))

    def rekey(self, batch: Batch, i: int, out: Outcome) -> None:
        """Hand a linked customer's record on to the customer they have become."""
        record = batch.records[i]
        if record.event_type != "_merge" and record.customer_id in path_of(record):
            out.counts["links_refused"] += 1
        else:
            out.forwards.append(rekeyed(record, batch.records.raw(i), self._engine.side.link(batch.ids[i])))
