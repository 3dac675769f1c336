"""Points and offers of the reference: lots, debts, grants and what undoes them, tiers."""

from __future__ import annotations

from typing import Any

from config.topics import BADGE_AWARDS, REWARD_GRANTS
from tests.reference.core import Core, digest
from tests.reference.customer import LOTS, U4, Customer, Grant, Lot, more
from tests.reference.model import DAY_MS, Cause, Record, hash64

REPEATS = 7
Conditions = list[dict[str, Any]]


class Points(Core):
    """Lots stand in order of month; a debt is paid before anything joins a lot."""

    # Giving.

    def _reward_points(
        self, c: Customer, points: int, rule: str, cause: Cause, why: tuple[str, Conditions] | None
    ) -> None:
        """`why`: name and conditions of the decision, None where there is none."""
        if not self._control(c):
            c.points_earned = more(c.points_earned, points)
            c.year_points = more(c.year_points, points)
            month = self._join_lot(c, points, c.month + self.game.points_valid_months + 1)
            grant_id = self._granted(c, cause, rule, "points", points, month=month)
            if cause.money:
                c.grants[grant_id] = Grant(c.as_of, rule, "points", points, month, -1, "done", c.as_of)
                self._caused(c, cause, grant_id)
        if why:
            self._decide(c, cause, f"grant:{rule}:points", "grant", "points", rule, *why)

    def _reward_offer(
        self, c: Customer, offer: int, rule: str, cause: Cause, why: tuple[str, Conditions]
    ) -> None:
        if not self._control(c):
            c.open_grants = more(c.open_grants, 1, 255)
            grant_id = self._granted(c, cause, rule, "offer", offer=offer)
            c.grants[grant_id] = Grant(c.as_of, rule, "offer", 0, 0, offer, "open", c.as_of)
            self._caused(c, cause, grant_id)
        self._decide(c, cause, f"grant:{rule}:offer", "grant", "offer", rule, *why)

    def _granted(
        self, c: Customer, cause: Cause, rule: str, kind: str, points: int = 0, offer: int = -1,
        month: int = 0, reverses: str = "", ordinal: int = 0,
    ) -> str:  # fmt: skip
        """The effect of a grant that is told for the first time; its id."""
        effect_rule = f"grant:{rule}:{kind}"
        grant_id = digest(
            c.customer_id, effect_rule, str(self.revision), cause.source, cause.event_id, str(ordinal)
        )
        members = {
            "grant_id": grant_id,
            "kind": kind,
            "rule": rule,
            "points": points,
            "offer": offer,
            "balance": c.balance,
            "month": month,
            "reverses": reverses,
            "repeat": 0,
        }
        self._effect(REWARD_GRANTS, c, effect_rule, cause, members, ordinal)
        return grant_id

    def _caused(self, c: Customer, cause: Cause, grant_id: str) -> None:
        if cause.money:
            known = c.caused.get(cause.money, {"grants": []})["grants"]
            c.caused[cause.money] = {"at": c.as_of, "grants": [*known, grant_id]}

    def _join_lot(self, c: Customer, points: int, month: int) -> int:
        """Pay the debt, put the rest into a lot; the month of that lot, 0 if nothing is left."""
        paid = min(c.debt, points)
        c.debt -= paid
        rest = points - paid
        if not rest:
            return 0
        same = [lot for lot in c.lots if lot.month == month]
        later = [lot for lot in c.lots if lot.month > month]
        if same:
            lot = same[0]
        elif len(c.lots) < LOTS:
            lot = Lot(month, 0)
            c.lots = sorted([*c.lots, lot], key=lambda lot: lot.month)
        elif later:
            lot = later[0]
        else:
            lot = c.lots[-1]
            lot.month = month
        lot.points = more(lot.points, rest)
        return lot.month

    # Taking.

    def _take(self, c: Customer, points: int, month: int = 0) -> int:
        """Take points from lots, those of `month` first, then the oldest; what could not be taken."""
        for lot in sorted(c.lots, key=lambda lot: (lot.month != month, lot.month)):
            taken = min(lot.points, points)
            lot.points -= taken
            points -= taken
        c.lots = [lot for lot in c.lots if lot.points]
        return points

    def _expire_lots(self, c: Customer, cause: Cause) -> None:
        gone = [lot for lot in c.lots if lot.month <= c.month]
        for ordinal, lot in enumerate(gone):
            c.lots.remove(lot)
            c.points_expired = more(c.points_expired, lot.points)
            self._granted(c, cause, "expiry", "expired", points=-lot.points, month=lot.month, ordinal=ordinal)

    def _forfeit(self, c: Customer, cause: Cause) -> None:
        left = sum(lot.points for lot in c.lots)
        c.lots, c.debt = [], 0
        if left:
            self._granted(c, cause, "ended", "forfeited", points=-left)

    # Open grants.

    def _repeat_open(self, c: Customer, cause: Cause) -> None:
        if c.open_grants:
            for grant_id, grant in sorted(c.grants.items()):
                waits = c.as_of - grant.told >= DAY_MS and grant.repeats < REPEATS
                if grant.status == "open" and grant.kind == "offer" and waits:
                    self._repeat(c, grant_id, cause)

    def _repeat(self, c: Customer, grant_id: str, cause: Cause) -> None:
        grant = c.grants[grant_id]
        grant.told, grant.repeats = c.as_of, grant.repeats + 1
        members = {
            "grant_id": grant_id,
            "kind": grant.kind,
            "rule": grant.rule,
            "points": 0,
            "offer": grant.offer,
            "balance": c.balance,
            "month": 0,
            "reverses": "",
            "repeat": grant.repeats,
        }
        self._effect(REWARD_GRANTS, c, f"repeat:{grant_id}:{grant.repeats}", cause, members)

    def _answer(self, c: Customer, record: Record) -> None:
        """grant_fulfilled or grant_failed."""
        grant_id = record.attributes.get("grant_id")
        grant = c.grants.get(grant_id) if isinstance(grant_id, str) else None
        if grant and grant.status == "open":
            grant.status = record.event_type.removeprefix("grant_")
            c.open_grants = max(0, c.open_grants - 1)

    # Undoing.

    def _refund(self, c: Customer, record: Record) -> None:
        refunds = record.attributes.get("refunds")
        if not isinstance(refunds, str):
            return
        undone = hash64(record.source.encode() + b"\x00" + refunds.encode())
        if undone not in c.entries:
            self._decide(c, record.cause, "refund:unknown", "refund", "unknown_event", "refund", "", [])
            return
        if self._control(c):
            return
        for grant_id in c.caused.get(undone, {"grants": []})["grants"]:
            if c.grants[grant_id].status != "reversed":
                self._reverse(c, grant_id, record.cause)
        self._tier(c, record.cause)

    def _reverse(self, c: Customer, grant_id: str, cause: Cause) -> None:
        grant = c.grants[grant_id]
        if grant.kind == "points":
            c.debt = more(c.debt, self._take(c, grant.points, grant.month))
            c.year_points = max(0, c.year_points - grant.points)
        elif grant.status == "open":
            c.open_grants = max(0, c.open_grants - 1)
        grant.status = "reversed"
        self._granted(
            c, cause, f"refund:{grant_id}", "reversed", points=-grant.points, offer=grant.offer,
            month=grant.month, reverses=grant_id,
        )  # fmt: skip

    # Commands.

    def _adjust(self, c: Customer, points: int, kind: str, cause: Cause) -> bool:
        """adjust or redeem (`kind` adjusted or redeemed); False where the balance is too low."""
        month = 0
        if points > 0:
            c.points_earned = more(c.points_earned, points)
            month = self._join_lot(c, points, c.month + self.game.points_valid_months + 1)
        elif c.balance < -points:
            return False
        else:
            self._take(c, -points)
            if kind == "redeemed":
                c.points_redeemed = more(c.points_redeemed, -points)
        self._granted(c, cause, "command", kind, points=points, month=month)
        return True

    # Tiers.

    def _tier(self, c: Customer, cause: Cause) -> None:
        if self._control(c):
            return
        points, tiers, old = max(c.year_points, c.last_year_points), self.game.tiers, c.tier
        c.tier = max([n for n, tier in enumerate(tiers) if tier.points <= points], default=0)
        if c.tier != old:
            members = {
                "kind": "tier",
                "number": 0,
                "name": "tier",
                "level": c.tier,
                "level_name": tiers[c.tier].name if tiers else "",
                "reason": "up" if c.tier > old else "down",
            }
            self._effect(BADGE_AWARDS, c, f"tier:{old}:{c.tier}", cause, members)


def limited(points: float) -> int:
    """Points of an earning as a whole number that fits."""
    return int(min(points, float(U4)))
