"""A cluster with both images, and the installs of the chart in it. Off unless TEST_CLUSTER says how much they matter.

cluster   the cluster is up and has the images: README's first command on Kubernetes
demo      README's second command: the chart with demo.enabled, in a namespace held to the restricted standard
way       the chart without any drop; every schedule waits to be started by hand

TEST_CLUSTER=required    a machine that can run no cluster fails the tests (`make test-cluster`)
TEST_CLUSTER=possible    there they are skipped, saying why (`.ci/run`)
KEEP=1                   a cluster that is up is taken, and left
CLUSTER=NAME             its name
"""

import os
import shlex
import subprocess
import time

import pytest
from kubernetes_cli import IMPOSSIBLE, ROOT, TEST_LABEL, Release, answers, block, run, wait_for

WANTED = os.environ.get("TEST_CLUSTER", "")
KEEP = os.environ.get("KEEP", "0") not in ("", "0")
NAMESPACES = ("streamflow", "streamflow-way", "monitoring", "clients")
collect_ignore_glob = [] if WANTED else ["test_*.py"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """After everything that needs no cluster: what leaves the install as it is, load, which does not, and `way`.

    `way` has an install of its own, and two are too much for two cores.
    """
    for item in items:
        if item.path.parent.name == "cluster":
            item.add_marker(pytest.mark.timeout(3600))
    items.sort(key=_turn)


def _turn(item):
    if item.path.parent.name != "cluster":
        return 0
    if "way" in getattr(item, "fixturenames", ()):
        return 3
    return 2 if item.get_closest_marker("load") else 1


@pytest.fixture(scope="session")
def figures(request):
    """Print a line that is seen in the log of a passed test, too."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def tell(text):
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"    {text}")

    return tell


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, figures):
    """The cluster is up and has the images; kubectl and helm find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLUSTER", os.environ.get("CLUSTER", "streamflow-test"))
        patch.delenv("TAG", raising=False)
        if not KEEP:
            script("down")
        began = time.monotonic()
        log = tmp_path_factory.mktemp("cluster") / "up.log"
        make(block("README.md", "On Kubernetes")[0], log)
        figures(f"cluster, images and loading took {time.monotonic() - began:.0f} s.")
        for name, value in environment():
            patch.setenv(name, value)
        for namespace in NAMESPACES:
            Release(namespace).delete_namespace()
        if os.environ["CLUSTER_HAS_TOOL"] == "yes":
            script("load", "prom/prometheus:v3.16.0")
        yield
        if not KEEP:
            script("down")


def make(command, log):
    """Run README's command that makes the cluster; what it prints goes to a file."""
    words = shlex.split(command)
    assert words[0] == "make", command
    for target in words[1:]:
        with log.open("a", encoding="utf-8") as out:
            code = subprocess.run(
                ["make", "--no-print-directory", target],
                cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, timeout=2400, check=False,
            ).returncode  # fmt: skip
        if code:
            last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
            if IMPOSSIBLE in last and WANTED == "possible":
                reason = next(line for line in last.splitlines() if IMPOSSIBLE in line)
                pytest.skip(f"NOTHING was tested on a cluster. {reason}")
            pytest.fail(f"make {target} ended with {code}:\n{last}", pytrace=False)


def script(*arguments):
    return run(ROOT / "images" / "cluster.sh", *arguments, timeout=900)


def environment():
    """PATH and KUBECONFIG, as `images/cluster.sh env` sets them; and whether the cluster was made by a tool."""
    exports = script("env")
    yield "CLUSTER_HAS_TOOL", "yes" if exports.strip() else "no"
    for name in ("PATH", "KUBECONFIG"):
        value = run("bash", "-c", f'{exports}\nprintf %s "${{{name}:-}}"')
        if value:
            yield name, value


@pytest.fixture(scope="session")
def current():
    """The installs that stand now."""
    return {}


def stand(current, release):
    for other in [item for item in current.values() if item.namespace != release.namespace]:
        other.delete_namespace()
        del current[other.namespace]
    current[release.namespace] = release
    release.create_namespace()
    return release


@pytest.fixture(scope="session")
def demo(cluster, current, figures):
    """README's install, in a restricted namespace."""
    release = stand(current, Release("streamflow"))
    command = shlex.split(block("README.md", "On Kubernetes")[1])
    assert command[:2] == ["helm", "install"]
    began = time.monotonic()
    run(*command, cwd=ROOT, timeout=1500)
    release.seconds_to_install = time.monotonic() - began
    wait_for(lambda: answers(release), "the first right answer of /predict", timeout=300)
    release.seconds_to_answer = time.monotonic() - began
    return release


@pytest.fixture(scope="module")
def way(cluster, current):
    """The chart without any drop; every schedule waits to be started by hand."""
    release = stand(current, Release("streamflow-way"))
    release.chart("install", "demo.enabled=false", "jobDefaults.suspend=true", wait=False)
    for name in ("mlflow", "feast", "exporter"):
        release.kubectl(
            "rollout", "status", f"deployment/{release.name}-{name}", "--timeout=600s", timeout=660
        )
    return release


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and "cluster" in item.fixturenames and "CLUSTER_HAS_TOOL" in os.environ:
        found = run(
            "kubectl", "get", "namespaces", f"--selector={TEST_LABEL}", "--output=name", check=False
        ).stdout
        for namespace in (name.removeprefix("namespace/") for name in found.split()):
            report.sections.append((f"namespace {namespace}", state(namespace)))


def state(namespace):
    """What a person would look at first: pods, events, the last lines of every log."""
    parts = [
        kubectl_or_why(namespace, "get", "pods,jobs,hpa", "--output=wide"),
        kubectl_or_why(namespace, "get", "events", "--sort-by=.lastTimestamp"),
        kubectl_or_why(namespace, "top", "pods"),
    ]
    for pod in kubectl_or_why(namespace, "get", "pods", "--output=name").split():
        log = kubectl_or_why(namespace, "logs", pod, "--all-containers", "--tail=25", "--prefix")
        parts.append(f"--- {pod}\n{log}")
    return "\n".join(parts)


def kubectl_or_why(namespace, *command):
    try:
        done = run("kubectl", "--namespace", namespace, *command, check=False, timeout=60)
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stdout + done.stderr
