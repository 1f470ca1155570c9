"""The registrar's key, the ConfigMap that it may change, and nothing else that it may do in the cluster."""

import base64
from datetime import UTC, datetime

import pytest
from render import RefusedError, pick, pod_specs, render

from streamflow.registry import heads

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "streamflow-registrar-head"


def test_a_generated_key_is_one_that_the_registrar_reads(tmp_path):
    secret = pick(
        render("secrets.generate=always", "registrar.signing.existingSecret="),
        "Secret",
        "streamflow-registrar",
    )
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    path = tmp_path / "key.pem"
    path.write_bytes(base64.b64decode(secret["data"]["signing-key"]))
    assert heads.is_valid(heads.sign(heads.read_private_key(path), 1, "0" * 64, NOW))


def test_the_registrar_may_read_and_change_one_config_map():
    objects = render()
    rules = [rule for item in objects if item["kind"] == "Role" for rule in item["rules"]]
    assert rules == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [HEAD], "verbs": ["get", "patch"]}
    ]
    binding = pick(objects, "RoleBinding", HEAD)
    registrar = pod_specs(objects)["Deployment streamflow-registrar"]["spec"]
    assert [subject["name"] for subject in binding["subjects"]] == [registrar["serviceAccountName"]]
    assert "data" not in pick(objects, "ConfigMap", HEAD)
    assert not [item for item in objects if item["kind"].startswith("ClusterRole")]


def test_without_signing_there_is_neither_key_nor_right():
    objects = render("registrar.signing.enabled=false")
    assert not [item for item in objects if item["kind"] in ("Role", "RoleBinding")]
    names = {item["metadata"]["name"] for item in objects if item["kind"] in ("Secret", "ConfigMap")}
    assert not names & {HEAD, "streamflow-registrar"}
    ports = [p["port"] for rule in egress(objects) for p in rule["ports"]]
    assert not {443, 6443} & set(ports)


def test_only_the_registrar_reaches_the_api_of_kubernetes():
    assert [p["port"] for p in egress(render())[-1]["ports"]] == [443, 6443]
    peers = render("networkPolicy.kubernetesPeers[0].ipBlock.cidr=10.0.0.1/32")
    assert egress(peers)[-1]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]


def egress(objects):
    return pick(objects, "NetworkPolicy", "streamflow-registrar")["spec"]["egress"]


@pytest.mark.parametrize("generate", ["auto", "never"])
def test_a_key_that_would_change_with_each_render_is_refused(generate):
    given = (f"secrets.generate={generate}", "database.existingSecret=d", "mlflow.auth.existingSecret=m")
    with pytest.raises(
        RefusedError, match=r"new key of the audit trail|registrar\.signing\.existingSecret is empty"
    ):
        render(*given, "registrar.signing.existingSecret=")
    render(*given, "registrar.signing.existingSecret=s")
