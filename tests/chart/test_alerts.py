"""Every alert: one file, one runbook, and a case in which it fires and one in which it keeps quiet."""

import json
import re
import subprocess

import pytest
import yaml
from render import CHART, ROOT, program, render

ALERTS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((CHART / "alerts").glob("*.yaml"))
}
CASES = ROOT / "tests" / "chart" / "alerts"
RUNBOOKS = ROOT / "docs" / "runbooks"


def rendered():
    rule = next(o for o in render("metrics.prometheusRule.enabled=true") if o["kind"] == "PrometheusRule")
    return rule["spec"]["groups"]


def promtool(*arguments):
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_named_by_its_file_and_has_a_runbook(name):
    alert = ALERTS[name]
    assert alert["alert"] == name
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert {"summary", "description"} <= set(alert["annotations"])
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_there_is_no_runbook_without_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)


def test_every_alert_is_rendered_with_the_address_of_its_runbook():
    rules = {rule["alert"]: rule for rule in rendered()[0]["rules"]}
    assert set(rules) == set(ALERTS)
    for name, rule in rules.items():
        assert rule["annotations"]["runbook_url"].endswith(f"/{name}.md")
        assert rule["expr"] == ALERTS[name]["expr"]


def test_prometheus_takes_every_rule(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rendered()}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_when_it_should_and_keeps_quiet_when_not(name, tmp_path):
    case = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))
    alert = ALERTS[name]
    rules = tmp_path / "rules.yaml"
    # The text of annotations holds measured values; what matters here is whether it fires, and for whom.
    bare = {key: value for key, value in alert.items() if key != "annotations"}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "streamflow", "rules": [bare]}]}))
    tests = []
    for kind in ("quiet", "firing"):
        for item in case[kind]:
            expected = [{"exp_labels": item["labels"]}] if kind == "firing" else []
            tests.append(
                {
                    "interval": item["interval"],
                    "input_series": item["input_series"],
                    "alert_rule_test": [
                        {"eval_time": item["eval_time"], "alertname": name, "exp_alerts": expected}
                    ],
                }
            )
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rules)], "evaluation_interval": case["quiet"][0]["interval"], "tests": tests}
        )
    )
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_json_and_asks_for_the_metrics_of_the_alerts_and_more():
    board = json.loads((CHART / "dashboards" / "streamflow.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
    config = next(
        o for o in render("metrics.dashboard.enabled=true") if o["metadata"]["name"] == "streamflow-dashboard"
    )
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["streamflow.json"]) == board
