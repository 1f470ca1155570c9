"""With `engine: spark`, jobs start executors as pods under the chart's policies, and give what PostgreSQL alone gives."""

import contextlib
import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from kubernetes_cli import run, wait_for
from page_shell import ROOT, STREAMFLOW
from script_pod import script_pod
from test_cluster_network import PROBE

from streamflow.apply import apply
from streamflow.jobs.ingest import ingest_folders
from streamflow.jobs.materialize import materialize
from streamflow.jobs.score import score_as_of
from streamflow.jobs.train import train
from streamflow.postgres.engine import transaction

pytestmark = pytest.mark.load

EXECUTOR = "app.kubernetes.io/component=executor"
RPC, BLOCKS = 7078, 7079
VIEWS = ("subs_profile_fv", "usage_agg_30d_fv", "payments_agg_90d_fv", "support_agg_90d_fv")
ONLINE = (
    "SELECT (to_jsonb(t) - 'created_timestamp' - 'materialization_id')::text FROM online.{view} t ORDER BY 1"
)
SCORES = (
    "SELECT entity, encode(float8send(probability), 'hex'), prediction::text FROM streamflow.scores"
    " WHERE scoring_id = (SELECT max(scoring_id) FROM streamflow.scorings) ORDER BY 1"
)
FINGERPRINTS = "SELECT DISTINCT fingerprint FROM streamflow.scorings"
LOCKED = "FROM pg_locks WHERE relation = 'streamflow.scores'::regclass AND"


@pytest.fixture(scope="module")
def drops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spark") / "drops"
    run(STREAMFLOW, "simulate", folder, "--users", "3000", "--months", "2", "--seed", "1", cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def alone(spark_starts, module_settings, mlflow_server, drops):
    """What the same jobs give in this process with PostgreSQL: fingerprint, online rows and scores."""
    mlflow = {"tracking_uri": mlflow_server, "experiment": "alone", "registered_model": "alone"}
    here = module_settings.model_copy(
        update={
            "mlflow": module_settings.mlflow.model_copy(update=mlflow),
            "training": module_settings.training.model_copy(update={"estimators": ("logistic_regression",)}),
        }
    )
    apply(here)
    ingest_folders(here, drops)
    materialize(here)
    train(here)
    score_as_of(here)
    with transaction(here.database) as connection:

        def rows(statement):
            return [tuple(row) for row in connection.execute(sa.text(statement))]

        return {
            "fingerprints": rows(FINGERPRINTS),
            "online": {view: rows(ONLINE.format(view=view)) for view in VIEWS},
            "scores": rows(SCORES),
        }


@pytest.fixture(scope="module")
def months(alone, spark_starts, drops):
    """The installation after the jobs of both months, what they said, and the pods that were executors meanwhile."""
    release = spark_starts
    for name in ("mlflow", "registrar"):
        release.kubectl(
            "rollout", "status", f"deployment/{release.name}-{name}", "--timeout=600s", timeout=660
        )
    for folder in sorted(drops.iterdir()):
        release.drop(folder, folder.name)
    said = {"ingest": release.job("ingest")}
    seen = {}
    for job in ("materialize", "train", "score"):
        with executors(release) as pods:
            said[job] = release.job(job, timeout=1800)
        seen[job] = pods()
    return said, seen


@contextlib.contextmanager
def executors(release):
    """Watch executors; yield a function that returns them as they were seen last, once the block has ended."""
    command = ["get", "pods", f"--selector={EXECUTOR}", "--watch", "--output=json"]
    with tempfile.TemporaryFile("w+") as out:
        found = {}
        with subprocess.Popen(["kubectl", "--namespace", release.namespace, *command], stdout=out) as process:
            try:
                yield lambda: found
            finally:
                process.terminate()
        out.seek(0)
        text = out.read()
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        pod, place = decoder.raw_decode(text, place)
        place += len(text[place:]) - len(text[place:].lstrip())
        if pod["status"].get("podIP"):
            found[pod["metadata"]["name"]] = pod


def none_left(release):
    return wait_for(
        lambda: not release.get("pods", f"--selector={EXECUTOR}") and "none", "no executor is left", 120
    )


def rows(release, statement):
    return [tuple(row) for row in release.sql(statement)]


@contextlib.contextmanager
def nobody_stores_scores(release):
    """Hold a lock, so that a scoring waits in the middle: all is computed, and no score is stored yet."""
    holding = "BEGIN; LOCK TABLE streamflow.scores IN SHARE MODE; SELECT pg_sleep(3000)"
    psql = ["psql", "-U", "postgres", "-d", "streamflow", "-c", holding]
    command = [
        "kubectl",
        "-n",
        release.namespace,
        "exec",
        f"statefulset/{release.name}-postgresql",
        "--",
        *psql,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(
                lambda: release.sql(f"SELECT pid {LOCKED} granted AND mode = 'ShareLock'"), "the lock", 60
            )
            yield
        finally:
            release.sql(f"SELECT pg_terminate_backend(pid) {LOCKED} granted AND mode = 'ShareLock'")
            process.wait(timeout=60)


@contextlib.contextmanager
def waiting_scoring(release):
    """A scoring that waits for the lock, as its driver and its running executors; it goes on after the block."""
    # The job scores the same version and drops only once, and the record of that is append-only.
    release.sql(
        "SET session_replication_role = replica; TRUNCATE streamflow.scorings, streamflow.scores CASCADE"
    )
    with ThreadPoolExecutor(1) as pool:
        with nobody_stores_scores(release):
            scoring = pool.submit(release.job, "score", 1800)
            wait_for(
                lambda: scoring.done() or release.sql(f"SELECT pid {LOCKED} NOT granted"),
                "a scoring waits",
                900,
            )
            assert not scoring.done(), scoring.result()
            yield running(release, "app.kubernetes.io/component=score"), running(release, EXECUTOR)
        scoring.result()


def running(release, selector):
    pods = release.get("pods", f"--selector={selector}", "--field-selector=status.phase=Running")
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def kill(release, pod):
    release.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")


def reached(release, name, targets, expected, labels=None):
    """Names of the targets that a new pod with these labels can connect to."""
    arguments = [json.dumps(targets), json.dumps(sorted(expected)), ""]
    pod = script_pod(name, PROBE, arguments, cpu="10m", memory="32Mi", labels=labels)
    release.kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    release.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=180s")
    return set(json.loads(release.kubectl("logs", name)))


def test_every_job_gives_what_postgresql_alone_gives_to_the_last_bit(months, alone, spark_starts):
    said, _ = months
    assert said["train"]["version"] == 1
    assert said["train"]["promoted"], said["train"]["why"]
    assert rows(spark_starts, FINGERPRINTS) == alone["fingerprints"]
    for view in VIEWS:
        assert rows(spark_starts, ONLINE.format(view=view)) == alone["online"][view]
    assert len(alone["scores"]) > 2000
    assert rows(spark_starts, SCORES) == alone["scores"]


def test_each_job_ran_on_two_executors_which_may_do_nothing_and_know_no_password(months, spark_starts):
    _, seen = months
    for job, pods in seen.items():
        assert len(pods) == 2, (job, sorted(pods))
        for pod in pods.values():
            spec = pod["spec"]
            assert spec["serviceAccountName"] == "streamflow-executor"
            assert spec["automountServiceAccountToken"] is False
            assert not any("secret" in volume or "projected" in volume for volume in spec["volumes"])
            [container] = spec["containers"]
            assert not any("PASSWORD" in item["name"] for item in container["env"])
    # Spark removes them at the end of a job.
    assert none_left(spark_starts)


@pytest.fixture(scope="module")
def disturbed(months, spark_starts):
    """A scoring in whose middle others tried its ports, and then an executor was killed with what it had computed."""
    own = {"app.kubernetes.io/name": "streamflow", "app.kubernetes.io/instance": spark_starts.name}
    with waiting_scoring(spark_starts) as (drivers, pods):
        [driver] = drivers
        assert len(pods) == 2
        targets = {"driver": (driver["status"]["podIP"], RPC)}
        targets |= {pod["metadata"]["name"]: (pod["status"]["podIP"], BLOCKS) for pod in pods}
        found = {
            "a pod of somebody else": reached(spark_starts, "stranger", targets, set()),
            "an executor": reached(
                spark_starts, "peer", targets, set(targets), own | dict([EXECUTOR.split("=")])
            ),
        }
        for name in ("stranger", "peer"):
            spark_starts.kubectl("delete", "pod", name)
        kill(spark_starts, pods[0])
    return found, set(targets)


def test_executors_alone_reach_a_driver_and_each_other(disturbed):
    found, targets = disturbed
    assert found == {"a pod of somebody else": set(), "an executor": targets}


def test_a_scoring_that_loses_an_executor_stores_the_same_scores(disturbed, alone, spark_starts):
    assert rows(spark_starts, SCORES) == alone["scores"]
    assert none_left(spark_starts)


def test_a_scoring_that_loses_its_driver_is_repeated_and_its_executors_end(months, alone, spark_starts):
    with waiting_scoring(spark_starts) as (drivers, pods):
        [driver] = drivers
        kill(spark_starts, driver)
        former = {pod["metadata"]["uid"] for pod in pods}
        assert len(former) == 2
        wait_for(
            lambda: not former & {pod["metadata"]["uid"] for pod in running(spark_starts, EXECUTOR)},
            "the executors of the driver end",
            180,
        )
    assert rows(spark_starts, SCORES) == alone["scores"]
    assert none_left(spark_starts)
