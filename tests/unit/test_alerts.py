"""Alerts and board: right by Prometheus' own tool, and about metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from configbuild.builds.runner import Load
from configbuild.layout import Layout
from configbuild.metrics import Metrics
from configbuild.web.access import Access
from tests.promtool import promtool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "manifests" / "components" / "prometheus"
BOARD = ROOT / "manifests" / "components" / "grafana" / "board.json"
OPERATIONS = ROOT / "docs" / "operations.md"

RULES = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["spec"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in ALERTS]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules as a plain file, and their tests beside them."""
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(RULES, sort_keys=False))
    (tmp_path / "tests.yml").write_bytes((PROMETHEUS / "tests.yaml").read_bytes())
    return tmp_path


def test_rules_are_rules(rules: Path) -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", rules / "rules.yml")


def test_alerts_fire_when_they_should_and_not_before(rules: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", rules / "tests.yml")


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    cases = yaml.safe_load((PROMETHEUS / "tests.yaml").read_text())["tests"]
    firing = {
        test["alertname"]
        for case in cases
        for test in case["alert_rule_test"]
        if test["exp_alerts"]
    }
    assert firing == set(NAMES)
    headings = re.findall(r"^### (\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert [name for name in headings if name.startswith("ConfigBuild")] == NAMES
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_alerts_and_board_speak_of_metrics_and_labels_that_there_are(tmp_path: Path) -> None:
    known = _metrics(tmp_path)
    for expression in (*(rule["expr"] for rule in ALERTS), *_expressions(_board())):
        for name, labels in re.findall(r"\b(configbuild_\w+)(?:\{([^}]*)\})?", expression):
            family = re.sub(r"_(?:bucket|total|sum|count)$", "", name)
            assert family in known, name
            asked = set(re.findall(r"(\w+) *[=!]", labels))
            # These two come from Prometheus, which knows whom it scrapes.
            assert asked - {"namespace", "job"} <= known[family], name
    assert "configbuild_operator_info" in known


def test_board_has_a_place_for_each_panel_and_a_source_that_one_chooses() -> None:
    board = _board()
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def _board() -> dict[str, Any]:
    board: dict[str, Any] = json.loads(BOARD.read_text())
    return board


def _expressions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "expr")
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _expressions(part)


def _metrics(directory: Path) -> dict[str, set[str]]:
    """Every metric of the operator, with the labels that it has."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.describe(version="1", safe_mode=False, limits={"running": 1})
    load = Load(running=0, waiting=0, waiting_since=None)
    layout = Layout(venvs=directory, logs=directory, cache=directory, sources=directory)
    metrics.look_at(lambda: load, layout=layout, phases=list)
    Access(None, None, registry=registry)  # type: ignore[arg-type]
    named = {
        collector._name: set(collector._labelnames)
        for collector in registry._collector_to_names
        if isinstance(collector, MetricWrapperBase)
    }
    standing = {
        family.name: {label for sample in family.samples for label in sample.labels}
        for family in registry.collect()
        if family.name not in named
    }
    return {**standing, **named}
