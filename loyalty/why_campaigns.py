"""Why campaigns speak to a customer, and why not: each campaign of a revision against the row as it stands.

What would be done, should its turn come now, is asked of the code that does it; the reasons beside it are
that code's questions, asked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loyalty.campaigns import in_arm, place_for, quiet_until, too_often
from loyalty.compiled import compiled
from loyalty.features import bit
from loyalty.game import Campaign, Game, OnCrossing
from loyalty.row import AT_REST, CONTACTS, ENTRIES, HELD, PENDING, UNDER_WAY, YES
from loyalty.rules import Tables
from loyalty.slots import holds
from loyalty.standing import date_of, entry
from loyalty.times import iso

#: By place among the active campaigns of a revision.
_VERDICT = np.dtype(
    [
        ("when", "?"),  # what it waits for is so
        ("audience", "?"),
        ("contacts", "?"),  # the most there may be
        ("control", "?"),
        ("entry", "i8"),  # in which it may speak, -1 if it may not
        ("until", "i8"),  # s, end of the quiet hours, 0 outside of them
    ]
)


@compiled
def _judge(rows: Any, policies: Any, tables: Any, features: Any, verdicts: Any) -> None:
    row, policy = rows[0], policies[0]
    for n in range(verdicts.shape[0]):
        of = tables.campaigns[n]
        verdicts[n].when = holds(tables.terms, of.when, features)
        verdicts[n].audience = holds(tables.terms, of.audience, features)
        verdicts[n].contacts = too_often(row, policy)
        verdicts[n].control = in_arm(row, of)
        verdicts[n].entry = place_for(row, policy, tables, of, features)
        verdicts[n].until = quiet_until(row, policy)


_STATUS = {
    UNDER_WAY: ("open", "it has spoken, and waits for what comes of it"),
    HELD: ("held", "it is held until {until}: these are quiet hours"),
    PENDING: ("waiting", "it waits for its account"),
}


class Campaigns:
    """What campaigns of a revision make of a row, shape (1,), whose features are given."""

    def __init__(
        self, rows: NDArray[np.void], policy: NDArray[np.void], tables: Tables, features: NDArray[np.float64],
        game: Game, off: str, control: bool,
    ) -> None:  # fmt: skip
        """`off`: why nothing at all is decided, "" if something is; `control`: in the universal one."""
        self._row, self._game, self._off, self._control = rows[0], game, off, control
        self._places = policy["campaign_at"][0]
        self._features = features
        self._verdicts = np.zeros(len(tables.campaigns), _VERDICT)
        _judge(rows, policy, tables, features, self._verdicts)

    def all(self, seen: Any, profile: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Each campaign, by number; `seen` gives the comparisons of a condition with what they see."""
        return [
            self._one(each, seen, profile)
            for each in sorted(self._game.campaigns, key=lambda each: each.number)
        ]

    def _one(self, campaign: Campaign, seen: Any, profile: Mapping[str, Any]) -> dict[str, Any]:
        place = int(self._places[campaign.number])
        verdict = self._verdicts[place] if place >= 0 else np.zeros(1, _VERDICT)[0]
        reasons = self._reasons(campaign, verdict)
        when = campaign.trigger.when if isinstance(campaign.trigger, OnCrossing) else ""
        may = place >= 0 and not self._off and int(verdict["entry"]) >= 0
        return {
            "number": campaign.number,
            "name": campaign.name,
            "trigger": campaign.trigger.__struct_config__.tag,
            "priority": campaign.priority,
            "ready": may,
            "then": self._then(campaign, verdict) if may else "",
            "reasons": reasons,
            "entry": entry(self._row, campaign.number),
            "when": when,
            "when_holds": bool(verdict["when"]),
            "crossed": bit(self._row["crossed"], campaign.number),
            "when_conditions": seen(when, self._features, profile),
            "audience": campaign.audience,
            "holds": bool(verdict["audience"]),
            "conditions": seen(campaign.audience, self._features, profile),
        }

    def _then(self, campaign: Campaign, verdict: Any) -> str:
        """What comes of its turn."""
        if self._control:
            return "universal_control"
        if verdict["control"]:
            return "control"
        if campaign.total or campaign.budget:
            return "reserved"
        return "held" if verdict["until"] and not campaign.service else "triggered"

    def _reasons(self, campaign: Campaign, verdict: Any) -> list[dict[str, Any]]:
        """Why it would not speak, should its turn come now."""
        row, game, found = self._row, self._game, []

        def no(reason: str, message: str, **more: Any) -> None:
            found.append({"reason": reason, "message": message, **more})

        if self._off:
            no(self._off, {"closed": "the customer has left, or became another one"}.get(
                self._off, "the customer has opted out"))  # fmt: skip
        if not campaign.active:
            no("switched_off", "it is switched off in the catalog")
        as_of, day = int(row["as_of"]), int(row["day"])
        if campaign.valid_from > as_of:
            no("not_yet", f"it begins {iso(campaign.valid_from)}")
        if 0 < campaign.valid_to <= as_of:
            no("over", f"it ended {iso(campaign.valid_to)}")
        if not campaign.service and int(row["consent"]) != YES:
            known = "has refused" if int(row["consent"]) else "has not given"
            no("consent", f"the customer {known} consent")
        if not campaign.service and self._too_often():
            no("contacts", f"{game.contact.most} contacts in {game.contact.days} days are the most")
        own = np.flatnonzero(row["campaign"] == campaign.number).tolist()
        if own:
            self._of_entry(campaign, own[0], day, no)
        elif campaign.active and self._full(day):
            no("no_entry", f"{ENTRIES} other campaigns have its customer's entries")
        if campaign.active and not verdict["audience"]:
            no("condition", "its audience does not include the customer")
        return found

    def _too_often(self) -> bool:
        contact, day = self._game.contact, int(self._row["day"])
        near = sum(int(self._row["contacts"][i]) > day - contact.days for i in range(CONTACTS))
        return 0 < contact.most <= near

    def _of_entry(self, campaign: Campaign, n: int, day: int, no: Any) -> None:
        row = self._row
        status, times = int(row["campaign_status"][n]), int(row["campaign_times"][n])
        if status != AT_REST:
            name, message = _STATUS[status]
            no(name, message.format(until=iso(int(row["campaign_until"][n]) * 1000)))
        cooled = int(row["campaign_day"][n]) + campaign.cooldown_days
        if day < cooled:
            no("cooldown", f"it cools down until {date_of(cooled)}", until=date_of(cooled))
        if 0 < campaign.per_customer <= times:
            no("limit", f"it was triggered {times} times, the most is {campaign.per_customer}", times=times)

    def _full(self, day: int) -> bool:
        """Whether no entry is free, or can be taken from another campaign."""
        row, known = self._row, {each.number: each for each in self._game.campaigns if each.active}

        def taken(n: int) -> bool:
            other = known.get(int(row["campaign"][n]))
            if int(row["campaign_status"][n]) != AT_REST:
                return True
            if other is None:
                return False
            return other.per_customer > 0 or day < int(row["campaign_day"][n]) + other.cooldown_days

        return all(int(row["campaign"][n]) and taken(n) for n in range(ENTRIES))
