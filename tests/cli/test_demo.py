"""`khaywe demo` as a whole: it comes to the figures that pandas has from the same input, and ends cleanly."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pandas as pd
import psutil
import pytest

from agents.tail import Tail
from cli.demo_campaign import is_off
from cli.demo_home import Home
from cli.demo_input import CDRS, DATA, END, REPEAT_EVERY, generated, poison, profile, subscribers
from config.settings import Settings
from config.topics import (
    BADGE_AWARDS,
    BEHAVIOR_SCORES,
    CAMPAIGN_TRIGGERS,
    MISSION_PROGRESS,
    PREDICTIONS,
    REWARD_GRANTS,
)
from ml.models import LEVELS

KHAYWE = str(Path(sys.executable).with_name("khaywe"))
SECONDS = 900
CODES = {
    "VOICE": "call", "ROAM_VOICE": "call", "SMS": "sms", "DATA": "data", "ROAM_DATA": "data",
    "APP_LOGIN": "login", "APP_FEATURE": "feature", "APP_CONTENT": "content", "APP_CARE": "care",
    "WEB_LOGIN": "web",
}  # fmt: skip
APP = ["login", "feature", "content", "care"]
TODAY = pd.Timestamp(END.replace(tzinfo=None))


def events() -> pd.DataFrame:
    """Every good record once: customer, what, day, amount (cents or kilobytes, else 1)."""
    recharges = pd.read_csv(DATA / "recharges.csv", dtype=str).rename(columns={"amount": "value"})
    sessions = pd.read_csv(DATA / "mobiledata.csv", dtype=str).rename(columns={"volume": "value"})
    files = pd.concat([recharges.assign(what="recharge"), sessions.assign(what="data")])
    files = files.rename(columns={"caller_id": "customer", "timestamp": "at"})
    cdrs = pd.DataFrame(generated()).rename(columns={"msisdn": "customer", "event_time": "at"})
    cdrs = cdrs.assign(what=cdrs["cdr_type"].map(CODES), value=cdrs["usage"].map(str))
    found = pd.concat([files, cdrs[["customer", "at", "what", "value"]]], ignore_index=True)
    units = found["what"].map({"recharge": 100, "data": 1024}).fillna(0).astype(int)
    found["amount"] = [
        int((Decimal(value) * unit).quantize(Decimal(1), ROUND_HALF_EVEN)) if unit else 1
        for value, unit in zip(found["value"], units, strict=True)
    ]
    found["day"] = pd.to_datetime(found["at"].str.slice(0, 10))
    return found


class Foretold(NamedTuple):
    """What models said of each customer last, as the fold keeps it; absent: unknown."""

    churn: pd.Series  # share
    ltv: pd.Series  # currency


def foretold(config: Settings) -> Foretold:
    last: dict[bytes, bytes] = {}
    tail = Tail(config, PREDICTIONS)
    for record in tail.to_end():
        last[record.key() or b""] = record.value() or b""
    tail.close()
    churn, ltv = {}, {}
    for found in map(msgspec.json.decode, last.values()):
        models, customer = found["models"], found["customer_id"]
        if found["set"] == "inline" and not models["churn"]["insufficient_history"]:
            churn[customer] = round(models["churn"]["probability"] * 10_000) / 10_000
        if found["set"] == "daily" and not models["ltv"]["insufficient_history"]:
            cents = Decimal(str(models["ltv"]["amount"])) * 100
            ltv[customer] = int(cents.quantize(Decimal(1), ROUND_HALF_EVEN)) / 100
    return Foretold(pd.Series(churn), pd.Series(ltv))


def expected(models: Foretold) -> pd.DataFrame:
    """The five scores of every customer as of the end of the data, by the formulas of the design."""
    all_ = events()
    customers = pd.Index(sorted(all_["customer"].unique()))
    ago = (TODAY - all_["day"]).dt.days
    month = all_[ago < 30]
    money = all_[all_["what"] == "recharge"]

    def count(rows: pd.DataFrame) -> pd.Series:
        return rows.groupby("customer").size().reindex(customers, fill_value=0)

    def total(rows: pd.DataFrame) -> pd.Series:
        return rows.groupby("customer")["amount"].sum().reindex(customers, fill_value=0)

    def days_since(rows: pd.DataFrame, which: str) -> pd.Series:
        days: pd.Series = (TODAY - rows.groupby("customer")["day"].agg(which)).dt.days.reindex(customers)
        return days

    def of(*what: str) -> pd.DataFrame:
        found: pd.DataFrame = month[month["what"].isin(what)]
        return found

    monday = TODAY.normalize() - pd.Timedelta(days=TODAY.day_of_week)
    mondays = all_["day"] - pd.to_timedelta(all_["day"].dt.day_of_week, "D")
    weeks = all_.assign(week=(monday - mondays).dt.days // 7)
    active_weeks = weeks[weeks["week"] < 12].groupby("customer")["week"].nunique().reindex(customers)
    money_ago = (TODAY - money["day"]).dt.days
    last, before = total(money[money_ago < 30]), total(money[(money_ago >= 30) & (money_ago < 60)])
    revenue = total(money) / 100
    policy: dict[str, list[tuple[float, pd.Series, float]]] = {
        "engagement": [
            (30, count(of("call")), 60),
            (30, total(of("data")) / 1024, 10_240),
            (20, count(of(*APP)), 20),
            (10, count(of("sms")), 60),
            (10, (30 - days_since(all_, "max")).clip(lower=0), 30),
        ],
        "revenue": [
            (40, revenue, 1_000),
            (30, last / 100, 100),
            (20, total(money[money_ago < 90]) / 100 / 3, 50),
            (10, models.ltv.reindex(customers).fillna(revenue), 2_000),
        ],
        "loyalty": [
            (30, days_since(all_, "min"), 365), (25, count(money), 100), (25, active_weeks / 12, 1),
        ],
        "risk": [
            (50, models.churn.reindex(customers, fill_value=0.0), 1),
            (30, days_since(money, "max").fillna(0), 60),
            (20, ((before - last) / before).where(before > 0, 0), 1),
        ],
        "digital": [
            (40, count(of("login")), 20),
            (30, count(of("feature")), 30),
            (20, count(of("content")), 30),
            (10, count(of("web")), 10),
        ],
    }  # fmt: skip
    scores = pd.DataFrame(0.0, customers, list(policy))
    for name, parts in policy.items():
        for weight, measure, full_at in parts:
            scores[name] += weight * (measure / full_at).clip(0, 1)
    return (scores * 100).round() / 100


class Ran:
    """A demo that ran and is left running."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {**os.environ, "KHAYWE_HOME": str(path / "demo"), "KHAYWE_PARTITIONS": "9"}
        self.said = self.khaywe("demo", "--keep")

    def khaywe(self, *arguments: str, **more: str) -> str:
        """What a command says."""
        done = subprocess.run(
            [KHAYWE, *arguments], env=self.environment | more, cwd=self.path, capture_output=True, text=True,
            timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def home(self) -> Home:
        """Its directory."""
        return Home(self.path / "demo")

    def processes(self) -> list[psutil.Process]:
        """Everything of it that lives."""
        mark = str(self.path)
        return [
            process
            for process in psutil.process_iter(["cmdline", "cwd"])
            if mark in " ".join(process.info["cmdline"] or []) or (process.info["cwd"] or "").startswith(mark)
        ]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """`khaywe demo --keep`."""
    demo = Ran(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.khaywe("demo", "--stop")
    assert demo.processes() == []


def cells(said: str, first: str) -> list[str]:
    """After "What went in": the other cells of the line that begins with `first`."""
    lines = said[said.index("What went in") :].splitlines()
    return re.split(r"\s{2,}", next(line for line in lines if line.startswith(f"{first} ")).strip())[1:]


def published(ran: Ran) -> pd.DataFrame:
    """The newest scores of every customer."""
    found: dict[str, dict[str, float]] = {}
    tail = Tail(ran.home().settings(), BEHAVIOR_SCORES)
    for record in tail.to_end():
        effect: dict[str, Any] = msgspec.json.decode(record.value() or b"")
        assert effect["as_of"] <= "2020-03-01T00:00:00.000Z"
        found[effect["customer_id"]] = effect["scores"]
    tail.close()
    return pd.DataFrame.from_dict(found, orient="index").sort_index()


def test_the_scores_are_those_that_pandas_has(ran: Ran) -> None:
    models, scores = foretold(ran.home().settings()), published(ran)
    assert len(models.churn) > 900
    assert len(models.ltv) > 900
    pd.testing.assert_frame_equal(scores, expected(models), check_names=False, check_exact=True)


def test_it_says_what_went_in_and_what_came_out(ran: Ran) -> None:
    repeated, bad = CDRS // REPEAT_EVERY, len(poison())
    assert cells(ran.said, "recharges") == ["billing", "10,000", "10,000", "0"]
    assert cells(ran.said, "mobiledata") == ["network", "10,000", "10,000", "0"]
    assert cells(ran.said, "cdr-app") == [
        "cdr", f"{CDRS + repeated + bad:,}", f"{CDRS + repeated:,}", str(bad),
    ]  # fmt: skip
    assert cells(ran.said, "crm") == ["crm", "925", "925", "0"]
    assert cells(ran.said, "customers in the table") == ["925"]
    assert cells(ran.said, "customers with scores on behavior-scores") == ["925"]
    assert cells(ran.said, "events that a source sent twice, counted once") == [str(repeated)]
    assert cells(ran.said, "events too late for their window") == ["0"]
    for reason in ("undecodable", "missing_customer_id", "unknown_event_type", "bad_value", "oversized"):
        assert int(cells(ran.said, reason)[0]) >= 1


def test_it_ranks_by_each_score(ran: Ran) -> None:
    scores = expected(foretold(ran.home().settings()))
    for name in map(str, scores):
        high, value, _, low, least = cells(ran.said, name)
        assert float(value) == scores.loc[high, name] == scores[name].max()
        lowest = scores[name].min()
        assert low.startswith(("00", "+88"))
        assert float(least) == scores.loc[low, name] == lowest


def test_what_is_left_running_answers(ran: Ran) -> None:
    environment = ran.home().environment()
    shown = json.loads(ran.khaywe("customer", "show", "+8800184682211", "--json", **environment))
    assert shown["as_of"] == "2020-03-01T00:00:00.000Z"
    assert (
        shown["scores"]["loyalty"]["value"]
        == (expected(foretold(ran.home().settings())).loc["+8800184682211", "loyalty"])
    )
    assert "Nothing is behind." in ran.khaywe("lag", "--wait", **environment)


def told(ran: Ran, topic: str) -> list[dict[str, Any]]:
    """Everything on a topic."""
    tail = Tail(ran.home().settings(), topic)
    found = [msgspec.json.decode(record.value() or b"") for record in tail.to_end()]
    tail.close()
    return found


def test_it_foretells_churn_and_offers_and_says_why(ran: Ran) -> None:
    models = foretold(ran.home().settings())
    assert cells(ran.said, "too little history to tell") == [str(925 - len(models.churn))]
    levels = [int(cells(ran.said, f"churn within 30 days: {level} risk")[0]) for level in LEVELS]
    assert sum(levels) == len(models.churn)
    assert min(levels) > 0
    highest = models.churn[models.churn == models.churn.max()].index[-1]
    end = ran.said[ran.said.index("What models foretell") :]
    reasons = end[end.index(f"customer predictions {highest}") :].splitlines()[1:3]
    assert reasons[0].startswith(f"churn: Churn: high, {models.churn.max():.1%}. Critical: ")
    assert re.match(r"nbo: .+, \d+\.\d%, worth -?\d+\.\d\d\. Taking the offer \(\w+\): ", reasons[1])
    shown = json.loads(ran.khaywe("customer", "show", highest, "--json", **ran.home().environment()))
    assert shown["predictions"]["inline"]["churn"] == models.churn.max()
    assert f"\n{highest}, daily" in ran.khaywe("customer", "predictions", highest, **ran.home().environment())


def test_it_ends_with_what_the_game_did(ran: Ran) -> None:
    missions, badges, grants = (
        told(ran, topic) for topic in (MISSION_PROGRESS, BADGE_AWARDS, REWARD_GRANTS)
    )  # fmt: skip
    completed = Counter(each["name"] for each in missions if each["status"] == "completed")
    points = sum(each["points"] for each in grants if each["kind"] == "points")
    assert completed.total() > 1_000
    assert points > 100_000
    assert cells(ran.said, "missions completed") == [f"{completed.total():,}"]
    assert cells(ran.said, "points granted") == [f"{points:,}"]
    levels = [each for each in badges if each["kind"] == "badge"]
    assert cells(ran.said, "badge levels awarded") == [f"{len(levels):,}"]
    for name in ("Recharge Threshold", "First Call Mission"):
        assert cells(ran.said, name)[2] == f"{completed[name]:,}"
    owed = json.loads(ran.khaywe("points", "--json", **ran.home().environment()))
    assert owed["owed"] == points, "nothing was spent, and nothing has ended"
    open_ = json.loads(ran.khaywe("grants", "--json", **ran.home().environment()))
    offers = {each["grant_id"] for each in grants if each["kind"] == "offer"}
    assert {each["grant_id"] for each in open_} == offers


def test_a_campaign_ran_and_the_api_says_what_it_brought(ran: Ran) -> None:
    triggers = told(ran, CAMPAIGN_TRIGGERS)
    by_id: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in triggers:
        by_id[each["trigger_id"]][each["status"]] = each
    refused = {id for id in subscribers() if not json.loads(profile(id.encode(), "").value)["marketing"]}
    assert 50 < len(refused) < 150
    assert refused.isdisjoint(each["customer_id"] for each in triggers)
    arms = {}
    for arm in ("treatment", "control"):
        mine = [statuses for statuses in by_id.values() if statuses["triggered"]["arm"] == arm]
        counts = [sum(status in statuses for statuses in mine) for status in ("delivered", "converted")]
        cost = sum(statuses["triggered"]["cost"] for statuses in mine)
        arms[arm] = (len(mine), *counts, cost)
    (sent, delivered, bought, cost), (left_alone, reached, _, free) = arms["treatment"], arms["control"]
    assert sent > 300
    assert left_alone > 100
    assert (reached, free, cost) == (0, 0, 60 * sent)
    heard = {id for id, statuses in by_id.items() if statuses["triggered"]["arm"] == "treatment"}
    assert delivered == sum(not is_off(id) for id in heard)
    assert 0 < bought < sent
    assert cells(ran.said, "sms-gateway") == ["custom", f"{delivered:,}", f"{delivered:,}", "0"]

    page = printed(ran.said, "REST API").removesuffix("/docs")
    with urllib.request.urlopen(f"{page}/docs", timeout=60) as answer:
        assert b"/campaigns/" in answer.read()
    asked = urllib.request.Request(
        f"{page}/campaigns/100/performance/", headers={"X-API-Key": printed(ran.said, "its key")}
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        brought = json.load(answer)
    for arm, figures in arms.items():
        found = brought["arms"][arm]
        assert (found["triggered"], found["delivered"], found["converted"], found["cost"]) == figures
        shown = [f"{figure:,}" for figure in figures[:3]]
        assert cells(ran.said, arm)[:3] == shown
    assert brought["uplift"]["low"] < brought["uplift"]["value"] < brought["uplift"]["high"]
    assert f"uplift {100 * brought['uplift']['value']:+.1f} percentage points" in ran.said


def printed(said: str, what: str) -> str:
    """What stands beside a word in the lines at the end."""
    found = re.search(rf"^  {what}\s+(\S+)", said, re.MULTILINE)
    assert found is not None, said[-3000:]
    return found[1]


def test_the_console_shows_whoever_has_its_key_the_reason_of_a_badge(ran: Ran) -> None:
    page = printed(ran.said, "a customer")
    assert page.startswith(printed(ran.said, "address"))
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        door = browser.get(page)
        assert door.url.path == "/console/login"
        next_ = html.unescape(re.findall(r'name="next" value="([^"]+)"', door.text)[0])
        shown = browser.post(
            door.url.copy_with(query=None), data={"key": printed(ran.said, "its key"), "next": next_}
        )
        assert str(shown.url) == page
        badges = shown.text[shown.text.index('id="h-badges"') : shown.text.index('id="h-scores"')]
        assert "<details open>" in badges
        conditions = re.findall(r'<ul class="conditions">.*?</ul>', badges, re.DOTALL)
        assert conditions
        assert re.search(r"\w+ (>=|<|==) \S+", html.unescape(conditions[0]))
        why_not = browser.get(printed(ran.said, "why not"))
        assert why_not.status_code == 200
        assert 'id="badges"' in why_not.text


def test_one_customer_has_a_story_and_reasons(ran: Ran) -> None:
    environment = ran.home().environment()
    customer = re.search(r"The story of (\S+)", ran.said)
    assert customer is not None
    id = customer[1]
    found = json.loads(ran.khaywe("why", id, "--json", **environment))
    assert {each["customer_id"] for each in found["decided"]} == {id}
    assert len(found["now"]["templates"]) == 29
    assert all(each["given"] != bool(each["reasons"]) for each in found["now"]["templates"])
    shown = json.loads(ran.khaywe("customer", "show", id, "--json", **environment))
    running = {each["name"] for each in shown["missions"]}
    assert running == {
        each["name"]
        for each in found["now"]["templates"]
        if "running" in {reason["reason"] for reason in each["reasons"]}
    }
    assert shown["timeline"]
    assert shown["badges"]
    before = shown["points"]["balance"]
    ran.khaywe("command", "redeem", "--customer", id, "--points", "10", **environment)
    after = json.loads(ran.khaywe("customer", "show", id, "--json", **environment))
    assert after["points"]["balance"] == before - 10
    assert after["timeline"][-1]["kind"] == "redeemed"


def test_a_second_one_shows_the_first_again(ran: Ran) -> None:
    again = ran.khaywe("demo")
    assert "it goes on, nothing is sent again" in again
    assert cells(again, "cdr-app") == cells(ran.said, "cdr-app")
    assert cells(again, "treatment") == cells(ran.said, "treatment")
    assert printed(again, "a customer") == printed(ran.said, "a customer")
    answer = httpx.post(
        f"{printed(again, 'address')}login", data={"key": printed(again, "its key")}, timeout=60
    )
    assert answer.status_code == 303, "every showing has a key that opens the console"
    assert ran.home().runs()
