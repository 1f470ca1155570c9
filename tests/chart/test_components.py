"""components.yaml is the only place that states facts about components."""

import inspect
import re

import pytest
import yaml
from render import CHART, FACTS, JOBS, ROOT, RefusedError, containers, pod_specs, render

from streamflow.cli import serve
from streamflow.schema import prefect_database
from streamflow.schema.roles import LOGINS
from streamflow.settings import Settings

TEMPLATES = {
    str(path.relative_to(CHART)): path.read_text(encoding="utf-8")
    for path in sorted((CHART / "templates").rglob("*"))
    if path.is_file()
}
PORTS = {own[key] for own in FACTS.values() for key in ("port", "metricsPort") if key in own}


def test_no_template_repeats_a_port():
    number = re.compile(rf"(?<![\d.])({'|'.join(map(str, sorted(PORTS)))})(?![\d.])")
    assert {name: number.findall(text) for name, text in TEMPLATES.items() if number.search(text)} == {}


def test_no_template_repeats_the_role_that_a_component_logs_in_as():
    roles = {own["databaseRole"] for own in FACTS.values() if "databaseRole" in own}
    literal = re.compile(rf'"role" "({"|".join(sorted(roles))})"')
    assert [name for name, text in TEMPLATES.items() if literal.search(text)] == []


def test_no_test_repeats_a_port():
    entry = re.compile(rf'"({"|".join(FACTS)})": \(?[0-9]{{4}}')
    files = [path for folder in ("chart", "cluster") for path in (ROOT / "tests" / folder).rglob("*.py")]
    assert [path.name for path in files if entry.search(path.read_text(encoding="utf-8"))] == []


def test_processes_listen_on_the_same_ports_without_the_chart():
    """Defaults of the command line and the settings, which a laptop uses, equal the chart's ports."""
    defaults = {
        name: inspect.signature(getattr(serve, name)).parameters["port"].default
        for name in ("mlflow", "feast", "exporter")
    }
    assert defaults == {
        "mlflow": FACTS["mlflow"]["port"],
        "feast": FACTS["feast"]["port"],
        "exporter": FACTS["exporter"]["metricsPort"],
    }
    assert Settings().predict.port == FACTS["predict"]["port"]
    assert Settings().promotion.registrar_port == FACTS["registrar"]["metricsPort"]
    assert Settings().promotion.api_port == FACTS["registrar"]["apiPort"]
    assert Settings().prefect.server_port == FACTS["prefect"]["port"]
    assert f":{FACTS['prefect']['port']}/" in Settings().prefect.api_url
    assert Settings().prefect.status_port == FACTS["conductor"]["metricsPort"]


def test_every_component_and_job_logs_in_as_a_role_that_the_database_has():
    """Conversely, every role is used: migrations log in as the owner."""
    used = {own["databaseRole"] for own in (*FACTS.values(), *JOBS.values()) if "databaseRole" in own}
    assert used | {"owner"} == {*LOGINS, "admin", prefect_database.ROLE}


@pytest.mark.parametrize("name", [name for name, own in FACTS.items() if "databaseRole" in own])
def test_a_pod_gets_the_password_of_its_role(name):
    objects = render("demo.enabled=true", "prefect.enabled=true", "database.rolePrefix=x_")
    [template] = [
        template
        for template in pod_specs(objects).values()
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == name
    ]
    keys = {
        item["key"]
        for volume in template["spec"]["volumes"]
        if volume["name"] == "database"
        for item in volume["secret"]["items"]
    }
    assert keys == {f"{FACTS[name]['databaseRole']}-password"}


@pytest.mark.parametrize("name", [name for name, own in FACTS.items() if "port" in own])
def test_a_server_opens_its_ports_and_annotates_its_metrics_port(name):
    objects = render("prefect.enabled=true")
    [template] = [
        template
        for template in pod_specs(objects).values()
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == name
    ]
    ports = {port["containerPort"] for item in containers(template) for port in item.get("ports", [])}
    assert ports == {FACTS[name][key] for key in ("port", "metricsPort") if key in FACTS[name]}
    metrics = template["metadata"].get("annotations", {}).get("prometheus.io/port")
    assert metrics == (str(FACTS[name]["metricsPort"]) if "metricsPort" in FACTS[name] else None)


def test_the_budget_of_connections_counts_every_pool():
    """By hand: predict (4 + 1) x 5, MLflow 1 x 2 x 2 x 3, Feast (2 + 1) x 4 x 12, exporter 2, registrar 10, jobs 21."""
    sets = (
        "predict.autoscaling.maxReplicas=4",
        "settings.predict.poolSize=5",
        "mlflow.workers=2",
        "mlflow.poolSize=3",
        "feast.replicaCount=2",
        "feast.workers=4",
    )
    assert 25 + 12 + 144 + 2 + 10 + 21 == 214
    assert render(*sets, "postgresql.maxConnections=268")
    with pytest.raises(RefusedError, match=r"214 connections"):
        render(*sets, "postgresql.maxConnections=267")
    with pytest.raises(RefusedError, match=r"223 connections .*prefect 9"):
        render(*sets, "prefect.enabled=true", "prefect.server.poolSize=7", "postgresql.maxConnections=267")


@pytest.mark.fault("F8")
def test_the_pools_of_the_default_values_take_at_most_80_percent(verdict):
    """With as many pods of predict as autoscaling may start."""
    limit = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["postgresql"][
        "maxConnections"
    ]
    with pytest.raises(RefusedError, match=r"The pools can use (\d+) connections") as refused:
        render("predict.autoscaling.enabled=true", "postgresql.maxConnections=20")
    pools = int(re.search(r"can use (\d+) connections", str(refused.value)).group(1))
    verdict(connections_of_pools=pools, max_connections=limit)
    assert pools > 50
    assert pools * 100 <= limit * 80


def test_the_documented_roles_are_those_of_the_database():
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    described = re.search(r"The roles: ([\w,#\s]+?)\.", text).group(1)
    assert set(re.findall(r"\w+", described)) == set(LOGINS)
    example = (CHART / "examples" / "cloudnative-pg.yaml").read_text(encoding="utf-8")
    listed = re.search(r"for role in ([\w#\\\s]+?);", example).group(1)
    assert set(re.findall(r"\w+", listed)) == set(LOGINS)


def test_components_yaml_describes_every_fact():
    text = (CHART / "components.yaml").read_text(encoding="utf-8")
    described = set(re.findall(r"^#   (\w+) ", text, re.MULTILINE))
    assert {key for own in FACTS.values() for key in own} == described
    assert set(yaml.safe_load(text)) == {"components", "jobs"}
