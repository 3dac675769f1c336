"""What numbers of the log are called in the newest revision, and lines of a timeline in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from catalog.content import Content
from loyalty.game import LEVELS
from web.console.rendering import number, or_word, say


@dataclass(frozen=True, slots=True)
class Names:
    """By number."""

    missions: dict[int, str]
    badges: dict[int, str]
    earning: dict[int, str]
    offers: dict[int, str]

    @staticmethod
    def of(content: Content) -> Names:
        """Those of a revision."""
        game = content.game
        return Names(
            {each.number: each.name for each in game.templates},
            {each.number: each.name for each in game.badges},
            {each.number: each.name for each in game.earning},
            {each.offer_id: each.name for each in game.offers},
        )

    def rule(self, rule: str) -> str:
        """Where points come from: `mission:12` as the name of that template."""
        kind, _, rest = rule.partition(":")
        first, _, level = rest.partition(":")
        if kind in ("mission", "badge", "earn") and first.isdecimal():
            known = {"mission": self.missions, "badge": self.badges, "earn": self.earning}[kind]
            name = known.get(int(first), rest)
            shown = level.isdecimal() and 1 <= int(level) <= len(LEVELS)
            return f"{name}, {or_word('level', LEVELS[int(level) - 1])}" if shown else name
        return or_word("origin", kind)

    def offer(self, of: int) -> str:
        """An offer's name."""
        return self.offers.get(of, say("origin.offer_number", number=of))

    def line(self, kind: str, entry: dict[str, Any]) -> str:
        """An entry of a timeline."""
        if kind == "event":
            return say(
                "timeline.event", what=or_word("event", entry["event_type"]), value=number(entry["value"]),
                source=entry["source"],
            )  # fmt: skip
        if kind == "ledger":
            source = self.rule(entry["rule"])
            if entry["offer"] >= 0:
                return say("timeline.offer", offer=self.offer(entry["offer"]), source=source)
            return say(
                "timeline.points", points=f"{entry['points']:+,}", what=or_word("ledger", entry["kind"]),
                source=source, balance=number(entry["balance"]),
            )  # fmt: skip
        if kind == "mission":
            return say(
                "timeline.mission", name=entry["name"], status=or_word("status", entry["status"]),
                progress=number(entry["progress"]), target=number(entry["target"]),
            )  # fmt: skip
        name = self.rule(entry["rule"]) if entry["kind"] == "badge" else entry["name"]
        what = or_word("decision", f"{entry['kind']}_{entry['decision']}")
        return say("timeline.control" if entry["control"] else "timeline.decision", what=what, name=name)
