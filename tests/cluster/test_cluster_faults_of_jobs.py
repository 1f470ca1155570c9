"""Faults of jobs and of upgrades in a cluster; tests/faults.yaml says what must be seen."""

import json
import subprocess
import time

import pytest
from kubernetes_cli import wait_for
from open_loop_pod import load, told
from page_shell import STREAMFLOW


@pytest.mark.load
@pytest.mark.fault("F25")
def test_f25_a_schedule_that_slept_catches_up_once_and_never_overlaps(demo, verdict):
    name = f"cronjob/{demo.name}-monitor"
    held = demo.get(name)["spec"]

    def jobs():
        owned = [job for job in demo.get("jobs") if job["metadata"].get("ownerReferences")]
        return [j for j in owned if j["metadata"]["ownerReferences"][0]["name"] == f"{demo.name}-monitor"]

    def change(**spec):
        demo.kubectl("patch", name, "--type=merge", "--patch", json.dumps({"spec": spec}))

    assert held["concurrencyPolicy"] == "Forbid"
    change(schedule="* * * * *", suspend=False)
    try:
        wait_for(jobs, "a first run", timeout=90)
        change(suspend=True)
        before = {job["metadata"]["name"] for job in jobs()}
        time.sleep(150)
        change(suspend=False)
        time.sleep(15)
        caught_up = {job["metadata"]["name"] for job in jobs()} - before
        verdict(caught_up=len(caught_up))
        assert len(caught_up) <= 1 + 1  # The one that is due within these seconds, and one to catch up.
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert sum(bool(job["status"].get("active")) for job in jobs()) <= 1
            time.sleep(2)
    finally:
        change(schedule=held["schedule"], suspend=held.get("suspend", False))


@pytest.mark.fault("F23")
def test_f23_a_training_whose_memory_ends_leaves_production_and_the_lock(demo, verdict):
    before = demo.sql("SELECT version FROM streamflow.current_releases WHERE alias = 'production'")
    cron = f"cronjob/{demo.name}-train"
    containers = demo.get(cron)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    held = containers[0]["resources"]

    def memory(resources):
        spec = {"containers": [{"name": containers[0]["name"], "resources": resources}]}
        patch = {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
        demo.kubectl("patch", cron, "--patch", json.dumps(patch))

    memory({"limits": {"memory": "150Mi"}, "requests": {"memory": "100Mi"}})
    try:
        demo.kubectl("create", "job", f"--from={cron}", "train-without-memory")

        def killed():
            pods = demo.get("pods", "--selector=batch.kubernetes.io/job-name=train-without-memory")
            states = [s for pod in pods for s in pod["status"].get("containerStatuses", [])]
            return [
                s
                for s in states
                if s["state"].get("terminated", s["lastState"].get("terminated", {})).get("reason")
            ]

        found = wait_for(killed, "the training is killed", timeout=180)
        reasons = {
            s["state"].get("terminated", s["lastState"].get("terminated", {}))["reason"] for s in found
        }
        knob = "train: killed (OOMKilled). Raise jobs.train.resources.limits.memory"
        wait_for(lambda: knob in listed(demo), "the command line names it", timeout=180)
    finally:
        demo.kubectl("delete", "job", "train-without-memory", "--ignore-not-found")
        memory(held)
    wait_for(lambda: killed_says_the_exporter(demo, "train") == "1.0", "the exporter says so", timeout=60)
    assert reasons == {"OOMKilled"}
    assert demo.sql("SELECT version FROM streamflow.current_releases WHERE alias = 'production'") == before
    facts = demo.job("train")
    assert killed_says_the_exporter(demo, "train") == "0.0"
    verdict(reasons=sorted(reasons), next_run=facts["why"])


def listed(demo):
    """What the command line says of the jobs."""
    command = [STREAMFLOW, "jobs", "list", "-n", demo.namespace]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def killed_says_the_exporter(demo, job):
    """Value of the exporter's metric that the alert JobKilled reads."""
    read = "import urllib.request as r; print(r.urlopen('http://localhost:9100/metrics').read().decode())"
    lines = demo.kubectl("exec", f"deployment/{demo.name}-exporter", "--", "python", "-c", read).splitlines()
    series = f'streamflow_job_killed{{job_name="{job}"}} '
    return next((line.removeprefix(series) for line in lines if line.startswith(series)), None)


@pytest.mark.load
@pytest.mark.fault("F27")
def test_f27_an_image_that_does_not_start_leaves_the_former_pods_serving(demo, clients, entities, verdict):
    deployment = f"deployment/{demo.name}-predict"
    with load(clients, demo, entities, 50, 50) as running:
        demo.kubectl("set", "image", deployment, "predict=postgres:17")
        try:
            time.sleep(40)
            asked = running.history()
        finally:
            demo.kubectl("rollout", "undo", deployment)
            demo.kubectl("rollout", "status", deployment, "--timeout=180s")
    assert told(verdict, asked) == []
