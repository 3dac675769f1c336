"""Rules of the game as people write them: what is read, what is refused, and where the fault lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.draft import DraftError, read, seed
from catalog.written import FILES, dump, files, written
from loyalty.events import ACTIVITY
from loyalty.game import Game

Write = Callable[..., Path]

MISSION = """\
templates:
  - name: Night Calls
    category: engagement
    goal: {kind: count, types: [voice_call]}
    target: 3
    duration: 2 weeks
    cooldown: 30 days
    priority: 10
    rewards: {points: 20}
"""

SECOND = MISSION.removeprefix("templates:\n").replace("Night", "Day")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, name: str = "rules.yaml") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return to_file


def seeded() -> Game:
    return seed().onto(Game(), 2)


def refused(write: Write, text: str, base: Game | None = None) -> list[str]:
    """The faults of a file, without the directory it is in."""
    path = write(text)
    with pytest.raises(DraftError) as error:
        read([path]).onto(base if base is not None else Game(), 2)
    return [fault.replace(f"{path.parent}/", "") for fault in error.value.faults]


def test_readable_forms_become_the_rules(write: Write) -> None:
    game = read([write(MISSION)]).onto(Game(), 2)
    (template,) = game.templates
    assert (template.number, template.name, template.duration_days, template.target.value) == (
        1, "Night Calls", 14, 3,
    )  # fmt: skip
    grouped = read([write(MISSION.replace("[voice_call]", "[data, sms, calls, sms]"))]).onto(Game(), 2)
    assert grouped.templates[0].goal.types == [
        "voice_call", "roaming_call", "sms", "data_session", "roaming_data",
    ]  # fmt: skip
    anything = read([write(MISSION.replace("[voice_call]", "activity"))]).onto(Game(), 2)
    assert set(anything.templates[0].goal.types) == ACTIVITY


def test_rewards_name_offers_and_badges(write: Write) -> None:
    rewards = "{points: 5, offer: Premium Trial, badge: {name: Custom, level: gold}}"
    game = read([write(MISSION.replace("{points: 20}", rewards))]).onto(seeded(), 2)
    reward = game.templates[-1].rewards
    offer = next(each for each in game.offers if each.name == "Premium Trial")
    badge = next(each for each in game.badges if each.name == "Custom")
    assert (reward.points, reward.offer, reward.badge, reward.level) == (5, offer.offer_id, badge.number, 3)


def test_what_is_written_out_is_read_again_as_the_same(tmp_path: Path) -> None:
    game = seeded()
    for name, text in files(game).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert read([tmp_path]).onto(Game(), 2) == game
    assert read([tmp_path]).onto(game, 2) == game
    assert files(read([tmp_path]).onto(Game(), 2)) == files(game)
    whole = tmp_path / "whole.yml"
    whole.write_text(dump(written(game)), encoding="utf-8")
    assert read([whole]).onto(Game(), 2) == game


def test_every_section_has_its_file() -> None:
    assert sorted(each for sections in FILES.values() for each in sections) == sorted(written(Game()))


def test_what_a_draft_does_not_mention_stays(write: Write) -> None:
    base = seeded()
    game = read([write(MISSION)]).onto(base, 2)
    assert game.templates[:-1] == base.templates
    assert game.templates[-1].number == base.templates[-1].number + 1
    assert (game.badges, game.tiers, game.offers) == (base.badges, base.tiers, base.offers)
    changed = read([write("points_valid_months: 6\ntiers: [{name: only, points: 0}]\n")]).onto(base, 2)
    assert (changed.points_valid_months, [tier.name for tier in changed.tiers]) == (6, ["only"])
    assert changed.templates == base.templates


def test_an_entry_is_found_by_its_name_or_renamed_by_its_number(write: Write) -> None:
    base = seeded()
    by_name = read([write(MISSION.replace("Night Calls", "Call Frequency"))]).onto(base, 2)
    number = next(each.number for each in base.templates if each.name == "Call Frequency")
    assert [each.number for each in by_name.templates] == [each.number for each in base.templates]
    assert next(each for each in by_name.templates if each.number == number).duration_days == 14
    renamed = read([write(MISSION.replace("- name", f"- number: {number}\n    name"))]).onto(base, 2)
    assert [each.name for each in renamed.templates if each.number == number] == ["Night Calls"]


def test_names_may_change_places(write: Write) -> None:
    swap = "offers: [{offer_id: 1, name: Recharge Bonus}, {offer_id: 2, name: Welcome Data Pack}]\n"
    game = read([write(swap)]).onto(seeded(), 2)
    assert [offer.name for offer in game.offers[1:3]] == ["Recharge Bonus", "Welcome Data Pack"]


def test_numbers_are_never_used_again(write: Write) -> None:
    base = seeded()
    off = MISSION.replace("    rewards: {points: 20}", "    active: false")
    retired = read([write(off)]).onto(base, 2)
    number = retired.templates[-1].number
    again = MISSION.replace("- name: Night Calls", f"- number: {number}\n    name: Day Calls")
    assert refused(write, again, retired) == [
        f"rules.yaml:2: templates[\"Day Calls\"].number: {number} was 'Night Calls'; numbers are never used "
        f"again, {number + 1} is free"
    ]
    back = read([write(MISSION)]).onto(retired, 2)
    assert (back.templates[-1].number, back.templates[-1].active) == (number, True)


def test_numbers_of_offers_that_went_are_never_used_again(write: Write) -> None:
    base = seeded()
    taken = {"offers": {8: "Gone"}, "earning": {}}
    given = read([write("offers: [{offer_id: 8, name: Other}]\n")])
    with pytest.raises(DraftError, match="8 was 'Gone'; numbers are never used again, 9 is free"):
        given.onto(base, 2, taken)
    given = read([write("offers: [{offer_id: 9, name: Gone}]\n")])
    with pytest.raises(DraftError, match="'Gone' has the number 8"):
        given.onto(base, 2, taken)
    new = read([write("offers: [{name: Other}, {name: Gone}]\n")]).onto(base, 2, taken)
    assert {offer.name: offer.offer_id for offer in new.offers[8:]} == {"Gone": 8, "Other": 9}
    gone = read([write("offers: [{name: Premium Trial, active: false}]\n")])
    with pytest.raises(DraftError, match="Monthly ARPU Goal"):  # which gives it
        gone.onto(base, 2)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            MISSION.replace("2 weeks", "a fortnight"),
            [
                "rules.yaml:6: templates[\"Night Calls\"].duration: must be like '14 days' or '2 weeks', not "
                "'a fortnight'"
            ],
        ),
        (
            MISSION.replace("    priority: 10\n", "").replace("kind: count", "kind: counts"),
            [
                "rules.yaml:4: templates[\"Night Calls\"].goal.kind: Input should be 'count', 'sum', "
                "'distinct', 'days', 'weeks', 'share', 'first' or 'inactivity'",
                'rules.yaml:2: templates["Night Calls"].priority: is missing',
            ],
        ),
        (
            MISSION.replace("duration:", "durations:"),
            [
                'rules.yaml:2: templates["Night Calls"].duration: is missing',
                'rules.yaml:6: templates["Night Calls"].durations: there is no such field; is it duration?',
            ],
        ),
        (
            MISSION.replace("target: 3", "target: three"),
            ['rules.yaml:5: templates["Night Calls"].target: must be fields with their values'],
        ),
        (
            MISSION.replace("kind: count", "kind: first"),
            [
                'rules.yaml:5: templates["Night Calls"].target: a goal of kind first has its own; leave it '
                "out"
            ],
        ),
        (
            MISSION.replace("    target: 3\n", ""),
            ['rules.yaml:2: templates["Night Calls"].target: a goal of kind count needs one'],
        ),
        (
            MISSION.replace("target: 3", "target: {value: 3, baseline: calls_30_days, low: 1, high: 9}"),
            [
                'rules.yaml:5: templates["Night Calls"].target: say either a number, or baseline, stretch, '
                "low and high"
            ],
        ),
        (
            MISSION.replace("points: 20", "points: yes"),
            ['rules.yaml:9: templates["Night Calls"].rewards.points: Input should be a valid integer'],
        ),
        (
            MISSION.replace("points: 20", "offer: Free Car"),
            [
                'rules.yaml:9: templates["Night Calls"].rewards.offer: there is no offer \'Free Car\'; there '
                "are: none"
            ],
        ),
        (
            MISSION + SECOND.replace("Day", "Night"),
            ['rules.yaml:10: templates["Night Calls"].name: is there twice, also at rules.yaml:2'],
        ),
        (
            "offers: [{offer_id: 3, name: A}, {offer_id: 3, name: B}]\n",
            ['rules.yaml:1: offers["B"].offer_id: 3 is there twice, also at rules.yaml:1'],
        ),
        (MISSION.replace("    priority: 10", "    priority: 10\n    priority: 11"), [
            "rules.yaml:9: priority: is there twice"
        ]),
        ("templets: []\n", ["rules.yaml:1: there is no 'templets'; is it templates?"]),
        ("templates: 5\n", ["rules.yaml:1: templates: must be a list"]),
        ("templates: [5]\n", ["rules.yaml:1: templates[0]: must be fields with their values"]),
        ('offers: [{name: a, description: "b\\0"}]\n', [
            'rules.yaml:1: offers["a"].description: has a character that cannot be kept'
        ]),
        ("earning: [{name: a, types: sms, points_per_unit: .inf}]\n", [
            'rules.yaml:1: earning["a"].points_per_unit: Input should be a finite number'
        ]),
        ("points_valid_months: a year\n", ["rules.yaml:1: points_valid_months: must be a whole number"]),
        ("- a\n", [
            "rules.yaml: must hold offers, badges, templates, earning, campaigns, contact, tiers or "
            "points_valid_months"
        ]),
        ("badges: [{name: B, levels: {bronze: {condition: tier >= 1}, silver: {}}}]\n", [
            'rules.yaml:1: badges["B"].levels.silver.condition: is missing',
            'rules.yaml:1: badges["B"].levels.gold: is missing',
            'rules.yaml:1: badges["B"].levels.platinum: is missing',
        ]),
        ("offers: [{name: ' a'}]\n", [
            'rules.yaml:1: offers[" a"].name: must be a name without quotation marks and without blanks '
            "around it"
        ]),
        ("offers: [{name: a, offer_id: 99999999999}]\n", [
            'rules.yaml:1: offers["a"].offer_id: Input should be less than 2147483648'
        ]),
    ],
)  # fmt: skip
def test_a_fault_of_form_is_told_with_file_entry_and_field(
    write: Write, text: str, faults: list[str]
) -> None:
    assert refused(write, text) == faults


@pytest.mark.parametrize(
    "text", ["a: [\n", "a: &x [*x]\n", "\x00", "templates: [!!python/name:os.system ]\n"]
)
def test_what_is_no_yaml_is_told(write: Write, text: str) -> None:
    (fault,) = refused(write, text)
    assert fault.startswith("rules.yaml")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            MISSION + "    eligibility: clals_30_days >= 1\n",
            "rules.yaml:10: templates[\"Night Calls\"].eligibility: column 1: there is no 'clals_30_days'; "
            "did you mean calls_30_days",
        ),
        (MISSION.replace("target: 3", "target: 0"), 'rules.yaml:5: templates["Night Calls"].target: must '),
        (
            MISSION + "    after: [Day Calls]\n" + SECOND + "    after: [Night Calls]\n",
            'rules.yaml:10: templates["Night Calls"].after: goes in a circle: ',
        ),
        (
            MISSION.replace("[voice_call]", "[sms, voice_cal]"),
            "rules.yaml:4: templates[\"Night Calls\"].goal.types[1]: there is no event type 'voice_cal'",
        ),
        (MISSION.replace("2 weeks", "0 days"), 'rules.yaml:6: templates["Night Calls"].duration: must be'),
        (
            MISSION.replace("kind: count", "kind: days").replace("target: 3", "target: 15"),
            'rules.yaml:5: templates["Night Calls"].target: must be 1 to 14, not 15',
        ),
        (
            "badges: [{name: B, levels: {bronze: {condition: tier >= 1}, silver: {condition: tier >= 2},\n"
            "  gold: {condition: tier > gold}, platinum: {condition: tier >= 4}}}]\n",
            'rules.yaml:2: badges["B"].levels.gold.condition: column 8',
        ),
        (
            "tiers: [{name: a, points: 0},\n  {name: b, points: 5},\n  {name: c, points: 5}]\n",
            "rules.yaml:3: tiers[2].points: must be above",
        ),
        ("points_valid_months: 0\n", "rules.yaml:1: points_valid_months: must be 1 to"),
        (
            "earning: [{name: a, types: sms, points_per_unit: 0}]\n",
            'rules.yaml:1: earning["a"].points_per_unit: must be above 0',
        ),
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_told_with_file_entry_and_field(
    write: Write, text: str, fault: str
) -> None:
    (told,) = refused(write, text)
    assert told.startswith(fault), told


def test_what_a_draft_makes_wrong_elsewhere_is_told(write: Write) -> None:
    text = "offers: [{name: Premium Trial, active: false}]\n"
    assert [fault.partition(": there")[0] for fault in refused(write, text, seeded())] == [
        'in the catalog: templates["Monthly ARPU Goal"].rewards.offer',
        'in the catalog: badges["Big Spender"].levels.platinum.rewards.offer',
    ]


def test_one_section_in_two_files_is_one(write: Write, tmp_path: Path) -> None:
    write(MISSION, "a.yaml")
    write(MISSION.replace("Night Calls", "Day Calls"), "b.yaml")
    write("points_valid_months: 3\n", "c.yaml")
    game = read([tmp_path, tmp_path / "a.yaml"]).onto(Game(), 2)
    assert [each.name for each in game.templates] == ["Night Calls", "Day Calls"]
    write("points_valid_months: 4\n", "d.yaml")
    with pytest.raises(
        DraftError, match=r"d\.yaml:1: points_valid_months: is there twice, also in .*c\.yaml"
    ):
        read([tmp_path])


def test_a_directory_without_yaml_is_told(tmp_path: Path) -> None:
    with pytest.raises(DraftError, match=r"there is no \.yaml in this directory"):
        read([tmp_path])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["14 days", "risk >= 1", "recharge", "Custom", "gold", "2020-13-45"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_field_is_taken_or_told(data: st.DataObject) -> None:
    """One value of the seed is another one, or is called otherwise."""
    whole = written(seeded())
    at: Any = whole
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.integers(0, 3)) == 0:
            break
        at = at[key]
    if isinstance(at, dict) and data.draw(st.booleans()):
        at[data.draw(st.text(max_size=5) | st.integers())] = at.pop(key)
    else:
        at[key] = data.draw(VALUES)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "rules.yaml"
        path.write_text(dump(whole), encoding="utf-8")
        try:
            game = read([path]).onto(Game(), 2)
        except DraftError as error:
            faults = error.faults
        else:
            faults = []
            assert msgspec.json.decode(msgspec.json.encode(game), type=Game) == game
        assert all(fault.startswith(f"{path}") for fault in faults)


@pytest.mark.parametrize(
    "said",
    [
        "!!bool x",
        "!!int x",
        "!!timestamp x",
        "2020-13-45",
        "!!set {a}",
        "!!binary é",
        "&a [*a]",
        "!x y",
        "[" * 999,
    ],
)
def test_odd_yaml_is_told(write: Write, said: str) -> None:
    for place in ("points_valid_months", "tiers", "templates"):
        for text in (f"{place}: {said}\n", f"{place}:\n  - {said}\n"):
            assert all(fault.startswith("rules.yaml") for fault in refused(write, text))
