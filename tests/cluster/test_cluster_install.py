"""After one `helm install`, everything is ready and answers."""

import json
import os
import subprocess

import pytest
from kubernetes_cli import answers, any_entity, ask, is_ready, restarts, wait_for
from page_shell import STREAMFLOW

from streamflow.jobs import catalog
from streamflow.postgres import locks


def test_every_pod_is_ready_without_a_restart(demo, figures):
    pods = wait_for(lambda: all_ready(demo), "every pod Ready", timeout=120)
    assert {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods} == {
        "postgresql",
        "mlflow",
        "feast",
        "predict",
        "registrar",
        "exporter",
    }
    figures(f"helm install --wait took {demo.seconds_to_install:.0f} s,")
    figures(f"the first right answer of /predict came {demo.seconds_to_answer:.0f} s after its start.")


def all_ready(release):
    pods = release.pods()
    assert sum(map(restarts, pods)) == 0, {pod["metadata"]["name"]: restarts(pod) for pod in pods}
    return pods if all(map(is_ready, pods)) else None


def test_the_namespace_is_restricted_and_refuses_what_is_not(demo):
    done = demo.kubectl("run", "root", "--image=busybox:stable", "--dry-run=server", check=False)
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted' in done.stderr


def test_the_demos_model_serves_an_explained_prediction(demo):
    answer = answers(demo)
    assert answer["model"]["version"] == 1
    assert 0 <= answer["probability"] <= 1


def test_an_unknown_entity_is_refused_with_the_missing_names(demo):
    with demo.forwarded(f"{demo.name}-predict", 80) as url:
        status, problem = ask(f"{url}/predict", {"user_id": "nobody"})
    assert (status, problem["code"], problem["reason"]) == (404, "missing_features", "unknown_entity")


def test_mlflow_and_feast_answer_through_a_port_forward(demo):
    with demo.forwarded(f"{demo.name}-mlflow", 5000) as url:
        status, found = ask(
            f"{url}/api/2.0/mlflow/registered-models/alias?name=streamflow_churn&alias=production",
            login=demo.login("viewer"),
        )
        assert (status, found["model_version"]["version"]) == (200, "1")
    with demo.forwarded(f"{demo.name}-feast", 6566) as url:
        body = {"feature_service": "churn_v1", "entities": {"user_id": [any_entity(demo)]}}
        status, found = ask(f"{url}/get-online-features", body)
        assert status == 200
        assert all(item["statuses"] in (["PRESENT"], ["NULL_VALUE"]) for item in found["results"])


def test_the_list_has_all_jobs(demo):
    jobs = json.loads(streamflow("jobs", "list", "-n", demo.namespace, "--json"))
    assert {job["name"] for job in jobs} == set(catalog.JOBS)


@pytest.mark.parametrize("job", ["score", "parity", "audit", "backup"])
def test_a_job_by_hand_does_its_work(demo, job):
    assert demo.job(job)


@pytest.mark.fault("F14")
def test_two_of_one_job_never_work_at_once(demo):
    hold = f"SELECT pg_advisory_lock({locks.key(locks.of_job('monitor'))}); SELECT pg_sleep(3600)"
    shell = ["psql", "-U", "postgres", "-d", "streamflow", "-c", hold]
    holder = ["kubectl", "-n", demo.namespace, "exec", f"statefulset/{demo.name}-postgresql", "--", *shell]
    sleeping = "FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND wait_event = 'PgSleep'"
    with subprocess.Popen(holder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: demo.sql(f"SELECT 1 {sleeping}"), "the lock is held")
        runs = demo.sql("SELECT count(*) FROM streamflow.job_runs WHERE job = 'monitor'")
        log = streamflow("jobs", "run", "monitor", "-n", demo.namespace)
        assert "already running" in log
        assert demo.sql("SELECT count(*) FROM streamflow.job_runs WHERE job = 'monitor'") == runs
        demo.sql(f"SELECT pg_terminate_backend(pid) {sleeping}")
        process.wait(60)


def streamflow(*arguments):
    done = subprocess.run(
        [STREAMFLOW, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
