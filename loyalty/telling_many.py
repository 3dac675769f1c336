"""Effects of the game as records, many at once: the same bytes as `telling` gives, by compiled code.

What effects have in common is put into words once, their ids are hashed together, and Python only cuts the
text.  For a few it takes longer than one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.blake2 import HEX
from loyalty.columns import (
    BADGE,
    GRANT,
    MISSION,
    OF_MISSION,
    OFFER,
    POINTS,
    PROGRESS,
    PUBLICATION,
    RESERVED,
    RESET,
    SET_PROFILE,
    TIER,
)
from loyalty.effects import (
    BADGE_AWARDS,
    BEHAVIOR_SCORES,
    DECISIONS,
    MISSION_PROGRESS,
    REWARD_GRANTS,
    Effect,
    Ids,
    Moments,
    Scores,
    Which,
    hexes,
    plain,
)
from loyalty.effects import REASONS as PUBLICATIONS
from loyalty.game import LEVELS
from loyalty.seeing import saw
from loyalty.side import Grant, Side
from loyalty.spans import Spans, Texts
from loyalty.told import Columns
from loyalty.wording import (
    BEGINS,
    ENDS,
    GRANTS,
    REASONS,
    STATUSES,
    Condition,
    Forward,
    Names,
    Rule,
    ask,
    award,
    decided,
    grant_rule,
    mission_rule,
    shown,
)
from loyalty.writing import Page, floats

Found = NDArray[np.void]

_GRANTS = Texts.of([kind.encode() for kind in GRANTS])
_PUBLISHED = Texts.of([reason.encode() for reason in PUBLICATIONS])
_EACH = 1 << 32  # ranks of a place: an effect, its decision, what else comes of it
_BITS = {"revision": 31, "number": 16}  # of an EFFECT; other fields have 8


def moves_words(found: Found) -> bool:
    """Whether words change that a condition saw: they are read when effects are written, so in their turn."""
    moved = found["slot"][np.isin(found["kind"], (SET_PROFILE, RESET))]
    return bool(np.isin(found["slot"][found["seen"] >= 0], moved).any())


class Telling:
    """Publications and effects of the game of one pass, by the place in `found` of what they tell of.

    `which`: the moment of each.
    """

    def __init__(
        self, found: Found, of: Moments, which: Which, seen: NDArray[np.float64]
    ) -> None:  # fmt: skip
        self.found, self.of, self.which, self.seen = found, of, which, seen
        self._parts: defaultdict[str, list[Columns]] = defaultdict(list)  # topic
        self.forwards: dict[int, Forward] = {}
        self.grants: dict[int, tuple[str, Grant]] = {}  # their ids, and what is kept of them

    def busy(self) -> Which:
        """The places where more is to be done than to hand out what is written."""
        busy = ~np.isin(self.found["kind"], (PUBLICATION, MISSION, BADGE, TIER, GRANT))
        busy[[*self.forwards, *self.grants]] = True
        return np.flatnonzero(busy)

    def put(self, topic: str, places: Which, ids: Ids, page: Page, second: int = 0) -> None:
        """The effects whose values stand on a page, but for their end."""
        page.text(b"}")
        hexes = np.arange(0, ids.size + 1, HEX)
        self._parts[topic].append(
            Columns(
                topic, _EACH * places + second, self.of.keys.take(self.which[places]), page.written().spans(),
                Spans(ids.reshape(-1), hexes[:-1], hexes[1:]),
            )
        )  # fmt: skip

    def among(self, places: Sequence[int], effects: Sequence[Effect]) -> list[Columns]:
        """All of them by topic, and among them others, each behind those of its place."""
        others: defaultdict[str, list[tuple[int, Effect]]] = defaultdict(list)
        for n, (place, effect) in enumerate(zip(places, effects, strict=True), 2):
            others[effect.topic].append((_EACH * place + n, effect))
        for topic, ranked in others.items():
            self._parts[topic].append(Columns.of(*zip(*ranked, strict=True)))
        return [Columns.merged(parts) for parts in self._parts.values()]


class ManyTeller:
    """What `Teller` tells, for a whole pass."""

    def __init__(self, names: Callable[[int], Names], side: Side) -> None:
        self.names, self._side = names, side

    def tell(self, telling: Telling, revision: int) -> Telling:
        """Write all publications and effects of the game; nothing of the side table changes."""
        kinds = telling.found["kind"]
        for kind, write in (
            (MISSION, self._missions), (BADGE, self._badges), (TIER, self._tiers), (GRANT, self._grants),
            (PUBLICATION, self._publications),
        ):  # fmt: skip
            places = np.flatnonzero(kinds == kind)
            if len(places):
                write(telling, places, telling.found[places], revision)
        return telling

    def _publications(self, telling: Telling, places: Which, rows: Found, _: int) -> None:
        """The five scores."""
        of, which = telling.of, telling.which[places]
        ids = of.ids(which, lambda page: page.text(b"scores"))
        page = of.page(which, ids)
        page.text(b',"as_of":"')
        page.time(of.as_of[which])
        page.text(b'","reason":"')
        page.pick(_PUBLISHED, rows["detail"])
        before = b'","scores":{"'
        for name, column in zip(Scores.__struct_fields__, rows["scores"].T, strict=True):
            page.text(before + name.encode() + b'":')
            page.hundredths(column)
            before = b',"'
        page.text(b"}")
        telling.put(BEHAVIOR_SCORES, places, ids, page)

    def _missions(self, telling: Telling, places: Which, rows: Found, _: int) -> None:
        """What became of missions."""
        of, which, detail, control = telling.of, telling.which, rows["detail"], rows["control"] != 0
        missions = _mission_ids(of, which[places], rows)

        def members(revision: int, number: int, detail: int, reason: int) -> str:
            return (
                f',{self.names(revision).rule(number).members},"status":"{STATUSES[detail]}",'
                f'"reason":"{REASONS[reason]}","progress":'
            )

        def why(revision: int, number: int, detail: int) -> str:
            rule = self.names(revision).rule(number)
            return "," + decided("mission", STATUSES[detail], rule.rule, rule.title)

        names, by_name = _texts(rows, ("number", "detail", "tenths"), mission_rule)
        rules, by_rule = self._rules(rows)
        chosen = np.flatnonzero(~control & (detail < RESERVED))
        if len(chosen):
            told = rows[chosen]
            units = np.array([rule.units for rule in rules], np.int64)[by_rule[chosen]]
            ids = of.ids(which[places[chosen]], lambda page: page.pick(names, by_name[chosen]))
            page = of.page(which[places[chosen]], ids)
            page.text(b',"mission_id":"')
            page.hex(missions[chosen])
            page.text(b'"')
            page.pick(*_texts(told, ("revision", "number", "detail", "reason"), members))
            page.pick(floats(told["progress"] / units))
            page.text(b',"target":')
            page.pick(floats(told["target"] / units))
            page.text(b',"tenths":')
            page.value(told["tenths"])
            page.text(b',"started_at":"')
            page.time(told["started"].astype(np.int64) * 1000)
            page.text(b'","ends_at":"')
            page.time(told["ends"].astype(np.int64) * 1000)
            page.text(b'"')
            telling.put(MISSION_PROGRESS, places[chosen], ids, page)
        chosen = np.flatnonzero(np.isin(detail, BEGINS) | (control & (detail != PROGRESS)))
        if len(chosen):
            conditions = [rule.condition for rule in rules]
            shown = self._saw(telling, conditions, by_rule[chosen], places[chosen])
            whys = _texts(rows[chosen], ("revision", "number", "detail"), why)
            self._decide(telling, places[chosen], (names, by_name[chosen]), whys, shown)
        capped = np.array([rule.capped for rule in rules])[by_rule] & ~control
        for n in np.flatnonzero(capped & ((detail == RESERVED) | np.isin(detail, ENDS))).tolist():
            rule, id, moment = rules[by_rule[n]], missions[n].tobytes().decode(), of[int(which[places[n]])]
            release, sign = ("", 1) if detail[n] == RESERVED else ("release:", -1)
            telling.forwards[int(places[n])] = ask(
                int(rows["number"][n]), moment.customer_id, release + id, moment.at, sign, sign * rule.points
            )

    def _badges(self, telling: Telling, places: Which, rows: Found, revision: int) -> None:
        """Levels awarded."""
        names, of = self.names(revision), telling.of

        def members(number: int, level: int, reason: int) -> str:
            title = plain(names.badges[number].name)
            return "," + award("badge", number, title, level, LEVELS[level - 1], reason)

        def why(number: int, level: int) -> str:
            title = plain(names.badges[number].name)
            return "," + decided("badge", "awarded", f"badge:{number}:{level}", title)

        fields = ("number", "level")
        rules = _texts(rows, fields, lambda number, level: f"badge:{number}:{level}")
        chosen = np.flatnonzero(rows["control"] == 0)
        if len(chosen):
            which = telling.which[places[chosen]]
            ids = of.ids(which, lambda page: page.pick(rules[0], rules[1][chosen]))
            page = of.page(which, ids)
            page.pick(*_texts(rows[chosen], (*fields, "reason"), members))
            telling.put(BADGE_AWARDS, places[chosen], ids, page)
        conditions, by_level = _kept(rows, fields, names.level)
        shown = self._saw(telling, conditions, by_level, places)
        self._decide(telling, places, rules, _texts(rows, fields, why), shown)

    def _tiers(self, telling: Telling, places: Which, rows: Found, revision: int) -> None:
        """Other tiers: `detail` is the one before."""
        tiers, of, which = self.names(revision).tiers, telling.of, telling.which[places]

        def members(level: int, reason: int) -> str:
            name = tiers[level] if level < len(tiers) else ""
            return "," + award("tier", 0, '"tier"', level, name, reason)

        rules = _texts(rows, ("detail", "level"), lambda detail, level: f"tier:{detail}:{level}")
        ids = of.ids(which, lambda page: page.pick(*rules))
        page = of.page(which, ids)
        page.pick(*_texts(rows, ("level", "reason"), members))
        telling.put(BADGE_AWARDS, places, ids, page)

    def _grants(self, telling: Telling, places: Which, rows: Found, revision: int) -> None:
        """Points and offers."""
        of, detail, control = telling.of, rows["detail"], rows["control"] != 0
        fields = ("origin", "number", "level", "detail")
        rules, by_rule = _kept(
            rows, fields, lambda origin, number, level, _: grant_rule(origin, number, level)
        )
        kinds = [GRANTS[each] for each in detail.tolist()]
        own = [rules[n] for n in by_rule.tolist()]
        names = _unique([f"grant:{rule}:{kind}" for rule, kind in zip(own, kinds, strict=True)])
        chosen = np.flatnonzero(~(control & np.isin(detail, (POINTS, OFFER))))
        if len(chosen):
            which, told = telling.which[places[chosen]], rows[chosen]
            # Lots that expire together differ in `tenths`.
            ids = of.ids(which, lambda page: page.pick(names[0], names[1][chosen]), told["tenths"])
            page = of.page(which, ids)
            page.text(b',"grant_id":"')
            page.hex(ids)
            page.text(b'","kind":"')
            page.pick(_GRANTS, told["detail"])
            page.text(b'","rule":"')
            page.pick(Texts.of([rule.encode() for rule in rules]), by_rule[chosen])
            page.text(b'"')
            for name in ("points", "offer", "balance", "month"):
                page.text(f',"{name}":'.encode())
                page.value(told[name])
            page.text(b',"reverses":"","repeat":0')
            telling.put(REWARD_GRANTS, places[chosen], ids, page)
            kept = np.isin(told["detail"], (POINTS, OFFER))
            for n, id in zip(chosen[kept].tolist(), hexes(ids[kept]), strict=True):
                row = rows[n]
                as_of, status = int(row["as_of"]), "open" if row["detail"] == OFFER else "done"
                grant = Grant(
                    as_of, own[n], kinds[n], int(row["points"]), int(row["month"]), int(row["offer"]), status,
                    0, as_of,
                )  # fmt: skip
                telling.grants[int(places[n])] = id.decode(), grant
        chosen = np.flatnonzero(np.isin(detail, (POINTS, OFFER)) & (rows["origin"] <= 1))
        if len(chosen):
            self._grounds(telling, places[chosen], rows[chosen], (names[0], names[1][chosen]), revision)

    def _grounds(
        self, telling: Telling, places: Which, rows: Found, names: tuple[Texts, Which], revision: int
    ) -> None:
        """Why points or offers came of missions and badges."""

        def why(of: int, number: int, level: int, detail: int, asked: int) -> str:
            if of == OF_MISSION:
                title = self.names(asked).rule(number).title
            else:
                title = plain(self.names(revision).badges[number].name)
            return "," + decided("grant", GRANTS[detail], grant_rule(of, number, level), title)

        sights = [b""] * len(rows)
        earned = np.flatnonzero(rows["origin"] == OF_MISSION)
        rules, by_rule = self._rules(rows[earned])
        units = np.array([rule.units for rule in rules], np.int64)[by_rule]
        reached = (rows["target"][earned] / units).tolist()
        progress = floats(rows["progress"][earned] / units).split()
        for n, wanted, got in zip(earned.tolist(), reached, progress, strict=True):
            sights[n] = b'{"condition":"progress >= %b","seen":%b,"holds":true}' % (
                shown(wanted).encode(), got,
            )  # fmt: skip
        whys = _texts(rows, ("origin", "number", "level", "detail", "revision"), why)
        self._decide(telling, places, names, whys, Texts.of(sights))

    def _rules(self, rows: Found) -> tuple[list[Rule], Which]:
        return _kept(rows, ("revision", "number"), lambda revision, number: self.names(revision).rule(number))

    def _saw(self, telling: Telling, known: list[Condition], which: Which, places: Which) -> Texts:
        """What conditions saw, each one of `known`."""
        keys, moments = telling.of.keys, telling.which[places]
        at = telling.found["seen"][places].astype(np.int64)
        return saw(known, which, telling.seen, at, lambda n: self._side.profile(keys[moments[n]]))

    def _decide(
        self, telling: Telling, places: Which, names: tuple[Texts, Which], whys: tuple[Texts, Which],
        shown: Texts,
    ) -> None:  # fmt: skip
        """As `decision`, many."""

        def rule(page: Page) -> None:
            page.text(b"decision:")
            page.pick(*names)

        ids = telling.of.ids(telling.which[places], rule)
        page = telling.of.page(telling.which[places], ids)
        page.pick(*whys)
        page.value(telling.found["control"][places] != 0)
        page.text(b',"conditions":[')
        page.pick(shown)
        page.text(b"]")
        telling.put(DECISIONS, places, ids, page, 1)

    def keep(self, telling: Telling, place: int, caused_by: int | None, forwards: list[Forward]) -> None:
        """What comes along with the effects of a place: a forward, or a grant to remember.

        `caused_by`: hash of the money event it came of, None for another cause.
        """
        if place in telling.forwards:
            forwards.append(telling.forwards[place])
        id, grant = telling.grants.get(place, ("", None))
        if grant is None or (grant.status != "open" and caused_by is None):
            return
        key = telling.of.keys[telling.which[place]]
        self._side.put_grant(key, id, grant)
        if caused_by is not None:
            self._side.put_caused(key, caused_by, grant.at, id)


def _kept(rows: Found, fields: Sequence[str], make: Callable[..., Any]) -> tuple[list[Any], Which]:
    """What is made of the values that these fields have together, and which of it is a row's."""
    keys = np.zeros(len(rows), np.int64)
    for name in fields:
        keys = keys << _BITS.get(name, 8) | rows[name]
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    columns = [rows[name][first].tolist() for name in fields]
    return [make(*values) for values in zip(*columns, strict=True)], which


def _texts(rows: Found, fields: Sequence[str], make: Callable[..., str]) -> tuple[Texts, Which]:
    """The same of texts."""
    made, which = _kept(rows, fields, make)
    return Texts.of([text.encode() for text in made]), which


def _unique(texts: list[str]) -> tuple[Texts, Which]:
    """Texts that are often the same."""
    places: dict[str, int] = {}
    which = np.array([places.setdefault(text, len(places)) for text in texts], np.int64)
    return Texts.of([text.encode() for text in places]), which


def _mission_ids(of: Moments, which: Which, rows: Found) -> Ids:
    """As `mission_id`."""
    page = Page(len(rows))
    page.pick(of.customers, which)
    page.text(b"\x1fmission\x1f")
    page.value(rows["number"])
    page.text(b"\x1f")
    page.value(rows["started"])
    return page.written().hashed()
