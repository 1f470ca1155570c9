"""The dashboard explains each panel, and shows metrics that exist, of one release alone."""

import json
import re
import subprocess
from string import Template

import pytest
import yaml
from render import CHART, ROOT, program, render

BOARD = json.loads((CHART / "dashboards" / "streamflow.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {"namespace": "churn", "release": "streamflow"}
# Of MLflow's own exporter, of Python's client and of the kubelet.
FOREIGN = {
    "mlflow_http_request_total",
    "process_cpu_seconds_total",
    "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_capacity_bytes",
}
SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
# A suffix, because the name of a release may be the beginning of another's.
PODS = (
    r'pod=~"\$release-(predict|exporter|registrar|mlflow)-\.\*"|persistentvolumeclaim="\$release-postgresql"'
)


def metrics():
    """Series of the metrics in docs/reference/metrics.md, which a test keeps equal to the code."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE):
        yield from (
            [f"{name}_{part}" for part in ("bucket", "sum", "count")] if kind == "histogram" else [name]
        )


def test_every_panel_has_a_sentence_and_a_title_of_its_own():
    assert [p["title"] for p in PANELS if not re.fullmatch(r"[A-Z].{20,}\.", p.get("description", ""))] == []
    titles = [panel["title"] for panel in BOARD["panels"]]
    assert len(set(titles)) == len(titles)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(titles)


def test_the_rows_cover_the_platform():
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    own = ["Requests", "Model", "Quality", "Is it still right?", "Trials", "Data and jobs"]
    assert rows == [*own, "PostgreSQL", "MLflow"]


def test_no_panel_lies_on_another():
    taken = [
        (x, y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_every_expression_is_limited_to_the_chosen_release():
    names = {variable["name"] for variable in BOARD["templating"]["list"]}
    assert names == {"datasource", *VARIABLES}
    for expression in EXPRESSIONS:
        selectors = SELECTOR.findall(expression)
        assert selectors, expression
        for _, labels in selectors:
            assert labels.startswith('namespace="$namespace", '), expression
            assert re.search(PODS, labels), expression


@pytest.mark.parametrize(
    ("pod", "release"), [("streamflow-predict-6c5d-x2x", "streamflow"), ("a-exporter-1-b", None)]
)
def test_a_release_is_chosen_by_the_names_of_its_pods(pod, release):
    [variable] = [v for v in BOARD["templating"]["list"] if v["name"] == "release"]
    found = re.search(variable["regex"].strip("/"), pod)
    assert (found and found[1]) == release


def test_every_metric_exists():
    shown = {name for expression in EXPRESSIONS for name, _ in SELECTOR.findall(expression)}
    queries = {variable["query"] for variable in BOARD["templating"]["list"]}
    shown |= {name for query in queries for name in re.findall(r"streamflow_\w+", query)}
    assert shown - FOREIGN - set(metrics()) == set()
    assert shown >= FOREIGN


def test_prometheus_reads_every_expression(tmp_path):
    rules = []
    for number, expression in enumerate(EXPRESSIONS):
        filled = Template(expression).substitute(VARIABLES)
        rules.append({"record": f"panel:{number}", "expr": filled})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [program("promtool"), "check", "rules", "--lint=none", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(EXPRESSIONS)} rules found" in done.stdout


def exposition(section):
    """What a process exports of the metrics in a section of docs/reference/metrics.md, each with one sample."""
    lines = []
    for name, kind, meaning in re.findall(r"^\| `(\w+)` \| (\w+) \|[^|]*\| (.*) \|$", section, re.MULTILINE):
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        ends = ('_bucket{le="+Inf"}', "_sum", "_count") if kind == "histogram" else ("",)
        lines += [f"{name}{end} 1" for end in ends]
    return "\n".join([*lines, ""])


def test_prometheus_finds_nothing_wrong_with_the_names_of_the_metrics():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    exported = [exposition(section) for section in page.split("\n## ")[1:]]
    assert "streamflow_harm 1\n" in "".join(exported)
    for text in exported:
        done = subprocess.run(
            [program("promtool"), "check", "metrics"], input=text, text=True, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_dashboard_is_installed_for_grafanas_sidecar():
    config = next(
        o for o in render("metrics.dashboard.enabled=true") if o["metadata"]["name"] == "streamflow-dashboard"
    )
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["streamflow.json"]) == BOARD
