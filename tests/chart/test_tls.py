"""TLS between PostgreSQL and every pod: who gets the certificate, who checks it."""

from __future__ import annotations

import pytest
from render import NAMESPACE, configuration, containers, pick, pod_specs, render

SECRET = ("postgresql.tls.enabled=true", "postgresql.tls.existingSecret=certificate")
ISSUER = ("postgresql.tls.enabled=true", "postgresql.tls.issuerRef.name=ours")
MADE = "streamflow-postgresql-tls"
AUTHORITY = "/run/secrets/database-authority"


def settings(objects):
    return pick(objects, "ConfigMap", "streamflow-settings")["data"]


def secrets(template):
    """Items of each mounted Secret by its name; None if the pod gets all of it."""
    volumes = template["spec"].get("volumes", [])
    return {v["secret"]["secretName"]: v["secret"].get("items") for v in volumes if "secret" in v}


def test_without_the_option_nothing_of_it_is_there():
    objects = configuration("default")
    assert settings(objects)["STREAMFLOW_DATABASE__SSLMODE"] == "disable"
    assert "PGSSLROOTCERT" not in settings(objects)
    server = containers(pod_specs(objects)["StatefulSet streamflow-postgresql"])[-1]
    assert not [argument for argument in server["args"] if "ssl" in argument or "hba" in argument]
    assert not [
        volume
        for t in pod_specs(objects).values()
        for volume in t["spec"]["volumes"]
        if "authority" in volume["name"]
    ]


@pytest.mark.parametrize(("sets", "secret"), [(SECRET, "certificate"), (ISSUER, MADE)])
def test_every_container_checks_the_server_and_the_server_alone_has_the_key(sets, secret):
    objects = render(*sets, "demo.enabled=true")
    assert settings(objects)["STREAMFLOW_DATABASE__SSLMODE"] == "verify-full"
    assert settings(objects)["PGSSLROOTCERT"] == f"{AUTHORITY}/ca.crt"
    for where, template in pod_specs(objects).items():
        if where == "StatefulSet streamflow-postgresql":
            assert secrets(template)[secret] is None
            continue
        assert secrets(template)[secret] == [{"key": "ca.crt", "path": "ca.crt"}], where
        for container in containers(template):
            mounted = {mount["mountPath"]: mount.get("readOnly") for mount in container["volumeMounts"]}
            assert mounted.get(AUTHORITY) is True, (where, container["name"])


def test_the_server_accepts_tls_alone():
    objects = render(*SECRET)
    server = containers(pod_specs(objects)["StatefulSet streamflow-postgresql"])[-1]
    mounted = {mount["mountPath"] for mount in server["volumeMounts"]}
    for parameter in ("ssl_cert_file", "ssl_key_file", "hba_file"):
        [path] = [
            argument.partition("=")[2] for argument in server["args"] if argument.startswith(f"{parameter}=")
        ]
        assert path.rpartition("/")[0] in mounted
    assert "ssl=on" in server["args"]
    access = pick(objects, "ConfigMap", "streamflow-postgresql")["data"]["pg_hba.conf"].splitlines()
    assert {line.split()[0] for line in access} == {"local", "hostssl"}


def test_parameters_of_the_server_cannot_turn_tls_off():
    objects = render(*SECRET, "postgresql.parameters.ssl=off")
    server = containers(pod_specs(objects)["StatefulSet streamflow-postgresql"])[-1]
    assert [argument for argument in server["args"] if argument.startswith("ssl=")] == ["ssl=on"]


def test_cert_manager_makes_the_certificate_for_the_name_that_pods_use():
    objects = render(*ISSUER, "postgresql.tls.issuerRef.kind=ClusterIssuer")
    made = pick(objects, "Certificate")["spec"]
    host = settings(objects)["STREAMFLOW_DATABASE__HOST"]
    assert made["secretName"] == MADE
    assert made["issuerRef"] == {"name": "ours", "kind": "ClusterIssuer"}
    assert made["dnsNames"] == [host, f"{host}.{NAMESPACE}", f"{host}.{NAMESPACE}.svc"]
    assert not [item for item in render(*SECRET) if item["kind"] == "Certificate"]


def test_an_external_server_is_checked_against_the_authority_that_is_named():
    objects = configuration("external-postgres")
    assert settings(objects)["STREAMFLOW_DATABASE__SSLMODE"] == "verify-full"
    assert settings(objects)["PGSSLROOTCERT"] == f"{AUTHORITY}/ca.crt"
    for where, template in pod_specs(objects).items():
        assert secrets(template)["postgres-authority"] == [{"key": "ca.crt", "path": "ca.crt"}], where


def test_an_external_server_may_be_checked_against_a_certificate_that_the_user_mounts():
    objects = render(
        "postgresql.enabled=false",
        "externalDatabase.host=db",
        "externalDatabase.existingSecret=root",
        "externalDatabase.maxConnections=200",
        "externalDatabase.sslmode=verify-full",
        "pods.extraEnv[0].name=PGSSLROOTCERT",
        "pods.extraEnv[0].value=/mine/ca.crt",
    )
    assert "PGSSLROOTCERT" not in settings(objects)
    for where, template in pod_specs(objects).items():
        for container in containers(template):
            assert {"name": "PGSSLROOTCERT", "value": "/mine/ca.crt"} in container["env"], where
