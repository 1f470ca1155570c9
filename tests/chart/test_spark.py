"""With `engine: spark`, three jobs are drivers that may start executors, and nothing else of the chart changes."""

import json

import pytest
import yaml
from render import JOBS, RELEASE, configuration, pick, pod_specs, render, render_text
from test_network import COMPONENTS, PORTS, labels, open_between, policies

DRIVERS = {"materialize", "score", "train"}
NAME = "streamflow-executor"
RPC, BLOCKS = 7078, 7079
YAML = """
engine: spark
lake: {existingClaim: lake}
settings: {spark: {master: "k8s://https://kubernetes.default.svc"}}
"""


def job(objects, name):
    return pod_specs(objects)[f"CronJob streamflow-{name}"]


def environment(template):
    return {item["name"]: item for item in template["spec"]["containers"][0]["env"]}


def executor(objects):
    return yaml.safe_load(pick(objects, "ConfigMap", NAME)["data"]["executor.yaml"])


def test_without_the_engine_nothing_of_spark_is_there():
    text = render_text("database.existingSecret=p", "mlflow.auth.existingSecret=m", "erasure.existingSecret=e",
                       "registrar.signing.existingSecret=s")  # fmt: skip
    lines = [line for line in text.splitlines() if not line.startswith("  STREAMFLOW_SPARK__")]
    assert "spark" not in "\n".join(lines).lower()
    assert "executor" not in text
    assert "lake" not in text


def test_the_image_of_spark_runs_in_drivers_alone():
    objects = configuration("spark")
    images = {name: job(objects, name)["spec"]["containers"][0]["image"] for name in JOBS}
    assert {name for name, image in images.items() if "spark" in image} == DRIVERS
    for name in JOBS.keys() - DRIVERS:
        assert not any(key.startswith("STREAMFLOW_SPARK") for key in environment(job(objects, name)))


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_a_driver_makes_executors_from_the_template_that_it_mounts(name):
    objects = configuration("spark")
    template = job(objects, name)
    found = environment(template)
    assert found["SPARK_LOCAL_HOSTNAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    conf = json.loads(found["STREAMFLOW_SPARK__CONF"]["value"])
    folder, _, file = conf["spark.kubernetes.executor.podTemplateFile"].rpartition("/")
    [mount] = [m for m in template["spec"]["containers"][0]["volumeMounts"] if m["mountPath"] == folder]
    [volume] = [v for v in template["spec"]["volumes"] if v["name"] == mount["name"]]
    assert volume["configMap"]["name"] == NAME
    assert file in pick(objects, "ConfigMap", NAME)["data"]
    assert conf["spark.kubernetes.executor.podTemplateContainerName"] == "executor"
    assert (conf["spark.driver.port"], conf["spark.blockManager.port"]) == (str(RPC), str(BLOCKS))
    # Executors connect to the address that the driver binds to.
    assert conf["spark.driver.bindAddress"] == conf["spark.driver.host"] == "${env:SPARK_LOCAL_HOSTNAME}"
    assert conf["spark.kubernetes.container.image"] == template["spec"]["containers"][0]["image"]


def test_a_property_of_the_chart_cannot_be_replaced_and_another_one_is_passed_on():
    given = YAML + "spark: {conf: {spark.driver.port: '1', spark.task.maxFailures: '9'}}"
    conf = json.loads(environment(job(render(given=given), "score"))["STREAMFLOW_SPARK__CONF"]["value"])
    assert (conf["spark.driver.port"], conf["spark.task.maxFailures"]) == (str(RPC), "9")


@pytest.mark.parametrize("secret", ["", "lake-login"])
def test_executors_meet_the_restricted_standard_and_hold_no_password_and_no_token(secret):
    pod = executor(render(f"lake.existingSecret={secret}", given=YAML))
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["serviceAccountName"] not in ("default", "")
    context = pod["spec"]["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["spec"]["containers"]
    own = container["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert {next(k for k in v if k != "name") for v in pod["spec"]["volumes"]} <= {
        "emptyDir",
        "persistentVolumeClaim",
    }
    assert not any(item["name"].startswith("STREAMFLOW_DATABASE") for item in container.get("env", ()))
    [lake] = [mount for mount in container["volumeMounts"] if mount["name"] == "lake"]
    assert lake["readOnly"] is True
    secrets = [
        source["secretRef"]["name"] for source in container.get("envFrom", ()) if "secretRef" in source
    ]
    assert secrets == [secret] * bool(secret)


def test_only_drivers_may_start_pods_and_nothing_else():
    objects = configuration("spark")
    role = pick(objects, "Role", NAME)
    assert role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["pods"],
            "verbs": ["create", "get", "list", "watch", "delete", "deletecollection"],
        }
    ]
    binding = pick(objects, "RoleBinding", NAME)
    assert {subject["name"] for subject in binding["subjects"]} == {f"{RELEASE}-{name}" for name in DRIVERS}
    assert executor(objects)["spec"]["serviceAccountName"] not in {s["name"] for s in binding["subjects"]}


def test_drivers_and_executors_reach_each_other_and_executors_nothing_else():
    objects = configuration("spark")
    assert labels("executor").items() <= executor(objects)["metadata"]["labels"].items()
    found = policies(objects)
    for name in DRIVERS:
        assert open_between(found, name, "executor", BLOCKS)
        assert open_between(found, "executor", name, RPC)
        assert open_between(found, "executor", name, BLOCKS)
    assert open_between(found, "executor", "executor", BLOCKS)
    assert not [name for name, port in PORTS.items() if open_between(found, "executor", name, port)]
    others = set(COMPONENTS) - DRIVERS
    assert not [name for name in others if open_between(found, name, "executor", BLOCKS)]
    assert not [name for name in others if open_between(found, "executor", name, RPC)]
    assert not [name for name in COMPONENTS for target in DRIVERS if open_between(found, name, target, RPC)]


@pytest.mark.parametrize(("url", "port"), [("", None), ("s3://rows/lake", 443)])
def test_executors_reach_an_object_store_only_if_the_lake_is_there(url, port):
    rules = [
        rule
        for policy in policies(
            render(f"lake.url={url}", f"lake.existingClaim={'' if url else 'lake'}", given=YAML)
        )
        if policy["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component") == "executor"
        for rule in policy["egress"]
        if "to" not in rule
    ]
    assert [p["port"] for rule in rules for p in rule["ports"]] == ([53, 53, port] if port else [])


def test_drivers_reach_the_api_of_kubernetes():
    for policy in policies(configuration("spark")):
        component = policy["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component")
        if component in DRIVERS:
            assert {"ports": [{"port": 443}, {"port": 6443}]} in policy["egress"]


def test_a_job_may_use_spark_in_its_own_pod_and_starts_nothing():
    objects = render("engine=spark", "lake.existingClaim=lake")
    assert not [o for o in objects if "executor" in o["metadata"]["name"]]
    for name in DRIVERS:
        template = job(objects, name)
        assert "/spark:" in template["spec"]["containers"][0]["image"]
        assert not any("projected" in volume for volume in template["spec"]["volumes"])
        assert environment(template)["STREAMFLOW_SPARK__CONF"]["value"] == "{}"


def test_every_pod_knows_the_engine_and_the_lake():
    data = pick(configuration("spark"), "ConfigMap", "streamflow-settings")["data"]
    assert (data["STREAMFLOW_ENGINE"], data["STREAMFLOW_LAKE__URL"]) == ("spark", "/lake")
