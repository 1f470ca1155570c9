"""The Job that runs before an upgrade, if it is asked for: what it runs, with which rights, and from what."""

import pytest
from render import containers, pick, pod_specs, render

ENABLED = "upgrade.hook.enabled=true"
HOOK = {
    "helm.sh/hook": "pre-upgrade",
    "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
}


def hooks(objects):
    """The objects of the hook with their weights, by kind and name."""
    return {
        f"{item['kind']} {item['metadata']['name']}": int(annotations["helm.sh/hook-weight"])
        for item in objects
        if HOOK.items() <= (annotations := item["metadata"].get("annotations", {})).items()
    }


def test_without_the_knob_there_is_no_hook():
    assert hooks(render()) == {}
    assert not [item for item in render() if "upgrade" in item["metadata"]["name"]]


def test_helm_creates_all_that_the_job_needs_before_it_and_deletes_it_afterwards():
    objects = render(ENABLED)
    found = hooks(objects)
    job = found.pop("Job streamflow-upgrade")
    assert found.keys() == {
        "ServiceAccount streamflow-upgrade",
        "ConfigMap streamflow-upgrade-settings",
        "NetworkPolicy streamflow-upgrade",
        "NetworkPolicy streamflow-upgrade-targets",
    }
    assert {weight < job for weight in found.values()} == {True}
    # Nothing of the release changes but who may connect to the servers.
    before = {(item["kind"], item["metadata"]["name"]): item for item in render()}
    changed = {
        key
        for item in objects
        if (key := (item["kind"], item["metadata"]["name"])) in before and before[key] != item
    }
    assert changed == {
        ("NetworkPolicy", f"streamflow-{name}") for name in ("postgresql", "mlflow", "predict")
    } - {("NetworkPolicy", "streamflow-predict")}


def test_the_job_runs_the_command_once_with_the_settings_of_the_new_version():
    objects = render(ENABLED, "settings.predict.maxQueue=5")
    job = pick(objects, "Job", "streamflow-upgrade")["spec"]
    assert job["backoffLimit"] == 0
    [container] = containers(job["template"])
    # MLflow's Deployment, whose former pod ends first, migrates MLflow's own database.
    assert container["command"] == [
        "streamflow",
        "upgrade",
        "--leave-mlflow",
        "--passwords=/run/secrets/roles",
    ]
    assert container["envFrom"] == [{"configMapRef": {"name": "streamflow-upgrade-settings"}}]
    settings = pick(objects, "ConfigMap", "streamflow-upgrade-settings")["data"]
    assert settings == pick(objects, "ConfigMap", "streamflow-settings")["data"]
    mlflow = pick(objects, "Deployment", "streamflow-mlflow")["spec"]
    assert mlflow["strategy"] == {"type": "Recreate"}
    assert mlflow["template"]["spec"]["initContainers"][-1]["command"] == [
        "streamflow",
        "db",
        "upgrade-mlflow",
    ]


def test_it_has_no_right_in_kubernetes_and_the_logins_that_it_needs():
    objects = render(ENABLED)
    template = pod_specs(objects)["Job streamflow-upgrade"]
    assert template["spec"]["serviceAccountName"] == "streamflow-upgrade"
    assert template["spec"]["automountServiceAccountToken"] is False
    bound = [
        subject["name"] for item in objects if item["kind"] == "RoleBinding" for subject in item["subjects"]
    ]
    assert "streamflow-upgrade" not in bound
    [container] = containers(template)
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["STREAMFLOW_DATABASE__USER"] == "postgres"
    assert environment["STREAMFLOW_MLFLOW__USERNAME"] == "streamflow-viewer"
    mounts = {item["mountPath"]: item.get("readOnly", False) for item in container["volumeMounts"]}
    assert {path for path, read_only in mounts.items() if not read_only} == {"/tmp", "/backups"}


def test_it_is_under_restricted_pod_security():
    spec = pod_specs(render(ENABLED))["Job streamflow-upgrade"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize(
    ("sets", "variable", "value"),
    [
        (
            ["predict.apiKeys.existingSecret=keys"],
            "STREAMFLOW_PARITY__API_KEY_FILE",
            "/run/secrets/api-keys/client",
        ),
        (["prefect.enabled=true"], "STREAMFLOW_DATABASE__PREFECT_NAME", "prefect"),
    ],
)
def test_it_gets_what_other_knobs_ask_for(sets, variable, value):
    [container] = containers(pod_specs(render(ENABLED, *sets))["Job streamflow-upgrade"])
    assert {"name": variable, "value": value} in container["env"]


def test_the_administrator_of_an_external_server_is_read_from_a_file():
    sets = (
        *("postgresql.enabled=false", "externalDatabase.host=db", "externalDatabase.existingSecret=admin"),
        "externalDatabase.maxConnections=200",
    )
    [container] = containers(pod_specs(render(ENABLED, *sets))["Job streamflow-upgrade"])
    assert container["command"][-1] == "--admin-user-file=/run/secrets/admin/user"
    assert "STREAMFLOW_DATABASE__USER" not in {item["name"] for item in container["env"]}


def test_an_account_that_others_use_too_stays_of_the_release():
    objects = render(ENABLED, "pods.serviceAccount.name=shared")
    assert "annotations" not in pick(objects, "ServiceAccount", "shared")["metadata"]
