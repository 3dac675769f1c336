"""`khaywe catalog` as a loyalty manager uses it, and docs/catalog.md: what it says is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition

from catalog.content import decode
from catalog.draft import SEED, Draft, seed
from catalog.entries import TemplateEntry
from catalog.service import CatalogService
from cli.main import cli
from config import topics as names
from config.settings import Settings, settings
from loyalty.game import Game
from streams import topics as on_brokers

DOCS = Path(__file__).parents[2] / "docs" / "catalog.md"
CHANGED = """\
templates:
  - name: Call Frequency
    category: engagement
    description: Call a little more often.
    eligibility: tenure_days >= 30 and calls_30_days >= 5 and calls_30_days <= 100
    goal: {kind: count, types: [voice_call], where: value >= 10}
    target: 20
    duration: 30 days
    cooldown: 30 days
    priority: 50
    rewards: {points: 200}
"""


class Khaywe:
    """The command on a catalog of its own."""

    def __init__(self, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    def __call__(self, *arguments: object) -> Result:
        settings.cache_clear()
        try:
            return CliRunner().invoke(cli, ["catalog", *map(str, arguments)])
        finally:
            settings.cache_clear()

    def said(self, *arguments: object) -> str:
        done = self(*arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments: object) -> Any:
        return json.loads(self.said(*arguments, "--json"))

    def refused(self, *arguments: object) -> str:
        done = self(*arguments)
        assert done.exit_code != 0, done.output
        assert "Traceback" not in done.output
        return done.output


@pytest.fixture
def khaywe(
    services: Settings, environment: dict[str, str], database: str, monkeypatch: pytest.MonkeyPatch
) -> Khaywe:
    on_brokers.create(services)
    mine = {name: value for name, value in environment.items() if name.startswith("KHAYWE_")}
    return Khaywe(mine | {"KHAYWE_DATABASE": database}, monkeypatch)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    path = tmp_path / "changed.yaml"
    path.write_text(CHANGED, encoding="utf-8")
    return path


def test_a_load_says_what_changes_and_is_published(services: Settings, khaywe: Khaywe, changed: Path) -> None:
    lines = khaywe.said("load", changed, "--note", "dearer calls").splitlines()
    assert lines == [
        '~ templates "Call Frequency" (9)',
        "    description: Call a little more often than in the last month. Calls of 10 seconds and more "
        "count. -> Call a little more often.",
        "    target: - -> 20",
        "    rewards.points: 100 -> 200",
        "    target.baseline: calls_30_days -> -",
        "    target.stretch: 1.2 -> -",
        "    target.low: 10 -> -",
        "    target.high: 120 -> -",
        "revision 2, published",
    ]
    assert khaywe.said("load", changed) == "nothing changes: revision 2 says all of this\n"
    consumer = Consumer(services.kafka_config(**{"group.id": "test", "enable.auto.commit": False}))
    last = consumer.get_watermark_offsets(TopicPartition(names.CATALOG, 0), timeout=10)[1] - 1
    consumer.assign([TopicPartition(names.CATALOG, 0, last)])
    (record,) = consumer.consume(1, timeout=10)
    consumer.close()
    content = decode(record.value() or b"")
    assert (content.revision, content.note) == (2, "dearer calls")
    assert content.game.templates[8].rewards.points == 200


def test_a_load_for_programs(khaywe: Khaywe, changed: Path) -> None:
    found = khaywe.json("load", changed)
    assert {name: found[name] for name in ("revision", "changed", "published")} == {
        "revision": 2, "changed": True, "published": True,
    }  # fmt: skip
    (change,) = found["changes"]
    assert (change["section"], change["name"], change["number"], change["change"]) == (
        "templates", "Call Frequency", 9, "changed",
    )  # fmt: skip
    assert change["fields"]["rewards.points"] == [100, 200]
    assert khaywe.json("load", changed) == {
        "revision": 2, "changed": False, "published": True, "changes": [],
    }  # fmt: skip


def test_a_load_without_kafka_stands(khaywe: Khaywe, changed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KHAYWE_KAFKA", "127.0.0.1:9")
    monkeypatch.setattr("catalog.service.PUBLISH_SECONDS", 0.5)
    done = khaywe("load", changed)
    assert done.exit_code == 0
    assert "revision 2\n" in done.stdout
    assert "not published yet" in done.stderr


def test_what_is_refused_is_told_with_its_place(khaywe: Khaywe, changed: Path) -> None:
    changed.write_text(CHANGED.replace("30 days", "a while", 1).replace("points: 200", "offer: Boat"))
    told = khaywe.refused("load", changed)
    assert f'{changed}:8: templates["Call Frequency"].duration: must be like' in told
    assert "nothing was changed" in told
    assert "hint: docs/catalog.md" in told
    assert "Usage" in khaywe.refused("load", "nowhere.yaml")
    assert khaywe.json("show")["revision"] == 1


def test_an_export_loads_again_unchanged(khaywe: Khaywe, changed: Path, tmp_path: Path) -> None:
    khaywe.said("load", changed)
    out = tmp_path / "out"
    assert "revision 2" in khaywe.said("export", "--dir", out)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in SEED.iterdir())
    assert "nothing changes" in khaywe.said("load", out)
    assert "templates.yaml" in khaywe.refused("export", "--dir", out)
    khaywe.said("export", "--dir", out, "--revision", 1, "--force")
    assert "revision 3" in khaywe.said("load", out)
    assert khaywe.said("diff", 1, 3).splitlines() == ["revision 1 -> 3", "no difference"]
    whole = tmp_path / "whole.yaml"
    whole.write_text(khaywe.said("export"), encoding="utf-8")
    assert "nothing changes" in khaywe.said("load", whole)
    assert "there is no revision 9" in khaywe.refused("export", "--revision", 9)


def test_diff_compares_revisions_and_files(khaywe: Khaywe, changed: Path) -> None:
    assert khaywe.said("diff").splitlines() == ["revision 1 -> 1", "no difference"]
    would = khaywe.said("diff", changed).splitlines()
    assert would[0] == f"revision 1 -> {changed}"
    assert khaywe.json("show")["revision"] == 1
    khaywe.said("load", changed)
    assert khaywe.said("diff").splitlines()[1:] == would[1:]
    assert khaywe.said("diff", 1).splitlines()[1:] == would[1:]
    backwards = khaywe.json("diff", 2, 1)
    assert backwards["compared"] == "revision 2 -> 1"
    assert backwards["changes"][0]["fields"]["rewards.points"] == [200, 100]
    bonus = "{name: Recharge Bonus, description: 12%, category: recharge, lifecycle_stage: growth}"
    changed.write_text(f"offers: [{{name: Boat}}, {bonus}]\ntiers: []\n")
    khaywe.said("load", changed)
    changed.write_text("offers: [{name: Boat, active: false}]\n")
    assert khaywe.said("diff", changed).splitlines()[1:] == ['- offers "Boat" (8)']
    assert khaywe.said("diff", 2).splitlines()[1:] == [
        '~ offers "Recharge Bonus" (2)',
        "    description: 10% extra credit on your next recharge -> 12%",
        "    kind: recharge -> -", "    value: 6.0 -> -", "    cost: 0.6 -> -",
        "    bonus.credit_percent: 10.0 -> -",
        '+ offers "Boat" (8)',
        '- tiers "bronze"', '- tiers "gold"', '- tiers "platinum"', '- tiers "silver"',
    ]  # fmt: skip
    for wrong in ((1, 2, 3), (1, changed), ("nowhere.yaml",)):
        assert "Usage" in khaywe.refused("diff", *wrong)
    assert "there is no revision 9" in khaywe.refused("diff", 9)


def test_show_gives_all_or_one_by_its_name(khaywe: Khaywe) -> None:
    whole = khaywe.said("show")
    for shown in ("First Call Mission", "Double Points Weekend", "platinum", "12 months"):
        assert shown in whole
    found = khaywe.json("show")
    assert (found["revision"], len(found["templates"]), len(found["badges"])) == (1, 29, 12)
    both = yaml.safe_load(khaywe.said("show", "30 days active"))
    assert sorted(both) == ["badges", "templates"]
    assert "did you mean Premium" in khaywe.refused("show", "Premum")


def test_load_without_files_is_for_a_catalog_without_rules(
    khaywe: Khaywe, database: str, services: Settings
) -> None:
    service = CatalogService(database, services)
    service.ensure_first_revision(Draft([]))
    service.close()
    assert khaywe.json("show")["templates"] == []
    assert "points are valid for 12 months" in khaywe.said("show")
    assert khaywe.said("load").splitlines()[-1] == "revision 2, published"
    assert len(khaywe.json("show")["templates"]) == 29
    told = khaywe.refused("load")
    assert "the catalog has rules already" in told
    assert str(SEED) in told


def test_the_examples_of_the_page_load(khaywe: Khaywe, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 5
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        assert f"revision {number + 2}, published" in khaywe.said("load", path)
    path.write_text(blocks[0].replace("14 days", "a fortnight"), encoding="utf-8")
    shown = khaywe.refused("load", path).replace(str(path), "night.yaml")
    assert shown.partition("hint:")[0].strip() in DOCS.read_text(encoding="utf-8")


def test_the_page_lists_what_is_shipped() -> None:
    rows = [line.split(" | ") for line in DOCS.read_text(encoding="utf-8").splitlines() if " | " in line]
    named = [row[0].removeprefix("| ") for row in rows]
    game = seed().onto(Game(), 2)
    offers = {offer.offer_id: offer.name for offer in game.offers}
    for template in game.templates:
        row = next(row for row in rows if row[0] == f"| {template.name}" and len(row) == 4)
        assert row[3].split(",")[0].strip(" |") == str(template.rewards.points)
        assert template.rewards.offer < 0 or offers[template.rewards.offer] in row[3]
    assert {badge.name for badge in game.badges} <= set(named)
    assert {field for field in TemplateEntry.model_fields if field != "number"} <= {
        each.strip("`") for each in named
    }


def test_campaigns_are_shown_loaded_and_compared(khaywe: Khaywe, tmp_path: Path) -> None:
    shown = khaywe.said("show")
    for words in (
        "Win Back",
        "risk >= 60",
        "recharge where value >= 20",
        "friday",
        "at most 2 times in 7 days",
    ):
        assert words in " ".join(shown.split()), words
    whole = khaywe.said("show", "win back")
    path = tmp_path / "mine.yaml"
    path.write_text(whole.replace("active: false", "active: true"), encoding="utf-8")
    assert khaywe.said("load", path).splitlines() == [
        '~ campaigns "Win Back" (1)', "    active: no -> yes", "revision 2, published",
    ]  # fmt: skip
    khaywe.said("load", _write(tmp_path, "contact: {most: 5, quiet_from: 22:15, quiet_to: 6:00}"))
    assert khaywe.json("show")["contact"] == {
        "most": 5, "days": "7 days", "quiet_from": "22:15", "quiet_to": "06:00", "zones": [],
    }  # fmt: skip
    assert [each["section"] for each in khaywe.json("diff", "2", "3")["changes"]] == ["contact"]
    assert "product_id: there is no product 7" in khaywe.refused(
        "load", _write(tmp_path, "campaigns: [{name: Sell, trigger: {kind: schedule}, product_id: 7}]")
    )


def _write(directory: Path, text: str) -> Path:
    path = directory / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_when_models_are_asked_is_shown_and_changed(khaywe: Khaywe) -> None:
    assert khaywe.json("predictions") == {
        "enabled": True, "step": 10.0, "hours": 24, "revision": 1, "published": True,
    }  # fmt: skip
    assert khaywe.said("predictions", "--step", "5", "--hours", "12").endswith("revision 2, published\n")
    assert khaywe.json("predictions", "--step", "5")["revision"] == 2
    assert khaywe.json("predictions", "--disabled")["revision"] == 3
    assert "models are not asked" in khaywe.said("show")
    changes = khaywe.json("diff", "1", "3")["changes"]
    assert [(each["section"], each["fields"]) for each in changes] == [
        ("predictions", {"enabled": [True, False], "step": [10.0, 5.0], "hours": [24, 12]})
    ]
    assert "--hours" in khaywe.refused("predictions", "--hours", "-1")
