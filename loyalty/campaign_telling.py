"""Effects of campaigns as records: what to send to whom, in which words, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Template
from numpy.typing import NDArray

from loyalty.columns import CONVERTED, HELD_BACK, REFUSED_CAMPAIGN, RESERVED_CAMPAIGN, SENT, TRIGGERED
from loyalty.effects import CAMPAIGN_TRIGGERS, Effect, Moment, Put, effect_id, plain, told, trigger_id
from loyalty.game import Campaign, Game, OnCrossing
from loyalty.hashing import word_hash
from loyalty.messages import MessageError, compiled_text, filled_in, values
from loyalty.policy import Content
from loyalty.row import CONTROL
from loyalty.side import Side
from loyalty.telling import CampaignTold, decision
from loyalty.wording import Condition, Forward, ask

ARMS = ("treatment", "control")
_DECISIONS = {
    TRIGGERED: "triggered", RESERVED_CAMPAIGN: "reserved", HELD_BACK: "held", REFUSED_CAMPAIGN: "refused",
}  # fmt: skip
_NOTHING = (
    '"offer":-1,"offer_config":{},"product":null,"product_config":{},"language":"","message":"","cost":0'
)


class _Text(NamedTuple):
    """A message in a language."""

    language: str
    template: Template


class Told:
    """What is told of a campaign of a revision."""

    def __init__(self, campaign: Campaign, game: Game) -> None:
        offers = {offer.offer_id: offer for offer in game.offers}
        when = campaign.trigger.when if isinstance(campaign.trigger, OnCrossing) else ""
        self.campaign = campaign
        self.title = plain(campaign.name)
        self.conditions = [Condition(text) for text in (when, campaign.audience)]
        self.values = values(campaign, offers.get(campaign.offer))
        self.goes_along = (
            f'"offer":{campaign.offer},"offer_config":{plain(campaign.offer_config)},'
            f'"product":{plain(campaign.product)},"product_config":{plain(campaign.product_config)}'
        )
        texts = [_Text(*text) for text in _compiled(campaign.messages).items()]
        self._texts = {word_hash(text.language): text for text in texts}
        self._first = texts[0] if texts else None

    def message(self, customer_id: str, language: int) -> tuple[str, str]:
        """The language and the words for who reads a language, by its hash."""
        text = self._texts.get(language, self._first)
        if text is None:
            return "", ""
        try:
            return text.language, filled_in(text.template, {"customer_id": customer_id, **self.values})
        except MessageError:
            # It could be filled in when it was checked: this customer gets what goes along without words.
            return text.language, ""


def _compiled(messages: dict[str, str]) -> dict[str, Template]:
    found = {}
    for language, text in messages.items():
        try:
            found[language] = compiled_text(text)
        except MessageError:
            # Checked before it was published: content of another version, whose words say nothing here.
            found[language] = compiled_text("")
    return found


class CampaignTeller:
    """One partition's effects of campaigns."""

    def __init__(self, contents: Callable[[int], Content], side: Side) -> None:
        self._contents = contents
        self._side = side
        self._known: tuple[int, dict[int, Told]] = -1, {}

    def known(self, revision: int, number: int) -> Told | None:
        """A campaign of a revision, None for one that is gone."""
        if self._known[0] != revision:
            game = self._contents(revision).game
            self._known = revision, {each.number: Told(each, game) for each in game.campaigns}
        return self._known[1].get(number)

    def campaign(
        self, of: Moment, row: CampaignTold, revision: int, seen: NDArray[np.float64],
        effects: Put, forwards: list[Forward],
    ) -> None:  # fmt: skip
        """What became of a campaign."""
        detail, number, known = row.detail, row.number, self.known(revision, row.number)
        id = trigger_id(of.customer_id, number, row.month)
        if detail == CONVERTED:
            effects.append(self.outcome(of, revision, number, id, row.level, "converted", "event"))
        elif detail in (TRIGGERED, SENT) and not row.control:
            assert known is not None  # only what is there is sent
            if row.level == CONTROL:
                more = _NOTHING
            else:
                language, message = known.message(of.customer_id, row.target)
                more = (
                    f'{known.goes_along},"language":{plain(language)},"message":{plain(message)},'
                    f'"cost":{known.campaign.cost}'
                )
            effects.append(_effect(of, number, id, known.title, "triggered", "", row.level, more))
        if detail == RESERVED_CAMPAIGN:
            assert known is not None
            forwards.append(ask(number, of.customer_id, id, of.at, 1, known.campaign.cost, "campaign"))
        if detail in _DECISIONS:
            decided, saw = _DECISIONS[detail], ""
            if known is not None and row.seen >= 0:
                saw = ",".join(
                    filter(None, (self._saw(of, each, seen, row.seen) for each in known.conditions))
                )
            rule, title = f"campaign:{number}", known.title if known else '""'
            name = f"{rule}:{decided}"
            effects.append(decision(of, name, "campaign", decided, rule, title, row.control, saw))

    def _saw(self, of: Moment, condition: Condition, seen: NDArray[np.float64], row: int) -> str:
        return condition.seen(seen, row, lambda: self._side.profile(of.key))

    def outcome(
        self, of: Moment, revision: int, number: int, id: str, arm: int, status: str, by: str
    ) -> Effect:
        """What came of a trigger: `delivered` or `converted`."""
        known = self.known(revision, number)
        return _effect(of, number, id, known.title if known else '""', status, by, arm, _NOTHING)


def _effect(
    of: Moment, number: int, id: str, title: str, status: str, by: str, arm: int, more: str
) -> Effect:
    members = (
        f'"trigger_id":"{id}","campaign":{number},"name":{title},"status":"{status}","by":"{by}",'
        f'"arm":"{ARMS[arm]}",{more}'
    )
    return told(CAMPAIGN_TRIGGERS, of, effect_id(of, f"campaign:{number}:{status}"), members)


def entry_of(row: Any, customer_id: str, id: str) -> int:
    """The first entry of a row whose trigger has an id, -1 for none."""
    for entry in np.flatnonzero(row["campaign"]).tolist():
        if trigger_id(customer_id, int(row["campaign"][entry]), int(row["campaign_day"][entry])) == id:
            return entry
    return -1
