"""Campaigns to try a fold on: one game by hand with every kind, and by chance, seeded, whatever is valid."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import structs

from loyalty.game import Campaign, Contact, Fits, Game, OnCrossing, OnEvent, OnSchedule, Sold
from tests.reference.games import DAILY, MONEY, OFFERS, RICH
from tests.reference.games_any import FILTERS, OFTEN, any_game, condition
from tests.reference.model import hash64, parse_time

ZONES = ["Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati", "Australia/Lord_Howe"]
LANGUAGES = ("en", "de", "öl", "t1")
NUMBERS = (1, 2, 3, 4, 5, 8, 31, 32, 63, 64, 200, 254, 255)
MESSAGES = (
    "Hello {{ customer_id }}, {{ campaign }}!\n",
    "{{ offer.name }}: {{ offer.description }} ({{ validity_days }} days)",
    "{% if product %}{{ product.name }} for {{ product.price }} {{ product.currency }}{% else %}—{% endif %}",
    'plain < & > " öl',
    "{{ customer_id | upper }}{{ validity_days + 1 }}{# no #}",
    "",
)
INSTANTS = tuple(
    parse_time(f"{day}T12:00:00.000Z") for day in ("2020-01-05", "2020-03-01", "2023-11-20", "2023-12-01")
)
BUNDLE = Sold("p-1", "Week of Data", "9.90", "EUR", 7)

# Each kind, few numbers, so that all of it meets in short logs.
TALK = Game(
    offers=OFFERS,
    contact=Contact(3, 7, 21 * 60, 8 * 60, ZONES[:3]),
    campaigns=[
        Campaign(
            1, "After a top-up", OnEvent(MONEY, "value >= 2"), priority=5, cooldown_days=1,
            conversion=Fits(DAILY, 'not (channel = "ussd")'), window_days=3, offer=7,
            offer_config={"bonus": {"data_mb": 100}, "factor": 2.0}, messages={"en": MESSAGES[1]}, cost=3,
        ),
        Campaign(
            2, "Quiet ones", OnCrossing("days_since_last_activity >= 2 or calls_lifetime > 3"), priority=9,
            audience="tenure_days >= 0 and not (segment = \"gold\")", cooldown_days=2, control_share=0.5,
            conversion=Fits(DAILY), window_days=1, messages={"de": MESSAGES[0], "en": MESSAGES[3]},
        ),
        Campaign(
            3, "Weekly", OnSchedule([1, 3, 5, 7]), cooldown_days=2, per_customer=3, total=4, cost=5,
            conversion=Fits(["sms", "recharge"]), product=BUNDLE, product_config={"channel": ["app"]},
            messages={"en": MESSAGES[2]},
        ),
        Campaign(
            4, "Notice", OnEvent(["sms", "voice_call"]), priority=5, cooldown_days=1, service=True,
            messages={"öl": MESSAGES[4]}, window_days=90,
        ),
        Campaign(5, "Daily", OnSchedule(), cooldown_days=1, budget=40, cost=10, priority=-1),
        Campaign(6, "Every call", OnEvent(["voice_call"]), cooldown_days=5, per_customer=1),
        Campaign(
            255, "Apps", OnEvent(["app_login", "profile_update"]), priority=20, cooldown_days=1,
            control_share=0.3, conversion=Fits(["sms", "recharge"]),
        ),
    ],
)  # fmt: skip


def _revised(**changes: dict[str, Any] | None) -> Game:
    """TALK with fields of some campaigns (`_<number>`) replaced; None removes one."""
    kept = []
    for campaign in TALK.campaigns:
        change = changes.get(f"_{campaign.number}", {})
        if change is not None:
            kept.append(structs.replace(campaign, **change))
    return structs.replace(TALK, campaigns=kept)


# What may happen to those that run: gone, asleep, other triggers, other caps, past; other hours.
RETOLD = structs.replace(
    _revised(
        _1=None,
        _2={"trigger": OnSchedule(), "priority": 0, "control_share": 1.0},
        _3={"total": 0, "active": False},
        _4={"service": False, "trigger": OnCrossing("sms_count >= 2"), "total": 2},
        _5={"budget": 0, "name": "Every day", "messages": {"en": MESSAGES[0]}},
        _6={"valid_to": INSTANTS[2]},
        _255={"window_days": 1, "conversion": Fits(["sms"], "value is known")},
    ),
    contact=Contact(1, 2, 6 * 60, 22 * 60 + 30, ZONES[2:]),
)
BOTH = structs.replace(RICH, campaigns=TALK.campaigns, contact=Contact())
# Almost never a word; what is held or waits then finds all over, or asleep; quiet until the refresh of "b".
QUIET = structs.replace(TALK, contact=Contact(0, 7, 1, 0, ZONES[:1]))
PAST = _revised(**{f"_{each.number}": {"valid_to": 1} for each in TALK.campaigns})
SLEEPING = _revised(**{f"_{each.number}": {"active": False} for each in TALK.campaigns})
MINUTE_OF_B = hash64(b"b") % 1440
REFRESHING = structs.replace(TALK, contact=Contact(0, 7, (MINUTE_OF_B + 1) % 1440, MINUTE_OF_B))


def talking(seed: int) -> Game:
    """Campaigns by chance, alone or in a game by chance."""
    r = Random(seed)
    game = any_game(seed) if r.random() < 0.4 else Game(offers=OFFERS if r.random() < 0.8 else [])
    numbers = sorted(r.sample(NUMBERS, r.choice([1, 3, 5, 8, 12])))
    return structs.replace(game, campaigns=[_campaign(r, number) for number in numbers], contact=_contact(r))


def _contact(r: Random) -> Contact:
    most = r.choice([0, 0, 1, 2, 5, 8])
    begin, end = r.choice([(0, 0), (1260, 480), (1439, 0), (0, 1439), (600, 601), (60, 1300), (1200, 1199)])
    return Contact(most, r.choice([1, 2, 7, 90]), begin, end, r.sample(ZONES, r.randint(0, len(ZONES))))


def _fits(r: Random, some: bool = True) -> dict[str, Any]:
    return {
        "types": r.sample(OFTEN, r.randint(1, 5)) if some else [],
        "where": r.choice(FILTERS) if some else "",
    }


def _campaign(r: Random, number: int) -> Campaign:
    trigger: Any = r.choice(
        [
            OnEvent(**_fits(r)),
            OnCrossing(condition(r)),
            OnSchedule(sorted(r.sample(range(1, 8), r.choice([0, 0, 2, 5])))),
        ]
    )
    capped = r.random() < 0.3
    begin, end = r.choice([(0, 0), (0, 0), (0, 0), (INSTANTS[0], 0), (0, INSTANTS[1]), INSTANTS[1:3]])
    sold = Sold(f"p{number}", "Ü & Co", "1.5", "USD", r.choice([0, 30])) if r.random() < 0.3 else None
    texts = {name: r.choice(MESSAGES) for name in r.sample(LANGUAGES, r.randint(0, 3))}
    return Campaign(
        number, f"C{number} ü", trigger, condition(r) if r.random() < 0.3 else "", r.randint(-3, 6),
        valid_from=begin,
        valid_to=end,
        cooldown_days=r.choice([1, 1, 1, 2, 5, 30]),
        per_customer=r.choice([0, 0, 0, 1, 2, 300]),
        total=r.choice([0, 1, 2, 5]) if capped else 0,
        budget=r.choice([0, 10, 55]) if capped else 0,
        cost=r.choice([0, 1, 10]) if not capped else r.choice([1, 10]),
        service=r.random() < 0.25,
        control_share=r.choice([0.0, 0.0, 0.0, 0.5, 1.0]),
        conversion=Fits(**_fits(r, r.random() < 0.6)),
        window_days=r.choice([1, 2, 14, 90]),
        offer=r.choice([-1, 0, 1, 7]),
        offer_config=r.choice([{}, {"a": [1, 2.5, None, "ö"], "b": {"c": True}}]),
        product=sold,
        product_config={"x": number} if sold else {},
        messages=texts,
        active=r.random() < 0.9,
    )  # fmt: skip
