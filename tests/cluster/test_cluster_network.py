"""Try connections between every pair of components, and from pods that do not belong to the platform."""

import json

import kubernetes_cli
import pytest
from kubernetes_cli import FACTS, Release, wait_for
from script_pod import script_pod

# Those of Prefect are tried in test_cluster_prefect.py, with Prefect.
INSTALLED = {name: own for name, own in FACTS.items() if "enabledBy" not in own}
PORTS = {name: own.get("port", own.get("metricsPort")) for name, own in INSTALLED.items()}
PORTS = {name: port for name, port in PORTS.items() if port}
# Here connections are tried; tests/chart/test_network.py compares the policies with what is intended.
SERVERS = {name: set(own["talksTo"]) for name, own in INSTALLED.items() if name in PORTS}
JOBS = {
    name: set(own["talksTo"]) for name, own in (INSTALLED | kubernetes_cli.JOBS).items() if name not in PORTS
}
# Policies take effect on a new pod with a delay, so try until the result is as expected, at most a minute.
PROBE = """
import json, socket, sys, time
targets, expected, own = json.loads(sys.argv[1]), set(json.loads(sys.argv[2])), sys.argv[3]
def opens(address):
    try:
        socket.create_connection(address, timeout=2).close()
        return True
    except OSError:
        return False
deadline = time.monotonic() + 60
while True:
    found = {name for name, address in targets.items() if name != own and opens(tuple(address))}
    if found == expected or time.monotonic() > deadline:
        break
print(json.dumps(sorted(found)))
"""
# PostgreSQL's image does not contain Python, but bash can open connections.
SHELL_PROBE = (
    'for target in "$@"; do'
    ' timeout 2 bash -c "exec 3<>/dev/tcp/$target" 2>/dev/null && echo "$target"; done; true'
)


@pytest.fixture(scope="module")
def addresses(demo):
    """IP address and port of one pod of each component."""
    found = {}
    for pod in demo.pods():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        if component in PORTS and pod["status"].get("podIP"):
            found[component] = (pod["status"]["podIP"], PORTS[component])
    assert set(found) == set(PORTS)
    return found


@pytest.mark.parametrize("source", [name for name in SERVERS if name != "postgresql"])
def test_a_server_reaches_what_it_needs_and_nothing_else(demo, addresses, source):
    arguments = [json.dumps(addresses), json.dumps(sorted(SERVERS[source])), source]
    out = demo.kubectl("exec", f"deployment/{demo.name}-{source}", "--", "python", "-c", PROBE, *arguments)
    assert set(json.loads(out)) == SERVERS[source]


def test_every_server_listens_where_it_is_looked_for(demo):
    """Otherwise a wrong port number would look like a policy that blocks the connection."""
    for name in set(PORTS) - {"postgresql"}:
        local = json.dumps({name: ("127.0.0.1", PORTS[name])})
        out = demo.kubectl(
            "exec",
            f"deployment/{demo.name}-{name}",
            "--",
            "python",
            "-c",
            PROBE,
            local,
            json.dumps([name]),
            "",
        )
        assert json.loads(out) == [name]


def test_postgresql_reaches_nobody(demo, addresses):
    targets = [f"{host}/{port}" for name, (host, port) in addresses.items() if name != "postgresql"]
    shell = ["bash", "-c", SHELL_PROBE, "probe", *targets]
    assert demo.kubectl("exec", f"statefulset/{demo.name}-postgresql", "--", *shell).split() == []
    itself = demo.kubectl("exec", f"statefulset/{demo.name}-postgresql", "--", *shell[:4], "127.0.0.1/5432")
    assert itself.split() == ["127.0.0.1/5432"]


@pytest.fixture(scope="module")
def jobs(demo, addresses):
    """The components that a pod with the labels of each job can reach."""
    return reached(
        demo, {f"probe-{name}": (labels(demo, name), expected) for name, expected in JOBS.items()}, addresses
    )


@pytest.mark.parametrize("source", JOBS)
def test_a_job_reaches_what_it_needs_and_nothing_else(jobs, source):
    assert jobs[f"probe-{source}"] == JOBS[source]


def test_a_stranger_in_the_namespace_reaches_predict_alone(demo, addresses):
    assert reached(demo, {"stranger": ({}, {"predict"})}, addresses)["stranger"] == {"predict"}


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ("clients", {"predict"}),
        ("monitoring", {"predict", "mlflow", "registrar", "exporter", "feast metrics"}),
    ],
)
def test_another_namespace_reaches_predict_and_monitoring_the_metrics(
    cluster, addresses, namespace, expected
):
    elsewhere = Release(namespace)
    elsewhere.create_namespace()
    targets = {**addresses, "feast metrics": (addresses["feast"][0], FACTS["feast"]["metricsPort"])}
    assert reached(elsewhere, {"stranger": ({}, expected)}, targets)["stranger"] == expected


def labels(release, component):
    return {
        "app.kubernetes.io/name": "streamflow",
        "app.kubernetes.io/instance": release.name,
        "app.kubernetes.io/component": component,
    }


def reached(release, pods, targets):
    """Run all `pods`, given as name -> (labels, expected targets); return what each of them reached."""
    manifests = [manifest(name, held, targets, expected) for name, (held, expected) in pods.items()]
    release.kubectl(
        "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    )
    found = {}
    for name in pods:
        wait_for(
            lambda name=name: release.get("pod", name)["status"]["phase"] in ("Succeeded", "Failed"),
            f"pod {name} in {release.namespace}",
            timeout=300,
        )
        found[name] = set(json.loads(release.kubectl("logs", name)))
    release.kubectl("delete", "pod", *pods, "--grace-period=0", "--force", check=False)
    return found


def manifest(name, held, targets, expected):
    arguments = [json.dumps(targets), json.dumps(sorted(expected)), ""]
    return script_pod(name, PROBE, arguments, cpu="5m", memory="16Mi", labels=held)
