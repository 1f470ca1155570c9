"""MLflow asks for logins, each pod has the account that its work needs, and another MLflow can take its place."""

import base64

import pytest
from render import EXISTING, FACTS, JOBS, RefusedError, pick, pod_specs, render, render_text

from streamflow.mlflow_server import accounts

EXTERNAL = ("mlflow.external.url=https://mlflow.example.com:8443/",)


def environment(container):
    return {item["name"]: item.get("value") for item in container.get("env", [])}


def logins(objects):
    """Account and key of its password of each pod that logs in to MLflow."""
    found = {}
    for name, template in pod_specs(objects).items():
        for container in template["spec"]["containers"]:
            variables = environment(container)
            if "STREAMFLOW_MLFLOW__USERNAME" in variables:
                volume = next(v["secret"] for v in template["spec"]["volumes"] if v["name"] == "mlflow")
                assert variables["STREAMFLOW_MLFLOW__PASSWORD_FILE"] == "/run/secrets/mlflow/password"
                assert {"name": "mlflow", "mountPath": "/run/secrets/mlflow", "readOnly": True} in container[
                    "volumeMounts"
                ]
                found[name.split("streamflow-")[-1].split("-")[0]] = (
                    variables["STREAMFLOW_MLFLOW__USERNAME"],
                    volume["items"][0]["key"],
                )
    return found


def test_every_pod_that_talks_to_mlflow_logs_in_with_the_role_that_it_needs():
    wanted = {name: job.get("mlflowAccount") for name, job in JOBS.items()}
    wanted |= {name: facts.get("mlflowAccount") for name, facts in FACTS.items()}
    wanted["demo"] = wanted["train"]
    talking = {name for name, facts in (FACTS | JOBS).items() if "mlflow" in facts["talksTo"]}
    assert {name for name, role in wanted.items() if role} == talking
    assert logins(render("demo.enabled=true", "upgrade.hook.enabled=true")) == {
        name: (accounts.account_of(role), f"{role}-password") for name, role in wanted.items() if role
    }


def test_the_roles_are_those_of_the_accounts():
    assert FACTS["mlflow"]["accounts"] == list(accounts.ROLES)


def test_mlflow_and_a_restore_have_all_passwords():
    for name, template in pod_specs(render()).items():
        whole = [
            v for v in template["spec"]["volumes"] if "accounts" in v.get("secret", {}).get("secretName", "")
        ]
        assert [v["name"] for v in whole if "items" not in v["secret"]] == (
            ["accounts"] if "mlflow" in name or "restore" in name else []
        )


def test_without_logins_nothing_of_them_is_there():
    text = render_text(*sets_of("mlflow.auth.enabled=false", "demo.enabled=true"))
    assert "run/secrets/mlflow" not in text and "--accounts" not in text
    assert 'STREAMFLOW_MLFLOW__NAMES_MOVES: "false"' in text
    assert 'STREAMFLOW_MLFLOW__NAMES_MOVES: "true"' in render_text(*sets_of())


def sets_of(*more):
    return (*EXISTING, *more)


def test_another_mlflow_takes_the_place_of_the_charts():
    objects = render(*EXTERNAL, "mlflow.external.cidrs={10.0.0.0/8}", "demo.enabled=true")
    assert not [o for o in objects if o["metadata"]["name"].endswith("-mlflow")]
    settings = pick(objects, "ConfigMap", "streamflow-settings")["data"]
    assert settings["STREAMFLOW_MLFLOW__TRACKING_URI"] == "https://mlflow.example.com:8443"
    assert settings["STREAMFLOW_MLFLOW__NAMES_MOVES"] == "false"
    assert logins(objects) == {}
    policy = pick(objects, "NetworkPolicy", "streamflow-train")
    assert {"ports": [{"port": 8443}], "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]} in policy["spec"][
        "egress"
    ]


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://mlflow.example.com", 443), ("http://mlflow", 80), ("http://mlflow.team:5000", 5000)],
)
def test_the_network_policies_open_the_port_of_another_mlflow(url, port):
    policy = pick(render(f"mlflow.external.url={url}"), "NetworkPolicy", "streamflow-registrar")
    assert {"ports": [{"port": port}]} in policy["spec"]["egress"]


def test_another_mlflow_has_one_account_and_may_name_who_moves():
    objects = render(
        *EXTERNAL,
        "mlflow.external.existingSecret=login",
        "mlflow.external.username=streamflow",
        "mlflow.external.namesMoves=true",
    )
    found = logins(objects)
    assert set(found) == {"registrar", "train", "audit", "monitor", "backup", "restore", "erase", "retention"}
    assert set(found.values()) == {("streamflow", "password")}
    settings = pick(objects, "ConfigMap", "streamflow-settings")["data"]
    assert settings["STREAMFLOW_MLFLOW__NAMES_MOVES"] == "true"


def test_generated_passwords_are_long_enough_for_mlflow():
    objects = render("mlflow.auth.existingSecret=", "secrets.generate=always")
    for value in pick(objects, "Secret", "streamflow-mlflow")["data"].values():
        assert len(base64.b64decode(value)) >= accounts.SHORTEST


def test_a_url_without_a_scheme_is_refused():
    with pytest.raises(RefusedError, match=r"external.url"):
        render_text(*sets_of("mlflow.external.url=mlflow.example.com"))
