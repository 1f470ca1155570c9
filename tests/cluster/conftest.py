"""Fixtures that start a cluster and install the chart. These tests run only if TEST_CLUSTER is set.

cluster   a cluster with both images, started by the README's first command for Kubernetes
demo      the chart with demo.enabled, installed by the README's second command in a restricted namespace
way       the chart without drops, with all schedules suspended and two pods that score; tests start the jobs
spark_starts  as `way`, with `engine: spark` and two executors a job, while its pods start

TEST_CLUSTER=required    fail if this machine cannot run a cluster (`make test-cluster`)
TEST_CLUSTER=possible    skip the tests in that case, with the reason (`.ci/run`)
KEEP=1                   use a cluster that is already running, and do not stop it at the end
CLUSTER=NAME             name of the cluster
"""

import contextlib
import csv
import os
import shlex
import shutil
import subprocess
import sys
import time

import pytest
from kubernetes_cli import CHART, IMPOSSIBLE, TEST_LABEL, Release, answers, block, run, wait_for
from open_loop_pod import replicas
from page_shell import ROOT, STREAMFLOW

WANTED = os.environ.get("TEST_CLUSTER", "")
KEEP = os.environ.get("KEEP", "0") not in ("", "0")
NAMESPACES = ("streamflow", "streamflow-way", "streamflow-spark", "monitoring", "clients")
LAKE = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: lake}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
collect_ignore_glob = [] if WANTED else ["test_*.py"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Run cluster tests after all others: read-only tests, faults, load tests, and at last those that use `way` or Spark.

    Faults and load change the installation. `way` and Spark's are further ones, and two cores cannot run two at once.
    """
    for item in items:
        if item.path.parent.name == "cluster":
            item.add_marker(pytest.mark.timeout(3600))
    items.sort(key=_turn)


def _turn(item):
    if item.path.parent.name != "cluster":
        return 0
    if {"way", "spark_starts"} & set(getattr(item, "fixturenames", ())):
        return 4
    if item.get_closest_marker("load"):
        return 3
    return 2 if "faults" in item.path.name else 1


@pytest.fixture(scope="session")
def figures(request):
    """A function that prints a line even if the test passes."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def tell(text):
        with capture.global_and_fixture_disabled():
            if reporter is None:
                # One of several processes of pytest-xdist.
                print(f"    {text}", file=sys.stderr, flush=True)
                return
            reporter.ensure_newline()
            reporter.write_line(f"    {text}")

    return tell


# What is done when the last of these tests has ended. Other tests that the process goes on with find neither a cluster at
# work nor its programs and its environment.
leaving = contextlib.ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    result = yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        leaving.close()
    return result


@pytest.fixture(scope="session")
def cluster(tmp_path_factory, figures):
    """Start the cluster, load the images, and point kubectl and helm at it."""
    patch = leaving.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("CLUSTER", os.environ.get("CLUSTER", "streamflow-test"))
    patch.delenv("TAG", raising=False)
    if not KEEP:
        script("down")
        leaving.callback(script, "down")
    began = time.monotonic()
    log = tmp_path_factory.mktemp("cluster") / "up.log"
    make(block("README.md", "On Kubernetes")[0], log)
    figures(f"cluster, images and loading took {time.monotonic() - began:.0f} s.")
    for name, value in environment():
        patch.setenv(name, value)
    if helm4 := shutil.which("helm4"):
        # The tests and the pages' commands run Helm 4 as `helm`, where it is there under that name.
        (log.parent / "helm").symlink_to(helm4)
        patch.setenv("PATH", f"{log.parent}:{os.environ['PATH']}")
    figures(f"helm {run('helm', 'version', '--short').strip()}")
    for namespace in NAMESPACES:
        Release(namespace).delete_namespace()
    if os.environ["CLUSTER_HAS_TOOL"] == "yes":
        script("load", "prom/prometheus:v3.16.0")


def make(command, log):
    """Run the README's command that starts the cluster; its output goes to a file."""
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
    """Run images/cluster.sh; return its output."""
    return run(ROOT / "images" / "cluster.sh", *arguments, timeout=900)


def environment():
    """PATH and KUBECONFIG as `images/cluster.sh env` sets them; and whether a tool manages the cluster."""
    exports = script("env")
    yield "CLUSTER_HAS_TOOL", "yes" if exports.strip() else "no"
    for name in ("PATH", "KUBECONFIG"):
        value = run("bash", "-c", f'{exports}\nprintf %s "${{{name}:-}}"')
        if value:
            yield name, value


@pytest.fixture(scope="session")
def current():
    """The current installations by namespace; `stand` keeps at most one."""
    return {}


def stand(current, release):
    """Delete all other installations, and create the namespace of this one."""
    for other in [item for item in current.values() if item.namespace != release.namespace]:
        other.delete_namespace()
        del current[other.namespace]
    current[release.namespace] = release
    release.create_namespace()
    return release


@pytest.fixture(scope="session")
def demo(cluster, current, figures):
    """The README's installation, in a namespace with the restricted Pod Security Standard."""
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
def way_starts(cluster, current):
    """The installation of `way` while its pods start, for what can be prepared meanwhile."""
    release = stand(current, Release("streamflow-way"))
    # Two pods score, and their scores are compared with those of one process.
    sets = ("demo.enabled=false", "jobDefaults.suspend=true", "jobs.score.shards=2")
    release.chart("install", *sets, wait=False)
    return release


@pytest.fixture(scope="module")
def way(way_starts):
    """The chart without drops, with all schedules suspended and with two pods that score."""
    release = way_starts
    for name in ("mlflow", "feast", "registrar", "exporter"):
        release.kubectl(
            "rollout", "status", f"deployment/{release.name}-{name}", "--timeout=600s", timeout=660
        )
    return release


@pytest.fixture(scope="module")
def spark_starts(cluster, current, tmp_path_factory):
    """The chart with `engine: spark` and two executors a job, without drops, while its pods start."""
    make("make image-spark load", tmp_path_factory.mktemp("spark") / "image.log")
    release = stand(current, Release("streamflow-spark"))
    release.kubectl("apply", "--filename=-", stdin=LAKE)
    values = [word for name in ("small", "spark") for word in ("--values", CHART / "ci" / f"{name}.yaml")]
    # What is trained matters little here, and the other estimators take longer.
    sets = "demo.enabled=false,jobDefaults.suspend=true,settings.training.estimators={logistic_regression}"
    release.helm("install", CHART, *values, "--set", sets)
    return release


@pytest.fixture(scope="session")
def months(tmp_path_factory):
    """The two months of the demo and the next one, generated as the demo does."""
    folder = tmp_path_factory.mktemp("months") / "drops"
    command = [STREAMFLOW, "simulate", folder, "--users", "7000", "--months", "3", "--seed", "1"]
    run(*command, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def entities(months):
    """Users whose features are complete in February and in March, so that predict accepts them in both."""
    whole = None
    for month in ("2024-02-29", "2024-03-31"):
        for file in (months / month).glob("*.csv"):
            with file.open(encoding="utf-8", newline="") as lines:
                complete = {row["user_id"] for row in csv.DictReader(lines) if all(row.values())}
            whole = complete if whole is None else whole & complete
    assert len(whole) > 1000
    return sorted(whole)[:: len(whole) // 200][:200]


@pytest.fixture(scope="module")
def three(demo):
    """The README's installation with three pods of predict."""
    with replicas(demo, 3):
        yield demo


@pytest.fixture(scope="session")
def clients(cluster):
    """A namespace for load clients."""
    found = Release("clients")
    found.create_namespace()
    leaving.callback(found.delete_namespace)
    return found


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
    """Report a namespace after a failure: pods, events, and the last lines of every log."""
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
    """Output of a kubectl command, or why there is none; never fails, so that the report is complete."""
    try:
        done = run("kubectl", "--namespace", namespace, *command, check=False, timeout=60)
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stdout + done.stderr
