"""Every pod meets and exceeds the restricted Pod Security Standard; environments contain no secrets."""

import re

import pytest
from render import CONFIGURATIONS, configuration, containers, pod_specs, render

VOLUMES = {"emptyDir", "secret", "configMap", "persistentVolumeClaim", "projected"}


def pods(name):
    return pod_specs(configuration(name)).items()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_pod_is_restricted(name):
    for where, template in pods(name):
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, where
        assert pod["seccompProfile"]["type"] == "RuntimeDefault", where
        assert pod["runAsUser"] == (999 if "postgresql" in where else 10001), where
        assert {next(k for k in v if k != "name") for v in template["spec"]["volumes"]} <= VOLUMES, where
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert key not in template["spec"]
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, (where, container["name"])
            assert context["capabilities"] == {"drop": ["ALL"]}, (where, container["name"])
            assert context["readOnlyRootFilesystem"] is True, (where, container["name"])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_pod_has_a_token_or_the_default_account(name):
    for where, template in pods(name):
        assert template["spec"]["automountServiceAccountToken"] is False, where
        assert template["spec"]["serviceAccountName"] != "default", where
        assert template["spec"]["enableServiceLinks"] is False, where


def projects_a_token(volume):
    return any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ()))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_only_the_registrar_the_conductor_and_drivers_of_spark_mount_a_token(name):
    given = {
        where.rpartition("-")[2]
        for where, template in pods(name)
        if any(map(projects_a_token, template["spec"]["volumes"]))
    }
    conducted = {"conductor"} if name in ("prefect", "prefect-elsewhere", "every-knob") else set()
    drivers = {"materialize", "score", "train"} if name in ("spark", "every-knob") else set()
    assert given == {"registrar"} | conducted | drivers


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name != "every-knob"])
def test_every_container_has_requests_and_limits(name):
    for where, template in pods(name):
        for container in containers(template):
            resources = container["resources"]
            assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"]), where
            assert {"memory", "ephemeral-storage"} <= set(resources["limits"]), where


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_server_has_the_three_probes(name):
    for where, template in pods(name):
        if where.startswith(("Deployment", "StatefulSet")):
            container = template["spec"]["containers"][0]
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), where


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_empty_dir_has_a_size(name):
    for where, template in pods(name):
        for volume in template["spec"]["volumes"]:
            assert volume.get("emptyDir", {"sizeLimit": 1}).get("sizeLimit"), (where, volume["name"])


def mebi(text):
    units = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024, "Ti": 1024**2, "G": 1e9 / 2**20, "": 1 / 2**20}
    number, unit = re.fullmatch(r"([0-9.]+)(\w*)", str(text)).groups()
    return float(number) * units[unit]


@pytest.mark.parametrize(
    "sets",
    [
        [],
        ["demo.enabled=true"],
        [f"{name}.persistence.enabled=false" for name in ("postgresql", "mlflow", "drops", "backups")],
        [
            *(f"{name}.persistence.enabled=false" for name in ("postgresql", "mlflow", "drops", "backups")),
            *(
                "postgresql.persistence.size=1.5Ti",
                "mlflow.persistence.size=20G",
                "drops.persistence.size=10Ki",
            ),
        ],
    ],
)
def test_no_pod_is_evicted_for_filling_its_own_volumes(sets):
    """The kubelet counts emptyDirs against the limits of all containers, or of the largest init container."""
    for where, template in pod_specs(render(*sets)).items():

        def limits(key, spec=template["spec"]):
            return [mebi(c["resources"]["limits"]["ephemeral-storage"]) for c in spec.get(key, [])]

        sizes = [mebi(v["emptyDir"]["sizeLimit"]) for v in template["spec"]["volumes"] if "emptyDir" in v]
        allowed = max(sum(limits("containers")), max(limits("initContainers"), default=0))
        assert sum(sizes) <= allowed, where


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_secret_is_in_an_environment_variable_or_a_config_map(name):
    suspicious = re.compile(r"PASSWORD|SECRET|TOKEN|KEY(?!_)", re.IGNORECASE)
    for item in configuration(name):
        if item["kind"] == "ConfigMap":
            assert not [
                key for key in item.get("data", {}) if suspicious.search(key) and not key.endswith("JOIN_KEY")
            ]
    for where, template in pods(name):
        for container in containers(template):
            for variable in container.get("env", []):
                secret = suspicious.search(variable["name"]) and not variable["name"].endswith("_FILE")
                assert not secret or variable["value"] in ("",), (where, variable["name"])
                assert "secretKeyRef" not in str(variable), (where, variable["name"])


@pytest.mark.parametrize("name", ["default", "external-postgres", "prefect"])
def test_each_component_gets_only_the_password_of_its_role(name):
    for where, template in pods(name):
        if "conductor" in where or "demo" in where:
            continue
        authority = [{"key": "ca.crt", "path": "ca.crt"}]
        mounted = [v["secret"] for v in template["spec"]["volumes"] if "secret" in v]
        secrets = [
            secret
            for secret in mounted
            if secret.get("items") != authority
            and not re.search("accounts|erasure|signing|login", secret["secretName"])
        ]
        # These two log in as the administrator.
        if "migrate" in where or "restore" in where:
            continue
        assert len(secrets) == 1, where
        assert len(secrets[0]["items"]) == 1, where
        role = secrets[0]["items"][0]["key"].removesuffix("-password")
        users = {
            variable["value"]
            for container in containers(template)
            for variable in container.get("env", [])
            if variable["name"] == "STREAMFLOW_DATABASE__USER"
        }
        assert users == ({f"streamflow_{role}"} if "postgresql" not in where else set()), where


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_image_has_a_fixed_tag_or_digest(name):
    for where, template in pods(name):
        for container in containers(template):
            image = container["image"]
            assert "@sha256:" in image or not image.endswith(":latest"), (where, image)
            assert "@" in image or ":" in image.rsplit("/", 1)[-1], (where, image)


def test_the_user_ids_can_be_removed_for_openshift():
    sets = [
        f"{block}.podSecurityContext.{key}=null"
        for block in ("pods", "postgresql")
        for key in ("runAsUser", "runAsGroup", "fsGroup")
    ]
    for where, template in pod_specs(render(*sets)).items():
        assert set(template["spec"]["securityContext"]) == {
            "runAsNonRoot",
            "seccompProfile",
            "fsGroupChangePolicy",
        }, where
