"""Network policies allow exactly the connections in a table that is independent of components.yaml."""

import re

import pytest
import yaml
from render import CONFIGURATIONS, FACTS, JOBS, NAMESPACE, RELEASE, ROOT, configuration, render

PORTS = {name: own.get("port", own.get("metricsPort")) for name, own in FACTS.items()}
PORTS = {name: port for name, port in PORTS.items() if port}
COMPONENTS = (*FACTS, *JOBS)
# Repeated here on purpose, to catch a connection that is added to components.yaml or k8s-jobs/ by mistake.
MAY_CONNECT = {
    "postgresql": set(),
    "mlflow": {"postgresql"},
    "feast": {"postgresql"},
    "predict": {"postgresql"},
    "registrar": {"postgresql", "mlflow"},
    "prefect": {"postgresql"},
    "conductor": {"prefect"},
    "exporter": {"postgresql"},
    "migrate": {"postgresql"},
    "upgrade": {"postgresql", "mlflow", "predict"},
    "test": {"postgresql", "predict"},
    "demo": {"postgresql", "mlflow"},
    "ingest": {"postgresql"},
    "materialize": {"postgresql"},
    "monitor": {"mlflow", "postgresql"},
    "train": {"postgresql", "mlflow"},
    "score": {"postgresql"},
    "audit": {"postgresql", "mlflow"},
    "backup": {"postgresql", "mlflow"},
    "restore": {"postgresql", "mlflow"},
    "erase": {"postgresql", "mlflow"},
    "retention": {"postgresql", "mlflow"},
    "parity": {"postgresql", "predict"},
    "promote": {"postgresql"},
}


def labels(component):
    return {
        "app.kubernetes.io/name": "streamflow",
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": component,
    }


def selects(selector, held):
    matched = selector.get("matchLabels", {}).items() <= held.items()
    return matched and all(held.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def allows(rules, key, peer, namespace, port):
    """Whether one of the rules allows a peer with these labels in a namespace to use a port."""
    for rule in rules:
        peers = rule.get(key)
        ports = rule.get("ports")
        if ports is not None and port not in [p["port"] for p in ports]:
            continue
        if peers is None:
            return True
        for item in peers:
            if "ipBlock" in item:
                continue
            spaces = item.get("namespaceSelector")
            inside = (
                namespace == NAMESPACE
                if spaces is None
                else selects(spaces, {"kubernetes.io/metadata.name": namespace})
            )
            if inside and selects(item.get("podSelector", {}), peer):
                return True
    return False


def open_between(policies, source, target, port, namespace=NAMESPACE):
    """Whether a pod of `source` can connect to `target`: its egress and the target's ingress must agree."""
    sender, receiver = labels(source) if namespace == NAMESPACE else {"app": source}, labels(target)
    out = [p for p in policies if namespace == NAMESPACE and selects(p["podSelector"], sender)]
    into = [p for p in policies if selects(p["podSelector"], receiver)]
    may_send = not out or any(allows(p.get("egress", []), "to", receiver, NAMESPACE, port) for p in out)
    return may_send and any(allows(p.get("ingress", []), "from", sender, namespace, port) for p in into)


def policies(objects):
    return [o["spec"] for o in objects if o["kind"] == "NetworkPolicy"]


def test_the_policies_allow_exactly_the_intended_connections():
    found = policies(render("upgrade.hook.enabled=true", **CONFIGURATIONS["prefect"]))
    allowed = {
        source: {
            target
            for target, port in PORTS.items()
            if source != target and open_between(found, source, target, port)
        }
        for source in COMPONENTS
    }
    # predict accepts any peer by default, but the egress rules of the other components still apply.
    assert allowed == MAY_CONNECT


def test_every_pod_is_under_the_default_deny():
    deny = [
        p
        for p in policies(configuration("default"))
        if "ingress" not in p and "egress" not in p and len(p["podSelector"]["matchLabels"]) == 2
    ]
    assert len(deny) == 1
    assert deny[0]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://otel.tracing:4318/v1/traces", 4318), ("https://otel.example.com/v1/traces", 443), ("", None)],
)
def test_only_predict_reaches_the_collector_of_traces_if_there_is_one(endpoint, port):
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tracing"}}}
    name = "networkPolicy.collectorPeers[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=tracing"
    objects = render(f"settings.tracing.endpoint={endpoint}", name)
    found = {
        item["podSelector"]["matchLabels"].get("app.kubernetes.io/component"): rule["ports"]
        for item in policies(objects)
        for rule in item.get("egress", [])
        if peer in rule.get("to", [])
    }
    assert found == ({"predict": [{"port": port}]} if port else {})


@pytest.mark.parametrize(
    ("target", "reachable"),
    [
        *[("predict", True), ("mlflow", False), ("postgresql", False), ("feast", False), ("exporter", False)],
        ("prefect", False),
    ],
)
def test_other_pods_reach_only_predict(target, reachable):
    found = policies(configuration("prefect"))
    assert open_between(found, "stranger", target, PORTS[target], namespace="elsewhere") is reachable


@pytest.mark.parametrize(
    ("target", "port"), [(name, own["metricsPort"]) for name, own in FACTS.items() if "metricsPort" in own]
)
def test_prometheus_in_its_namespace_scrapes_everything(target, port):
    found = policies(configuration("prefect"))
    assert open_between(found, "prometheus", target, port, namespace="monitoring")


def test_only_prometheus_is_admitted_as_the_docs_say():
    """MLflow serves metrics on its API's port, which other pods in Prometheus' namespace must not reach."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    [block] = [b for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "monitoringPeers" in b]
    policy = policy_of(render(given=block), "mlflow")
    prometheus = {"app.kubernetes.io/name": "prometheus"}
    assert allows(policy["ingress"], "from", prometheus, "monitoring", PORTS["mlflow"])
    assert not allows(policy["ingress"], "from", {"app": "grafana"}, "monitoring", PORTS["mlflow"])


def test_predict_can_be_closed_to_all_but_listed_peers():
    found = policies(configuration("production"))
    assert not open_between(found, "stranger", "predict", PORTS["predict"], namespace="elsewhere")
    assert open_between(found, "controller", "predict", PORTS["predict"], namespace="ingress-nginx")
    assert open_between(found, "test", "predict", PORTS["predict"])


def test_an_external_database_is_reached_only_at_its_address():
    rules = [
        rule
        for policy in policies(configuration("external-postgres"))
        for rule in policy.get("egress", [])
        if rule["ports"] == [{"port": 5432}]
    ]
    assert rules
    assert all(rule["to"] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}] for rule in rules)


def policy_of(objects, component):
    found = [p for p in policies(objects) if p["podSelector"]["matchLabels"] == labels(component)]
    assert len(found) == 1
    return found[0]


API = ("registrar.api.enabled=true", "registrar.api.apiKeys.existingSecret=keys")
OPENED = "registrar.networkPolicy.allowExternal=true"
MESH = "registrar.networkPolicy.extraIngress[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=mesh"


@pytest.mark.parametrize(
    ("sets", "reachable"),
    [
        ((), set()),
        (API, set()),
        ((OPENED,), set()),
        ((*API, OPENED), {"elsewhere", "mesh"}),
        ((*API, MESH), {"mesh"}),
    ],
)
def test_requests_for_promotions_are_let_in_as_the_knobs_say_and_no_others(sets, reachable):
    found = policies(render(*sets))
    port = FACTS["registrar"]["apiPort"]
    assert reachable == {
        space
        for space in ("elsewhere", "mesh")
        if open_between(found, "ci", "registrar", port, namespace=space)
    }
    assert not open_between(found, "predict", "registrar", port)


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_accepts_extra_ingress_and_egress_rules(component):
    block = FACTS[component].get("values", component) if component in FACTS else f"jobs.{component}"
    knob = f"{block}.networkPolicy"
    objects = render(
        "demo.enabled=true",
        "prefect.enabled=true",
        "upgrade.hook.enabled=true",
        "predict.networkPolicy.allowExternal=false",
        f"{knob}.extraEgress[0].ports[0].port=9000",
        f"{knob}.extraIngress[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=mesh",
    )
    policy = policy_of(objects, component)
    assert {"ports": [{"port": 9000}]} in policy["egress"]
    assert allows(policy["ingress"], "from", {}, "mesh", PORTS.get(component, 15090))
    others = [policy_of(objects, name) for name in COMPONENTS if name != component]
    assert not [p for p in others if "9000" in str(p) or "mesh" in str(p)]


def test_the_ingest_job_reaches_an_object_store_on_another_port_as_the_docs_say():
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    [block] = [part for part in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "drops:" in part]
    values = yaml.safe_load(block)
    policy = policy_of(render(values=("ci/existing-secrets.yaml",), given=block), "ingest")
    for rule in values["jobs"]["ingest"]["networkPolicy"]["extraEgress"]:
        assert rule in policy["egress"]
    assert {"ports": [{"port": 443}]} in policy["egress"]


def test_only_the_jobs_of_backups_reach_the_object_store_of_backups():
    objects = render("backups.url=s3://bucket/backups")
    reaching = {
        name
        for name in ("backup", "restore", "ingest", "train")
        if {"ports": [{"port": 443}]} in policy_of(objects, name)["egress"]
    }
    assert reaching == {"backup", "restore"}


def test_extra_rules_can_be_set_once_for_all_pods_or_all_jobs():
    objects = render(
        "pods.networkPolicy.extraEgress[0].ports[0].port=4317",
        "jobDefaults.networkPolicy.extraEgress[0].ports[0].port=9000",
    )
    assert {"ports": [{"port": 9000}]} in policy_of(objects, "train")["egress"]
    assert {"ports": [{"port": 4317}]} in policy_of(objects, "predict")["egress"]
    assert policy_of(objects, "predict")["ingress"][0] == {"ports": [{"port": PORTS["predict"]}]}


def test_network_policies_can_be_disabled():
    assert policies(render("networkPolicy.enabled=false")) == []
