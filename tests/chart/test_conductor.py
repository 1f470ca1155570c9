"""Prefect conducts the month: its server, the conductor, and what keeps both from starting what they should not."""

import base64
import json

import pytest
from render import FACTS, JOBS, NAMESPACE, ROOT, configuration, pick, pod_specs, render, render_text

from streamflow.flows.order import of_a_month, of_folder

ON = "prefect.enabled=true"
ELSEWHERE = (ON, "prefect.apiUrl=https://prefect.example.com:4443/api")
MONTH = {job.name for job in of_a_month(of_folder(ROOT / "k8s-jobs"))}


def main(objects, name):
    return pod_specs(objects)[f"Deployment streamflow-{name}"]["spec"]["containers"][0]


def environment(container):
    return {item["name"]: item["value"] for item in container["env"]}


def suspended(*sets):
    return {
        o["metadata"]["labels"]["streamflow.io/job"]
        for o in render(*sets)
        if o["kind"] == "CronJob" and o["spec"]["suspend"]
    }


ON_DEMAND = {name for name, job in JOBS.items() if job.get("onDemand")}


@pytest.mark.parametrize(
    ("sets", "jobs", "schedule"),
    [
        ((ON,), MONTH, "0 1 * * *"),
        ((ON, "prefect.schedule=0 2 3 * *"), MONTH, "0 2 3 * *"),
        ((ON, "prefect.schedule="), MONTH, ""),
        # One value puts the CronJobs back to work while Prefect is down.
        ((ON, "prefect.cronJobs=scheduled"), set(), ""),
        ((ON, "jobDefaults.suspend=true"), set(JOBS), ""),
    ],
)
def test_either_the_flow_or_the_cron_jobs_have_the_schedule(sets, jobs, schedule):
    assert suspended(*sets) == jobs | ON_DEMAND
    assert environment(main(render(*sets), "conductor"))["STREAMFLOW_PREFECT__SCHEDULE"] == schedule


def test_the_month_is_that_of_the_flow():
    assert {"ingest", "materialize", "train", "score", "monitor"} == MONTH
    cron_jobs = {o["metadata"]["name"]: o for o in render(ON) if o["kind"] == "CronJob"}
    for name in MONTH:
        noted = cron_jobs[f"streamflow-{name}"]["metadata"]["annotations"].get("streamflow.io/after", "")
        assert noted == ",".join(JOBS[name].get("after", ()))


def test_without_prefect_nothing_of_it_is_there():
    text = render_text("database.existingSecret=p", "mlflow.auth.existingSecret=m", "erasure.existingSecret=e",
                       "registrar.signing.existingSecret=s")  # fmt: skip
    assert "prefect" not in text
    assert "ValidatingAdmissionPolicy" not in text
    assert suspended() == ON_DEMAND


def test_the_conductor_holds_no_password_but_that_of_prefect():
    pod = pod_specs(render(ON))["Deployment streamflow-conductor"]["spec"]
    assert [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v] == ["prefect-login"]
    assert [c["name"] for c in pod["containers"]] == ["conductor"]
    assert "initContainers" not in pod
    found = environment(main(render(ON, "settings.promotion.policy=manual"), "conductor"))
    assert found["STREAMFLOW_PREFECT__AUTH_FILE"] == "/run/secrets/prefect/auth-string"
    assert found["STREAMFLOW_PREFECT__API_URL"] == "http://streamflow-prefect:4200/api"
    assert (found["STREAMFLOW_PREFECT__JOBS_ON"], found["STREAMFLOW_PREFECT__RELEASE"]) == (
        "kubernetes",
        "streamflow",
    )


def test_the_conductor_knows_the_policy_of_promotions():
    objects = render(ON, "settings.promotion.policy=manual")
    assert main(objects, "conductor")["envFrom"][0]["configMapRef"]["name"] == "streamflow-settings"
    data = pick(objects, "ConfigMap", "streamflow-settings")["data"]
    assert data["STREAMFLOW_PROMOTION__POLICY"] == "manual"


def test_the_conductor_may_see_and_create_jobs_and_nothing_else():
    objects = render(ON, "registrar.signing.enabled=false")
    assert pick(objects, "Role")["rules"] == [
        {"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["get", "list"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    account = pod_specs(objects)["Deployment streamflow-conductor"]["spec"]["serviceAccountName"]
    assert [s["name"] for s in pick(objects, "RoleBinding")["subjects"]] == [account]
    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]


def test_the_policy_is_for_the_conductor_and_compares_with_the_cron_jobs_of_the_release():
    objects = render(ON, "prefect.conductor.serviceAccount.name=mine")
    policy = pick(objects, "ValidatingAdmissionPolicy")
    [condition] = policy["spec"]["matchConditions"]
    assert condition["expression"] == f"request.userInfo.username == 'system:serviceaccount:{NAMESPACE}:mine'"
    assert policy["spec"]["failurePolicy"] == "Fail"
    namespaces = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
    assert namespaces == {"kubernetes.io/metadata.name": NAMESPACE}
    binding = pick(objects, "ValidatingAdmissionPolicyBinding")["spec"]
    assert binding["policyName"] == policy["metadata"]["name"]
    assert binding["validationActions"] == ["Deny"]
    reference = binding["paramRef"]
    # With `Deny`, Kubernetes refuses every Job while the namespace has no CronJob, whoever creates it.
    assert (reference["namespace"], reference["parameterNotFoundAction"]) == (NAMESPACE, "Allow")
    selected = reference["selector"]["matchLabels"].items()
    assert all(selected <= o["metadata"]["labels"].items() for o in objects if o["kind"] == "CronJob")
    # It is an object of the cluster, so its name tells the installs of two namespaces apart.
    assert "namespace" not in policy["metadata"]
    assert policy["metadata"]["name"].endswith(f".{NAMESPACE}")


def test_the_policy_names_installed_jobs_alone():
    """A Job of a job without a CronJob would be compared with nothing."""
    [first, *others] = pick(render(ON), "ValidatingAdmissionPolicy")["spec"]["validations"]
    allowed = MONTH | ({"promote"} & set(JOBS))
    listed = first["expression"].rpartition(" in ")[2].replace("'", '"')
    assert json.loads(listed) == sorted(allowed)
    assert all(rule["expression"].startswith("variables.other ||") for rule in others)
    assert all(rule["message"] and rule["reason"] == "Forbidden" for rule in (first, *others))


def test_a_disabled_job_is_none_that_the_conductor_may_start():
    [first, *_] = pick(render(ON, "jobs.score.enabled=false"), "ValidatingAdmissionPolicy")["spec"][
        "validations"
    ]
    assert "'score'" not in first["expression"]
    assert "'train'" in first["expression"]


def test_the_policy_can_be_left_out_and_the_notes_say_what_that_means():
    from test_objects import notes

    kinds = {o["kind"] for o in render(ON, "prefect.admissionPolicy.enabled=false")}
    assert not {kind for kind in kinds if kind.startswith("ValidatingAdmission")}
    assert "prefect.admissionPolicy.enabled" in notes(ON, "prefect.admissionPolicy.enabled=false")
    assert "prefect.admissionPolicy.enabled" not in notes(ON)


def test_the_notes_say_how_to_open_prefect_and_log_in():
    from test_objects import notes

    text = notes(ON)
    assert "port-forward svc/streamflow-prefect 4200:4200" in text
    assert "get secret prefect-login" in text
    assert "Prefect asks nobody for a login" in notes(ON, "prefect.auth.enabled=false")
    assert "https://prefect.example.com:4443\n" in notes(*ELSEWHERE)
    assert "Prefect" not in notes()


def test_the_server_logs_in_as_its_role_to_its_database():
    found = environment(main(render(ON), "prefect"))
    assert found["STREAMFLOW_DATABASE__NAME"] == "prefect"
    assert found["STREAMFLOW_DATABASE__USER"] == "streamflow_prefect"
    [wait] = pod_specs(render(ON))["Deployment streamflow-prefect"]["spec"]["initContainers"]
    assert environment(wait)["STREAMFLOW_DATABASE__NAME"] == "prefect"
    assert wait["image"] == "streamflow/platform:0.1.0"


def test_flow_runs_and_events_are_kept_for_some_days():
    found = environment(main(render(ON, "prefect.keepDays=30"), "prefect"))
    assert found["STREAMFLOW_PREFECT__KEEP_DAYS"] == "30"


def test_pages_of_other_sites_may_not_call_the_server():
    def origins(*sets):
        return environment(main(render(ON, *sets), "prefect"))["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]

    assert origins() == "http://localhost:4200"
    assert origins("prefect.uiUrl=https://prefect.example.com") == "https://prefect.example.com"


def test_the_migration_job_makes_the_database_only_for_a_server_of_the_release():
    def wanted(*sets):
        job = pod_specs(render(*sets))["Job streamflow-migrate-1"]["spec"]
        return environment(job["initContainers"][0]).get("STREAMFLOW_DATABASE__PREFECT_NAME")

    assert wanted(ON, "database.prefectName=pre") == "pre"
    assert wanted() is None
    assert wanted(*ELSEWHERE) is None


def test_generated_secrets_have_a_login_and_a_password_of_the_database_only_with_a_server():
    def secrets(*sets):
        emptied = ("database.existingSecret=", "prefect.auth.existingSecret=", "secrets.generate=always")
        return {o["metadata"]["name"]: o["data"] for o in render(*emptied, *sets) if o["kind"] == "Secret"}

    found = secrets(ON)
    user, _, password = base64.b64decode(found["streamflow-prefect"]["auth-string"]).decode().partition(":")
    assert (user, len(password)) == ("streamflow", 32)
    assert "prefect-password" in found["streamflow-database"]
    for sets in ((), ELSEWHERE):
        assert "streamflow-prefect" not in secrets(*sets)
        assert "prefect-password" not in secrets(*sets)["streamflow-database"]
    assert "streamflow-prefect" not in secrets(ON, "prefect.auth.enabled=false")


def test_the_webhook_comes_from_its_secret_and_the_server_reaches_it():
    objects = render(ON, "prefect.webhook.existingSecret=hook", "prefect.webhook.overdueDays=40")
    found = environment(main(objects, "conductor"))
    assert found["STREAMFLOW_PREFECT__WEBHOOK_FILE"] == "/run/secrets/webhook/url"
    assert found["STREAMFLOW_PREFECT__OVERDUE_DAYS"] == "40"
    volumes = pod_specs(objects)["Deployment streamflow-conductor"]["spec"]["volumes"]
    [secret] = [v["secret"] for v in volumes if v["name"] == "webhook"]
    assert (secret["secretName"], secret["items"]) == ("hook", [{"key": "url", "path": "url"}])

    def reaches(given):
        return {"ports": [{"port": 443}]} in pick(given, "NetworkPolicy", "streamflow-prefect")["spec"][
            "egress"
        ]

    assert reaches(objects)
    assert not reaches(render(ON))
    assert "STREAMFLOW_PREFECT__WEBHOOK_FILE" not in environment(main(render(ON), "conductor"))


def test_without_a_login_neither_pod_has_one():
    objects = render(ON, "prefect.auth.enabled=false")
    for name in ("prefect", "conductor"):
        assert "STREAMFLOW_PREFECT__AUTH_FILE" not in environment(main(objects, name))


def test_a_prefect_elsewhere_takes_the_place_of_the_server():
    objects = render(*ELSEWHERE, "prefect.cidrs={10.30.0.0/16}")
    assert not [o for o in objects if o["metadata"]["name"] == "streamflow-prefect"]
    found = environment(main(objects, "conductor"))
    assert found["STREAMFLOW_PREFECT__API_URL"] == "https://prefect.example.com:4443/api"
    assert found["STREAMFLOW_PREFECT__UI_URL"] == "https://prefect.example.com:4443"
    egress = pick(objects, "NetworkPolicy", "streamflow-conductor")["spec"]["egress"]
    assert {"ports": [{"port": 4443}], "to": [{"ipBlock": {"cidr": "10.30.0.0/16"}}]} in egress


def test_the_conductor_reaches_the_api_of_kubernetes_and_has_a_port_for_metrics_and_probes():
    objects = render(ON, "networkPolicy.kubernetesPeers[0].ipBlock.cidr=10.0.0.1/32")
    egress = pick(objects, "NetworkPolicy", "streamflow-conductor")["spec"]["egress"]
    kubernetes = {"ports": [{"port": 443}, {"port": 6443}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    assert kubernetes in egress
    assert kubernetes not in pick(objects, "NetworkPolicy", "streamflow-prefect")["spec"]["egress"]
    container = main(objects, "conductor")
    assert environment(container)["STREAMFLOW_PREFECT__STATUS_PORT"] == str(FACTS["conductor"]["metricsPort"])
    assert container["ports"] == [{"name": "metrics", "containerPort": FACTS["conductor"]["metricsPort"]}]


def test_a_database_that_is_down_takes_the_server_out_of_service_and_does_not_restart_it():
    container = main(render(ON), "prefect")
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/api/health", "liveness": "/api/health", "readiness": "/api/ready"}


@pytest.mark.parametrize("name", ["prefect", "every-knob"])
def test_at_most_one_server_and_one_conductor_run(name):
    for item in configuration(name):
        if item["kind"] == "Deployment" and item["metadata"]["name"].endswith(("-prefect", "-conductor")):
            assert (item["spec"]["replicas"], item["spec"]["strategy"]) == (1, {"type": "Recreate"})
