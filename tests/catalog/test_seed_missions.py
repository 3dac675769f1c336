"""Each of the 29 templates: who gets the mission and who just does not, who completes it and who just not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.catalog.seed_life import Step, e, game, live, missions, template, until, with_only


@dataclass(frozen=True)
class Case:
    """`life` gets the mission with `target`, `unfit` does not; then `does` completes it, `short` does not."""

    name: str
    life: list[Step]
    unfit: list[Step]
    target: float
    does: list[Step]
    short: list[Step]


#: Known from long ago: history causes nothing.
OLD = e("activation", 0, _backfill=True)
NEW = e("activation", 0)

CASES = [
    # Onboarding
    Case(
        "First Call Mission", OLD + e("sms", 30), OLD + e("sms", 31), 1,
        e("voice_call", 31, 60), e("sms", 31),
    ),
    Case(
        "First Data Usage", OLD + e("sms", 30), OLD + e("sms", 31), 1,
        e("roaming_data", 31, 0.5), e("voice_call", 31),
    ),
    Case(
        "App Installation", OLD + e("sms", 90), OLD + e("sms", 91), 1,
        e("app_install", 91), e("web_login", 91),
    ),
    Case(
        "Profile Completion",
        e("profile_update", 0, language="en"), e("profile_update", 0, language="en", birthday="05-01"), 1,
        e("profile_update", 1, language="en", birthday="05-01"), e("profile_update", 1, birthday="05-01"),
    ),
    Case(
        "First Recharge", NEW, e("invoice", 0, 20), 1,
        e("recharge", 1, 5), e("purchase", 1, 5),
    ),
    # Engagement
    Case(
        "Daily Usage Streak",
        NEW + e("sms", range(7, 14)) + until(14), NEW + e("sms", range(8, 14)) + until(14), 9,
        e("sms", range(15, 24)), e("sms", range(15, 23)),
    ),
    Case(
        "Weekly Activity Goal", NEW + e("sms", (7, 14, 28)), NEW + e("sms", 28), 3,
        e("sms", (35, 42)), e("sms", (35, 49)),
    ),
    Case(
        "Data Usage Goal",
        NEW + e("data_session", 10, 1_000) + until(30), NEW + e("data_session", 10, 249) + until(30), 1_200,
        e("data_session", 31, 1_200), e("data_session", 31, 1_199),
    ),
    Case(
        "Call Frequency",
        NEW + e("voice_call", 9, 60, n=5) + until(30), NEW + e("voice_call", 9, 60, n=4) + until(30), 10,
        e("voice_call", 31, 10, n=10), e("voice_call", 31, 10, n=9) + e("voice_call", 31, 9),
    ),
    Case(
        "App Feature Adoption", e("app_login"), e("feature_use", n=11) + e("app_login"), 3,
        [step for feature in "abc" for step in e("feature_use", 2, feature=feature)],
        [step for feature in "abb" for step in e("feature_use", 2, feature=feature)],
    ),
    Case(
        "Content Consumption", e("app_login", n=2), e("app_login"), 5,
        e("content_view", 2, n=5), e("content_view", 2, n=4),
    ),
    Case(
        "Social Sharing",
        e("voice_call", n=32) + e("app_login", n=4), e("voice_call", n=31) + e("app_login", n=4), 3,
        e("social_share", 2, n=3), e("social_share", 2, n=2),
    ),
    Case(
        "Multi-Channel Usage", e("sms", range(1, 6)), e("sms", range(1, 5)), 4,
        e("voice_call", 6) + e("sms", 6) + e("data_session", 6) + e("web_login", 6),
        e("voice_call", 6) + e("sms", 6) + e("data_session", 6) + e("content_view", 6),
    ),
    # Revenue
    Case(
        "Recharge Threshold", e("recharge", (1, 2), 10), e("recharge", 1, 10), 25,
        e("recharge", 3, 25), e("recharge", 3, 24.99),
    ),
    Case(
        "Bundle Purchase",
        NEW + e("data_session", 5, 300) + e("sms", 14), NEW + e("data_session", 5, 299) + e("sms", 14), 1,
        e("bundle_purchase", 15, 3), e("purchase", 15, 3),
    ),
    Case(
        "Premium Upgrade",
        NEW + e("recharge", (10, 40, 70), 15) + e("sms", 90),
        NEW + e("recharge", (10, 40), 15) + e("recharge", 70, 14.99) + e("sms", 90), 1,
        e("plan_upgrade", 91, 5), e("auto_renew", 91, 5),
    ),
    Case(
        "Roaming Usage", e("roaming_call"), e("voice_call"), 5,
        e("roaming_data", 2, n=3) + e("roaming_call", 3, n=2), e("roaming_data", 2, n=4) + e("voice_call", 3),
    ),
    Case(
        "High Value Purchase", e("purchase", 1, 30), e("purchase", 1, 29.99), 1,
        e("purchase", 2, 25), e("purchase", 2, 24.99),
    ),
    Case(
        "Monthly ARPU Goal",
        NEW + e("recharge", (20, 50, 80), 20) + e("sms", 90),
        NEW + e("recharge", (20, 50), 20) + e("recharge", 80, 10) + e("sms", 90), 25,
        e("recharge", 91, 20) + e("purchase", 92, 5),
        e("recharge", 91, 20) + e("purchase", 92, 5, paid_from="balance"),
    ),
    # Loyalty
    Case(
        "30 Days Active",
        NEW + e("sms", range(7, 14)) + until(14), NEW + e("sms", range(8, 14)) + until(14), 30,
        e("sms", range(14, 44, 3)) + until(45), e("sms", [*range(14, 30, 3), *range(33, 44, 3)]) + until(45),
    ),
    Case(
        "90 Days Loyal",
        NEW + e("sms", range(7, 50, 7)) + until(60), NEW + e("sms", range(7, 43, 7)) + until(60), 12,
        e("sms", range(63, 141, 7)), e("sms", range(63, 134, 7)) + until(151),
    ),
    Case(
        "On-Time Payment", e("invoice", 1, 20), e("payment", 1, 20), 75,
        e("payment", (2, 32, 62), 20, on_time=True),
        e("payment", (2, 32), 20, on_time=True) + e("payment", 62, 20, on_time=False),
    ),
    Case(
        "No Inactivity Period", e("sms", range(1, 11)), e("sms", range(1, 10)), 60,
        e("sms", range(16, 66, 7)) + until(71), e("sms", [16, *range(24, 66, 7), 65]) + until(71),
    ),
    Case(
        "Anniversary Mission", OLD + until(363), OLD + until(362), 3,
        e("sms", (364, 365, 366)), e("sms", (364, 365, 367)) + until(378),
    ),
    # Behavioral correction
    Case(
        "Low Usage Recovery",
        NEW + e("voice_call", 1, n=20) + e("sms", 60), NEW + e("voice_call", 1, n=19) + e("sms", 60), 8,
        e("voice_call", 61, n=8), e("voice_call", 61, n=7) + e("roaming_call", 61),
    ),
    Case(
        "Churn Risk Intervention",
        e("recharge", 10, 10) + e("sms", 30) + until(50), e("recharge", 10, 10) + e("sms", 30) + until(49), 1,
        e("recharge", 51, 1), e("sms", 51),
    ),
    Case(
        "QoE Compensation",
        e("sms") + e("qoe_degradation", 2, n=3), e("sms") + e("qoe_degradation", 2, n=2), 1,
        e("sms", 3), e("app_login", 3),
    ),
    Case(
        "Reactivation Mission", e("sms", 1) + until(31), e("sms", 1) + until(30), 3,
        e("voice_call", 32, n=2) + e("recharge", 33, 5), e("voice_call", 32, n=2) + e("sms", 33),
    ),
    Case(
        "Payment Recovery",
        e("payment", 1, 20, on_time=True) + e("payment", 31, 20, on_time=False),
        e("payment", (1, 31), 20, on_time=True) + e("payment", 61, 20, on_time=False), 2,
        e("payment", (61, 91), 20, on_time=True),
        e("payment", 61, 20, on_time=True) + e("payment", 91, 20, on_time=False),
    ),
]  # fmt: skip

#: Further conditions: who just fits, and who just does not.
EDGES = [
    ("First Recharge", OLD + until(30), OLD + until(31)),
    ("Weekly Activity Goal", e("sms", 83) + OLD + e("sms", range(7, 64, 7), _backfill=True) + until(84),
     e("sms", 83) + OLD + e("sms", range(7, 71, 7), _backfill=True) + until(84)),
    ("Data Usage Goal", NEW + e("data_session", 10, 250) + until(30),
     NEW + e("data_session", 10, 249) + until(30)),
    ("Data Usage Goal", NEW + e("data_session", 10, 20_000) + until(30),
     NEW + e("data_session", 10, 20_001) + until(30)),
    ("Data Usage Goal", NEW + e("data_session", 10, 250) + until(30),
     NEW + e("data_session", 10, 250) + until(29)),
    ("Call Frequency", NEW + e("voice_call", 10, n=100) + until(30),
     NEW + e("voice_call", 10, n=101) + until(30)),
    ("App Feature Adoption", e("feature_use", 1, 10) + e("app_login"),
     e("feature_use", 1, 11) + e("app_login")),
    ("Content Consumption", e("content_view", 1, 50) + e("app_login", n=2),
     e("content_view", 1, 51) + e("app_login", n=2)),
    ("Multi-Channel Usage", e("app_login", range(1, 5), 5) + e("web_login", 5, 9),
     e("app_login", range(1, 5), 5) + e("web_login", 5, 10)),
    ("Bundle Purchase", NEW + e("bundle_purchase", 5, n=3) + e("data_session", 5, 300) + until(14),
     NEW + e("bundle_purchase", 5, n=4) + e("data_session", 5, 300) + until(14)),
    ("Premium Upgrade", NEW + e("plan_upgrade", 5, n=2) + e("recharge", 70, 45) + until(90),
     NEW + e("plan_upgrade", 5, n=3) + e("recharge", 70, 45) + until(90)),
    ("Premium Upgrade", NEW + e("recharge", 70, 45) + until(90), NEW + e("recharge", 70, 45) + until(89)),
    ("Roaming Usage", e("roaming_data"), e("data_session")),
    ("High Value Purchase", e("recharge", 1, 29) + e("purchase", 1, 1), e("recharge", 1, 30)),
    ("Monthly ARPU Goal", NEW + e("recharge", 80, 15) + until(90),
     NEW + e("recharge", 80, 14.99) + until(90)),
    ("Monthly ARPU Goal", NEW + e("recharge", 80, 15) + until(90), NEW + e("recharge", 80, 15) + until(89)),
    ("90 Days Loyal", NEW + e("sms", range(7, 50, 7)) + until(60),
     NEW + e("sms", range(7, 50, 7)) + until(59)),
    ("On-Time Payment", e("payment", on_time=False), e("payment")),
    ("No Inactivity Period", e("sms", range(1, 11), _backfill=True) + until(17),
     e("sms", range(1, 11), _backfill=True) + until(18)),
    ("Low Usage Recovery", NEW + e("data_session", 1, 1_000) + e("sms", 45) + until(60),
     NEW + e("data_session", 1, 999) + e("sms", 45) + until(60)),
    ("Low Usage Recovery", NEW + e("voice_call", 1, n=20) + e("sms", 45) + until(60),
     NEW + e("voice_call", 1, n=20) + e("sms", 45) + until(59)),
    ("Low Usage Recovery", NEW + e("voice_call", 1, n=20) + e("sms", 45) + until(66),
     NEW + e("voice_call", 1, n=20) + e("sms", 45) + until(67)),
    ("Churn Risk Intervention", e("recharge", 10, 10) + e("sms", 30) + until(59),
     e("recharge", 10, 10) + e("sms", 30) + until(60)),
    ("QoE Compensation", e("sms") + e("qoe_degradation", 15, n=3), e("sms") + e("qoe_degradation", 16, n=3)),
    ("Reactivation Mission", e("sms", 1) + until(181), e("sms", 1) + until(182)),
    ("Payment Recovery", e("payment", 1, on_time=False) + e("payment", 2, on_time=True),
     e("payment", 1, on_time=False)),
]  # fmt: skip
cases = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def test_every_template_has_its_case() -> None:
    assert [case.name for case in CASES] == [each.name for each in game().templates]


@cases
def test_who_fits_is_given_the_mission_with_its_target(case: Case) -> None:
    assert missions(with_only(case.name), case.life, case.name) == [("given", case.target)]


@cases
def test_who_just_does_not_fit_is_not(case: Case) -> None:
    assert missions(with_only(case.name), case.unfit, case.name) == []


@pytest.mark.parametrize(("name", "fits", "unfit"), EDGES, ids=[name for name, _, _ in EDGES])
def test_further_conditions_are_held(name: str, fits: list[Step], unfit: list[Step]) -> None:
    assert [status for status, _ in missions(with_only(name), fits, name)] == ["given"]
    assert missions(with_only(name), unfit, name) == []


@cases
def test_who_does_it_completes_it_and_is_rewarded(case: Case) -> None:
    told = live(with_only(case.name), case.life + case.does)
    mine = [each for each in told if each["topic"] == "mission-progress" and each["status"] != "progress"]
    assert [each["status"] for each in mine][:2] == ["given", "completed"]
    rule = template(case.name)
    granted = [
        (each["kind"], each["points"], each["offer"])
        for each in told
        if each["topic"] == "reward-grants" and each["rule"] == f"mission:{rule.number}"
    ]
    wanted = [("points", rule.rewards.points, -1)]
    wanted += [("offer", 0, rule.rewards.offer)] if rule.rewards.offer >= 0 else []
    assert granted == wanted
    if rule.rewards.badge >= 0:
        awards = [each for each in told if each["topic"] == "badge-awards" and each["reason"] == "reward"]
        assert [(each["number"], each["level"]) for each in awards] == [
            (rule.rewards.badge, rule.rewards.level)
        ]


@cases
def test_who_does_just_too_little_does_not(case: Case) -> None:
    found = missions(with_only(case.name), case.life + case.short, case.name)
    assert [status for status, _ in found][:1] == ["given"]
    assert "completed" not in [status for status, _ in found]


@cases
def test_who_is_too_late_does_not(case: Case) -> None:
    """The same, but after the mission has ended."""
    days = template(case.name).duration_days + 2
    late = [step._replace(day=step.day + days) for step in case.does]
    found = missions(with_only(case.name), case.life + until(late[0].day) + late, case.name)
    assert [status for status, _ in found][:2] == ["given", "expired"]
