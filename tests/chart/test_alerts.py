"""Every alert has one file, one runbook, and test cases in which it fires and does not fire."""

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


# These alerts fire because a series is absent, so series of another release or namespace do not matter.
OF_ABSENCE = {"ExporterDown", "PredictUnreachable", "RegistrarStalled"}


def rendered(*sets, given=""):
    wanted = ("metrics.prometheusRule.enabled=true", "prefect.enabled=true", *sets)
    rules = [o for o in render(*wanted, given=given) if o["kind"] == "PrometheusRule"]
    return rules[0]["spec"]["groups"]


def promtool(*arguments):
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_named_by_its_file_and_has_a_runbook(name):
    alert = ALERTS[name]
    assert alert["alert"] == name
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert {"summary", "description"} <= set(alert["annotations"])
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_every_runbook_has_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(ALERTS)


def test_every_alert_is_rendered_with_the_address_of_its_runbook():
    rules = {rule["alert"]: rule for rule in rendered()[0]["rules"]}
    assert set(rules) == set(ALERTS)
    for name, rule in rules.items():
        assert rule["annotations"]["runbook_url"].endswith(f"/{name}.md")
        assert rule["annotations"]["summary"] == ALERTS[name]["annotations"]["summary"]


def test_every_rendered_alert_is_limited_to_its_namespace_and_release():
    """Without a selector for namespace and release, another installation's pods would trigger the alert."""
    for rule in rendered()[0]["rules"]:
        selectors = re.findall(r"\b(?:streamflow|http|kubelet)_\w+|\bup\b", rule["expr"])
        scoped = re.findall(
            r"(?:\b(?:streamflow|http|kubelet)_\w+|\bup)\{namespace=\"churn\", "
            r"(?:pod=~\"streamflow-(?:predict|exporter|registrar|conductor)-\.\*\"|persistentvolumeclaim=~\"[a-z|-]+\")",
            rule["expr"],
        )
        assert len(selectors) == len(scoped) > 0, rule["alert"]


def test_alerts_watch_the_volumes_that_the_pods_use():
    def claims(*sets):
        [rule] = [r for r in rendered(*sets)[0]["rules"] if r["alert"] == "VolumeFilling"]
        [names] = set(re.findall(r"persistentvolumeclaim=~\"([^\"]*)\"", rule["expr"]))
        return set(names.split("|"))

    own = {f"streamflow-{name}" for name in ("backups", "drops", "mlflow", "postgresql")}
    assert claims() == own
    assert claims("mlflow.artifactsUrl=s3://b/m", "drops.persistence.existingClaim=in.box") == (
        own - {"streamflow-mlflow", "streamflow-drops"} | {"in[.]box"}
    )


def test_the_limit_of_the_auc_is_a_value_with_the_default_of_the_file():
    def limits(rules):
        return {rule["alert"]: re.findall(r"[<>] (0\.\d+)$", rule["expr"], re.MULTILINE) for rule in rules}

    files = limits(ALERTS.values())
    assert limits(rendered()[0]["rules"]) == files
    other = rendered(given="metrics: {prometheusRule: {minimumAuc: 0.75}}")[0]["rules"]
    assert limits(other) == files | {"QualityBelow": ["0.75", "0.75"]}


def test_user_rules_are_added_to_the_alerts():
    rules = rendered(
        "metrics.prometheusRule.rules[0].record=a:b",
        "metrics.prometheusRule.rules[0].expr=sum(c)",
    )[0]["rules"]
    assert {"record": "a:b", "expr": "sum(c)"} in rules


def test_without_the_exporter_no_alert_uses_its_metrics():
    names = {rule["alert"] for rule in rendered("exporter.enabled=false")[0]["rules"]}
    assert names == {name for name, alert in ALERTS.items() if "-exporter-" not in alert["expr"]}
    assert "ExporterDown" not in names


def test_without_prefect_no_alert_is_about_the_conductor():
    names = {rule["alert"] for rule in rendered("prefect.enabled=false")[0]["rules"]}
    assert names == set(ALERTS) - {"ConductorStalled"}


def test_the_exporter_gets_the_schedules_of_scheduled_jobs():
    sets = ("jobs.score.enabled=false", "jobs.train.suspend=true", "jobs.ingest.schedule=0 5 * * mon")
    assert exporters_schedules(*sets) == {
        "audit": "30 * * * *",
        "backup": "0 0 * * *",
        "ingest": "0 5 * * mon",
        "materialize": "30 1 * * *",
        "monitor": "50 * * * *",
        "parity": "45 * * * *",
        "retention": "30 4 2 * *",
    }


def exporters_schedules(*sets):
    deployment = next(
        o
        for o in render(*sets)
        if o["metadata"]["name"] == "streamflow-exporter" and o["kind"] == "Deployment"
    )
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    option, schedules = container["args"]
    assert option == "--schedules"
    return json.loads(schedules)


def test_jobs_that_prefect_starts_are_missed_like_those_with_schedules():
    """So JobNotRun fires for a conductor that conducts nothing."""
    conducted = {"ingest", "materialize", "train", "score", "monitor"}
    usual = exporters_schedules()
    on = ("prefect.enabled=true", "prefect.schedule=0 1 * * 1-5")
    assert exporters_schedules(*on) == usual | dict.fromkeys(conducted, "0 1 * * 1-5")
    assert {*exporters_schedules("prefect.enabled=true", "prefect.schedule=")} == {*usual} - conducted
    assert exporters_schedules("prefect.enabled=true", "prefect.cronJobs=scheduled") == usual


def test_prometheus_accepts_every_rule(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rendered()}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def asked(name, item, labels, renamed=("", "")):
    """A promtool test: input series, and labels of the alert that must fire, or None if it must not."""
    series = [{**entry, "series": entry["series"].replace(*renamed)} for entry in item["input_series"]]
    expected = [] if labels is None else [{"exp_labels": labels}]
    return {
        "interval": item["interval"],
        "input_series": series,
        "alert_rule_test": [{"eval_time": item["eval_time"], "alertname": name, "exp_alerts": expected}],
    }


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_only_when_it_should(name, tmp_path):
    case = yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))
    rule = next(rule for rule in rendered()[0]["rules"] if rule["alert"] == name)
    rules = tmp_path / "rules.yaml"
    # Annotations contain measured values; only whether the alert fires and its labels are tested.
    bare = {key: value for key, value in rule.items() if key != "annotations"}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "streamflow", "rules": [bare]}]}))
    tests = [asked(name, item, None) for item in case["quiet"]]
    tests += [asked(name, item, item["labels"]) for item in case["firing"]]
    if name not in OF_ABSENCE:
        # Series of another namespace, or of another release in this namespace, must not trigger it.
        for own, others in (('"churn"', '"elsewhere"'), ('"streamflow-', '"other-')):
            tests += [asked(name, item, None, (own, others)) for item in case["firing"]]
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rules)], "evaluation_interval": case["quiet"][0]["interval"], "tests": tests}
        )
    )
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
