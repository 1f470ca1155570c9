"""Properties of the rendered chart on which an installation depends."""

import base64
import csv
import json
import re
from statistics import median
from xml.etree import ElementTree

import pytest
import yaml
from render import (
    CHART,
    CONFIGURATIONS,
    EXISTING,
    FACTS,
    ROOT,
    RefusedError,
    configuration,
    containers,
    pick,
    pod_specs,
    render,
    render_text,
)


def predict(objects):
    return pick(objects, "Deployment", "streamflow-predict")["spec"]


def test_two_renders_are_equal_with_an_existing_secret():
    assert render_text.__wrapped__(*EXISTING) == render_text(*EXISTING)


def test_replicas_are_never_rendered_under_an_autoscaler():
    assert "replicas" not in predict(render())
    assert predict(render("predict.autoscaling.enabled=false"))["replicas"] == 2


def test_replicas_are_left_to_an_autoscaler_that_the_chart_does_not_install():
    none = ("predict.autoscaling.enabled=false", "predict.replicaCount=null")
    objects = render(*none, "predict.pdb.minAvailable=1", "predict.pdb.maxUnavailable=null")
    assert "replicas" not in predict(objects)
    assert not [o for o in objects if o["kind"] == "HorizontalPodAutoscaler"]
    # It may start as many pods as the chart's own.
    with pytest.raises(RefusedError, match="80 %"):
        render(*none, "predict.autoscaling.maxReplicas=60")
    with pytest.raises(RefusedError, match=r"predict\.pdb\.minAvailable=2 of 2 pods"):
        render(*none, "predict.pdb.minAvailable=2", "predict.pdb.maxUnavailable=null")


def test_a_rollout_stops_no_pod_before_its_replacement_is_ready():
    spec = predict(render())
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    container = spec["template"]["spec"]["containers"][0]
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


def test_liveness_checks_the_process_and_readiness_checks_for_a_model():
    container = predict(render())["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_liveness_of_feasts_server_checks_the_process_and_readiness_reads_the_store():
    container = pod_specs(render())["Deployment streamflow-feast"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/docs", "port": "http"}
        assert "exec" not in container[probe]
    assert container["readinessProbe"]["exec"]["command"][2:] == [
        "/app/probe_feast.py",
        "churn_v1",
        "user_id",
    ]
    assert "httpGet" not in container["readinessProbe"]


def test_probe_timings_can_be_set():
    container = predict(render("predict.probes.readiness.periodSeconds=9"))["template"]["spec"]["containers"][
        0
    ]
    assert container["readinessProbe"]["periodSeconds"] == 9


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_environment_variable_is_set_twice(name):
    for where, template in pod_specs(configuration(name)).items():
        for container in containers(template):
            names = [variable["name"] for variable in container.get("env", [])]
            assert sorted(names) == sorted(set(names)), where


def test_a_setting_becomes_an_environment_variable_and_restarts_the_pods():
    before, after = render(), render("settings.predict.poolSize=7", "settings.predict.maxQueue=1000000")
    data = pick(after, "ConfigMap", "streamflow-settings")["data"]
    assert data["STREAMFLOW_PREDICT__POOL_SIZE"] == "7"
    assert data["STREAMFLOW_PREDICT__MAX_QUEUE"] == "1000000"

    def stamp(objects):
        return predict(objects)["template"]["metadata"]["annotations"]["checksum/settings"]

    assert stamp(before) != stamp(after)


def test_the_code_accepts_the_rendered_settings(monkeypatch, tmp_path):
    from streamflow import settings

    data = pick(render(), "ConfigMap", "streamflow-settings")["data"]
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(home=tmp_path)
    assert loaded.training.estimators == ("random_forest", "logistic_regression", "gradient_boosting")
    assert loaded.database.host == "streamflow-postgresql"
    # A variable that no setting matches would be silently ignored.
    sections = {name.removeprefix("STREAMFLOW_").split("__")[0].lower() for name in data}
    assert sections <= set(type(loaded).model_fields)


def test_a_component_overrides_the_defaults_of_all_pods():
    objects = render(
        "pods.nodeSelector.disk=ssd",
        "predict.nodeSelector.disk=nvme",
        "predict.securityContext.readOnlyRootFilesystem=false",
        "exporter.tmpSize=8Mi",
    )
    pods = pod_specs(objects)
    assert pods["Deployment streamflow-predict"]["spec"]["nodeSelector"] == {"disk": "nvme"}
    assert pods["Deployment streamflow-mlflow"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    container = pods["Deployment streamflow-predict"]["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "8Mi"}} in pods["Deployment streamflow-exporter"][
        "spec"
    ]["volumes"]


# Every key of `pods` in values.yaml, with a recognizable value and the place where it must be rendered.
POD_KEYS = {
    "podLabels": {"tier": "x"},
    "podAnnotations": {"note": "x"},
    "podSecurityContext": {"supplementalGroups": [7]},
    "securityContext": {"runAsUser": 7},
    "nodeSelector": {"disk": "x"},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 7, "topologyKey": "x", "whenUnsatisfiable": "ScheduleAnyway"}],
    "priorityClassName": "x",
    "resources": {"limits": {"memory": "7Gi"}},
    "extraEnv": [{"name": "X", "value": "x"}],
    "extraEnvFrom": [{"secretRef": {"name": "x"}}],
    "extraVolumes": [{"name": "x", "emptyDir": {"sizeLimit": "7Mi"}}],
    "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}],
    "initContainers": [{"name": "x-first", "image": "x:1"}],
    "extraContainers": [{"name": "x-beside", "image": "x:1"}],
    "tmpSize": "7Mi",
    "serviceAccount": {"automount": True},
    "networkPolicy": {"extraEgress": [{"ports": [{"port": 7}]}]},
}
PODS = {
    "postgresql": "StatefulSet", "mlflow": "Deployment", "feast": "Deployment", "predict": "Deployment",
    "registrar": "Deployment", "exporter": "Deployment", "migrate": "Job", "demo": "Job", "test": "Pod", "upgrade": "Job",
    "prefect": "Deployment", "conductor": "Deployment", "train": "CronJob",
}  # fmt: skip


@pytest.mark.parametrize("component", PODS)
def test_every_key_of_pods_has_an_effect_on_every_component(component):
    values = POD_KEYS
    knob = FACTS[component].get("values", component) if component in FACTS else f"jobs.{component}"
    for key in reversed(knob.split(".")):
        values = {key: values}
    installed = ("demo.enabled=true", "prefect.enabled=true", "upgrade.hook.enabled=true")
    objects = render(*installed, given=json.dumps(values))
    ours = {"app.kubernetes.io/component": component}.items()
    [item] = [o for o in objects if o["kind"] == PODS[component] and ours <= o["metadata"]["labels"].items()]
    [template] = pod_specs([item]).values()
    policy = next(
        o for o in objects if o["kind"] == "NetworkPolicy" and ours <= o["metadata"]["labels"].items()
    )
    meta, spec = template["metadata"], template["spec"]
    main = next(c for c in spec["containers"] if c["name"] != "x-beside")
    found = {
        "podLabels": {"tier": meta["labels"].get("tier")},
        "podAnnotations": {"note": meta.get("annotations", {}).get("note")},
        "podSecurityContext": {"supplementalGroups": spec["securityContext"].get("supplementalGroups")},
        "securityContext": {"runAsUser": main["securityContext"].get("runAsUser")},
        "resources": {"limits": {"memory": main["resources"]["limits"]["memory"]}},
        "extraEnv": [item for item in main["env"] if item["name"] == "X"],
        "extraEnvFrom": [item for item in main["envFrom"] if "secretRef" in item],
        "extraVolumes": [item for item in spec["volumes"] if item["name"] == "x"],
        "extraVolumeMounts": [item for item in main["volumeMounts"] if item["name"] == "x"],
        "initContainers": spec.get("initContainers", [])[:1],
        "extraContainers": spec["containers"][1:],
        "tmpSize": next(item["emptyDir"]["sizeLimit"] for item in spec["volumes"] if item["name"] == "tmp"),
        "serviceAccount": {"automount": spec["automountServiceAccountToken"]},
        "networkPolicy": {"extraEgress": policy["spec"]["egress"][-1:]},
    }
    for key in set(POD_KEYS) - set(found):
        found[key] = spec.get(key)
    assert found == POD_KEYS
    document = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(document["pods"]) == set(POD_KEYS)


def test_a_database_proxy_starts_before_the_containers_that_use_the_database():
    """A native sidecar is an init container; containers after it start once it is up."""
    proxy = {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}
    values = {"pods": {"initContainers": [proxy]}}
    for where, template in pod_specs(render("demo.enabled=true", given=json.dumps(values))).items():
        assert [c["name"] for c in containers(template)].index("proxy") == 0, where


def test_a_pod_label_overrides_a_common_label_without_duplicating_it():
    labels = [
        "commonLabels.tier=all",
        "predict.podLabels.tier=own",
        "commonLabels.app\\.kubernetes\\.io/part-of=us",
    ]
    text = render_text(*EXISTING, *labels, "commonLabels.app\\.kubernetes\\.io/component=mine")
    deployment = text[text.index("kind: Deployment\nmetadata:\n  name: streamflow-predict") :]
    deployment = deployment[: deployment.index("\n---")]
    assert deployment.count(" tier: all") == 1
    assert deployment.count(" tier: own") == 1
    assert deployment.count("part-of: us") == deployment.count("part-of:") == 2
    # Labels that selectors use cannot be overridden.
    assert "component: mine" not in text


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        (["a.example.com"], [("a.example.com", "/", "Prefix")]),
        ([{"host": "a.example.com"}], [("a.example.com", "/", "Prefix")]),
        (
            [
                {
                    "host": "a.example.com",
                    "paths": [{"path": "/predict", "pathType": "Exact"}, {"path": "/v2"}],
                }
            ],
            [("a.example.com", "/predict", "Exact"), ("a.example.com", "/v2", "Prefix")],
        ),
    ],
)
def test_an_ingress_accepts_host_names_and_hosts_with_paths(hosts, expected):
    values = {"predict": {"ingress": {"enabled": True, "hosts": hosts}}}
    rules = pick(render(given=json.dumps(values)), "Ingress")["spec"]["rules"]
    paths = [
        (rule["host"], path["path"], path["pathType"]) for rule in rules for path in rule["http"]["paths"]
    ]
    assert paths == expected


@pytest.mark.parametrize("secrets", [["login"], [{"name": "login"}]])
def test_pull_secrets_may_be_names_or_maps(secrets):
    objects = render(given=json.dumps({"global": {"imagePullSecrets": secrets}}))
    for where, template in pod_specs(objects).items():
        assert template["spec"]["imagePullSecrets"] == [{"name": "login"}], where


def test_the_user_in_the_docs_exists_in_the_demo(tmp_path):
    from streamflow import settings
    from streamflow.local.simulate import Simulation, simulate

    pages = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/kubernetes.md")]
    asked = set(re.findall(r"\b\d{4}-[A-Z]{5}\b", "".join(pages)))
    assert asked
    commands = set()
    for objects in (configuration("small"), render("demo.enabled=true")):
        [job] = [t for w, t in pod_specs(objects).items() if w.startswith("Job streamflow-demo")]
        [step] = [c for c in job["spec"]["initContainers"] if c["name"] == "simulate"]
        commands.add(tuple(step["command"][3:]))
    for number, command in enumerate(commands):
        numbers = {k.removeprefix("--"): int(v) for k, v in zip(command[::2], command[1::2], strict=True)}
        drops = simulate(
            settings.load(home=tmp_path).feast.repo, tmp_path / str(number), Simulation(**numbers)
        )
        with (drops[-1].folder / "users.csv").open(encoding="utf-8", newline="") as file:
            users = {row["user_id"] for row in csv.DictReader(file)}
        assert asked <= users, command


def test_the_upgrade_in_the_docs_keeps_the_new_knobs_of_a_new_chart():
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    upgrades = re.findall(r"^helm .*upgrade.*$", page, re.MULTILINE)
    assert upgrades
    assert all("--reset-then-reuse-values" in line for line in upgrades)


def test_postgresql_parameters_are_rendered_as_written():
    parameters = {"log_line_prefix": '%m: [%p] "q" ', "work_mem": 1000000, "jit": False, "seq_page_cost": 1.5}
    objects = render(given=json.dumps({"postgresql": {"parameters": parameters}}))
    args = pick(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert 'log_line_prefix=%m: [%p] "q" ' in args
    assert {"work_mem=1000000", "jit=false", "seq_page_cost=1.5", "shared_buffers=128MB"} <= set(args)


def test_no_log_of_the_server_quotes_rows():
    wanted = {
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
    }
    args = pick(render(), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {f"{name}={value}" for name, value in wanted.items()} <= set(args)


def test_predict_can_be_recreated_instead_of_rolled():
    assert predict(render("predict.strategy.type=Recreate"))["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("component", ["predict", "mlflow", "feast"])
def test_a_service_can_be_labelled_and_exposed_to_address_ranges(component):
    service = f"{component}.service"
    objects = render(
        f"{service}.type=LoadBalancer",
        f"{service}.nodePort=30123",
        f"{service}.loadBalancerSourceRanges[0]=10.0.0.0/8",
        f"{service}.labels.tier=edge",
    )
    made = pick(objects, "Service", f"streamflow-{component}")
    assert made["metadata"]["labels"]["tier"] == "edge"
    assert "tier" not in made["spec"]["selector"]
    assert made["spec"]["ports"][0]["nodePort"] == 30123
    assert made["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]


def test_every_server_keeps_the_configured_number_of_revisions():
    servers = [o for o in render("revisionHistoryLimit=2") if o["kind"] in ("Deployment", "StatefulSet")]
    assert {o["spec"]["revisionHistoryLimit"] for o in servers} == {2}


def test_the_charts_description_lists_the_images_that_it_installs():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    listed = {item["image"] for item in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
    assert listed == images(configuration("prefect"))


def test_the_charts_description_has_an_icon_maintainers_and_changes():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    kind, _, data = chart["icon"].partition(";base64,")
    assert kind == "data:image/svg+xml"
    assert ElementTree.fromstring(base64.b64decode(data)).tag == "{http://www.w3.org/2000/svg}svg"
    assert all(item["name"] for item in chart["maintainers"])
    changes = yaml.safe_load(chart["annotations"]["artifacthub.io/changes"])
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert {item["kind"] for item in changes} <= kinds
    assert [item for item in changes if not item["description"].endswith(".")] == []


def images(objects):
    return {c["image"] for template in pod_specs(objects).values() for c in containers(template)}


def test_the_projects_images_come_from_the_configured_registry_and_postgresqls_from_its_own():
    digest = "sha256:" + "a" * 64
    sets = ("prefect.enabled=true", "global.imageRegistry=r.example.com", f"images.platform.digest={digest}")
    ours = {
        "r.example.com/streamflow/predict:0.1.0",
        f"r.example.com/streamflow/platform@{digest}",
        "r.example.com/streamflow/prefect:0.1.0",
    }
    assert images(render(*sets)) == ours | {"postgres:17"}
    mirrored = render(*sets, "images.postgresql.registry=mirror.example.com")
    assert images(mirrored) == ours | {"mirror.example.com/postgres:17"}


def test_the_migration_job_has_another_name_in_each_revision():
    assert pick(render(), "Job", "streamflow-migrate-1")
    job = pick(render(), "Job")["spec"]["template"]["spec"]
    assert [c["name"] for c in job["initContainers"]] == ["prepare", "apply"]
    assert [c["name"] for c in job["containers"]] == ["finish"]


def test_only_apply_may_write_the_feast_registry():
    users = {
        (where, container["name"])
        for where, template in pod_specs(configuration("small")).items()
        for container in containers(template)
        for variable in container.get("env", [])
        if variable["name"] == "STREAMFLOW_DATABASE__USER" and variable["value"].endswith("feast_apply")
    }
    assert users == {("Job streamflow-migrate-1", "apply")}


def test_every_template_is_short_and_of_one_kind():
    texts = {
        path.relative_to(CHART / "templates").as_posix(): path.read_text(encoding="utf-8")
        for path in (CHART / "templates").rglob("*")
        if path.suffix in (".yaml", ".tpl")
    }
    lengths = {name: len(text.splitlines()) for name, text in texts.items()}
    assert median(length for name, length in lengths.items() if name.endswith(".yaml")) <= 40
    assert {name for name, length in lengths.items() if length > 150} == set()
    kinds = {name: set(re.findall(r"^kind: (\w+)", text, re.MULTILINE)) for name, text in texts.items()}
    assert {name for name, found in kinds.items() if len(found) > 1} == set()


def test_requests_of_a_small_install_fit_two_cores():
    def milli(text):
        return float(text[:-1]) if text.endswith("m") else float(text) * 1000

    def mebi(text):
        return float(text[:-2]) * (1024 if text.endswith("Gi") else 1)

    servers = {
        w: t
        for w, t in pod_specs(configuration("small")).items()
        if w.startswith(("Deployment", "StatefulSet"))
    }
    requests = [t["spec"]["containers"][0]["resources"]["requests"] for t in servers.values()]
    assert sum(milli(item["cpu"]) for item in requests) <= 500
    assert sum(mebi(item["memory"]) for item in requests) <= 1650


@pytest.mark.parametrize(
    ("where", "file", "variable"),
    [
        ("Deployment streamflow-predict", "keys", "STREAMFLOW_PREDICT__API_KEYS_FILE"),
        ("CronJob streamflow-parity", "client", "STREAMFLOW_PARITY__API_KEY_FILE"),
        ("Pod streamflow-test-predict-answers", "client", "STREAMFLOW_PARITY__API_KEY_FILE"),
    ],
)
def test_predict_reads_api_keys_and_the_releases_own_clients_send_one(where, file, variable):
    reads_api_keys(render("predict.apiKeys.existingSecret=keys"), where, file, variable)


API = ("registrar.api.enabled=true", "registrar.api.apiKeys.existingSecret=keys")


def test_the_registrar_takes_requests_with_api_keys_at_a_port_of_its_service():
    objects = render(*API)
    where, variable = "Deployment streamflow-registrar", "STREAMFLOW_PROMOTION__API_KEYS_FILE"
    reads_api_keys(objects, where, "keys", variable)
    [container] = pod_specs(objects)[where]["spec"]["containers"]
    assert {"name": "STREAMFLOW_PROMOTION__API_PORT", "value": "9102"} in container["env"]
    assert {"name": "api", "containerPort": 9102} in container["ports"]
    [service] = [
        item
        for item in objects
        if item["kind"] == "Service" and item["metadata"]["name"] == "streamflow-registrar"
    ]
    assert [(port["name"], port["targetPort"]) for port in service["spec"]["ports"]] == [
        ("metrics", "metrics"),
        ("api", "api"),
    ]


def test_without_its_api_the_registrar_has_neither_keys_nor_a_port_for_it():
    """Its process listens nevertheless, and lets nobody ask."""
    objects = render("registrar.api.apiKeys.existingSecret=keys")
    template = pod_specs(objects)["Deployment streamflow-registrar"]
    [container] = template["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ["metrics"]
    assert "api-keys" not in {volume["name"] for volume in template["spec"]["volumes"]}


def reads_api_keys(objects, where, file, variable):
    template = pod_specs(objects)[where]
    volume = next(item for item in template["spec"]["volumes"] if item["name"] == "api-keys")
    assert (volume["secret"]["secretName"], volume["secret"]["items"]) == (
        "keys",
        [{"key": file, "path": file}],
    )
    [container] = template["spec"]["containers"]
    assert {"name": variable, "value": f"/run/secrets/api-keys/{file}"} in container["env"]
    mount = next(item for item in container["volumeMounts"] if item["name"] == "api-keys")
    assert mount == {"name": "api-keys", "mountPath": "/run/secrets/api-keys", "readOnly": True}
