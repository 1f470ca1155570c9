"""Faults of predict and of what it stands on, under open-loop load; tests/faults.yaml says what must be seen.

The order matters, because later tests change the installation.
"""

import contextlib
import json
import time

import pytest
from kubernetes_cli import ask, run, wait_for
from open_loop_pod import (
    RATE,
    dropping,
    load,
    on_node,
    pause_until,
    predict_pods,
    processes,
    ready_pods,
    replicas,
)

import load_history

pytestmark = pytest.mark.load

LONGEST_SECONDS = 2.5
"""The service's deadline is 2 s; the rest is the way there and back."""


@pytest.fixture(scope="module")
def three(demo):
    """Three pods of predict."""
    with replicas(demo, 3):
        yield demo


def told(verdict, asked, **figures):
    verdict(**load_history.summary(asked), **figures)
    return [f"{each.code} {each.what} {each.seconds:.2f}s" for each in load_history.failed(asked)][:10]


@pytest.mark.fault("F1")
def test_f1_a_deleted_pod_fails_no_request(three, clients, entities, verdict):
    with load(clients, three, entities, 65) as running:
        time.sleep(10)
        for _ in range(2):
            pod = predict_pods(three)[0]["metadata"]["name"]
            three.kubectl("delete", "pod", pod, "--wait=false")
            time.sleep(15)
        asked = running.history()
    assert told(verdict, asked) == []
    assert len(asked) >= 12_000


@pytest.mark.fault("F2")
def test_f2_three_rolling_restarts_fail_no_request(three, clients, entities, verdict):
    deployment = f"deployment/{three.name}-predict"
    with load(clients, three, entities, 200) as running:
        time.sleep(20)
        began = time.time()
        for _ in range(3):
            three.kubectl("rollout", "restart", deployment)
            three.kubectl("rollout", "status", deployment, "--timeout=180s")
        over = time.time()
        asked = running.history()
    steady = load_history.percentile(load_history.between(asked, 0, began), 0.99)
    restarting = load_history.percentile(load_history.between(asked, began, over), 0.99)
    failures = told(
        verdict, asked, steady_p99_ms=round(1000 * steady, 1), restarting_p99_ms=round(1000 * restarting, 1)
    )
    assert over - began < 175, "the client ended before the restarts"
    assert failures == []


@pytest.mark.fault("F3")
@pytest.mark.parametrize("retry", [False, True])
def test_f3_a_killed_process_fails_few_requests_and_none_with_a_retry(
    three, clients, entities, verdict, retry
):
    with load(clients, three, entities, 65, retry=retry) as running:
        time.sleep(20)
        on_node("kill", "-9", str(processes("streamflow serve predict")[0]))
        killed = time.monotonic()
        wait_for(lambda: ready_pods(three) < 3, "the pod is seen to be not ready", timeout=30, pause=0.2)
        wait_for(lambda: ready_pods(three) == 3, "it is ready again", timeout=60, pause=0.2)
        back = time.monotonic() - killed
        asked = running.history()
    failures = told(verdict, asked, ready_again_s=round(back, 1), retries=int(retry))
    assert len(failures) == 0 if retry else len(load_history.failed(asked)) <= 0.015 * 60 * RATE
    assert back < 20


@pytest.mark.fault("F4")
def test_f4_scaling_out_and_in_fails_no_request(demo, clients, entities, verdict):
    with load(clients, demo, entities, 240, 100) as running:
        began = time.monotonic()
        with replicas(demo, 6):
            out = time.monotonic() - began
        scaled = time.time()
        wait_for(lambda: len(predict_pods(demo)) <= 3, "the autoscaler takes them back", timeout=230)
        asked = running.history()
    down = load_history.between(asked, scaled, float("inf"))
    assert told(verdict, down, six_ready_s=round(out, 1)) == []
    assert out < 90


def unharmed(asked, gone, back):
    """Every request was answered in time, with a prediction or a controlled refusal."""
    assert load_history.uncontrolled(asked) == []
    assert load_history.percentile(load_history.between(asked, gone - 1, back + 10), 1.0) < LONGEST_SECONDS


@pytest.mark.fault("F5")
def test_f5_a_deleted_postgresql_is_a_controlled_refusal_until_it_is_back(three, clients, entities, verdict):
    with load(clients, three, entities, 90) as running:
        time.sleep(15)
        gone = time.time()
        three.kubectl("delete", "pod", f"{three.name}-postgresql-0", "--grace-period=0", "--force")

        def accepts():
            with contextlib.suppress(AssertionError):
                return three.sql("SELECT 1") == [["1"]]

        wait_for(accepts, "PostgreSQL accepts connections", timeout=60, pause=0.2)
        back = time.time()
        asked = running.history()
    again = load_history.good_again(asked, back)
    told(verdict, asked, postgresql_away_s=round(back - gone, 1), predictions_again_s=round(again, 1))
    unharmed(asked, gone, back)
    assert again < 10
    assert all(
        sum(c["restartCount"] for c in p["status"]["containerStatuses"]) <= 1 for p in predict_pods(three)
    )


@pytest.mark.fault("F7")
def test_f7_a_postgresql_that_hangs_is_a_controlled_refusal_in_time(three, clients, entities, verdict):
    with load(clients, three, entities, 75) as running:
        time.sleep(15)
        gone = time.time()
        on_node("pkill", "-STOP", "-x", "postgres")
        try:
            pause_until(gone + 15)
            ready = ready_pods(three)
            pause_until(gone + 30)
        finally:
            on_node("pkill", "-CONT", "-x", "postgres")
        back = time.time()
        asked = running.history()
    again = load_history.good_again(asked, back)
    told(verdict, asked, predictions_again_s=round(again, 1), ready_while_hanging=ready)
    unharmed(asked, gone, back)
    assert again < 5
    assert ready == 3


@pytest.mark.fault("F9")
def test_f9_ten_minutes_without_mlflow_fail_no_request(three, clients, entities, verdict):
    mlflow = f"deployment/{three.name}-mlflow"

    def registry_up():
        with three.forwarded(f"{three.name}-registrar", 9101) as url:
            _, text = ask(f"{url}/metrics")
        return "streamflow_model_registry_up 1.0" in text

    with load(clients, three, entities, 630) as running:
        three.kubectl("scale", mlflow, "--replicas=0")
        try:
            wait_for(lambda: not registry_up(), "the registrar says that MLflow is away", timeout=120)
            asked = running.history()
        finally:
            three.kubectl("scale", mlflow, "--replicas=1")
    three.kubectl("rollout", "status", mlflow, "--timeout=180s")
    wait_for(registry_up, "the registrar looks again", timeout=180)
    assert told(verdict, asked) == []
    assert len({each.what for each in asked}) == 1


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
        verdict(missed=2, caught_up=len(caught_up))
        assert len(caught_up) <= 1 + 1  # The one that is due within these seconds, and one to catch up.
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert sum(bool(job["status"].get("active")) for job in jobs()) <= 1
            time.sleep(2)
    finally:
        change(schedule=held["schedule"], suspend=held.get("suspend", False))


@pytest.mark.fault("F30")
@pytest.mark.parametrize("trouble", ["no way to PostgreSQL", "10 % loss", "no DNS"])
def test_f30_a_broken_network_is_a_controlled_refusal_or_unnoticed(
    three, clients, entities, verdict, trouble
):
    address = three.get("pod", f"{three.name}-postgresql-0")["status"]["podIP"]
    both = f"ip daddr {address} {{0}} drop; ip saddr {address} {{0}} drop"
    faults = {
        "no way to PostgreSQL": lambda: dropping(both.format("")),
        "10 % loss": lambda: dropping(both.format("numgen random mod 10 < 1")),
        "no DNS": without_dns,
    }
    with load(clients, three, entities, 70) as running:
        time.sleep(15)
        with faults[trouble]():
            gone = time.time()
            pause_until(gone + 25)
        back = time.time()
        asked = running.history()
    again = load_history.good_again(asked, back)
    key = trouble.replace(" ", "_").replace("%", "percent")
    figures = load_history.summary(asked)
    verdict(**{f"{key}_{name}": figures[name] for name in ("requests", "failed", "controlled", "worst_ms")})
    verdict(**{f"{key}_predictions_again_s": round(again, 1)})
    unharmed(asked, gone, back)
    assert again < 10
    if trouble == "no DNS":
        assert load_history.failed(asked) == []


@contextlib.contextmanager
def without_dns():
    """Take CoreDNS away."""

    def dns(count):
        run("kubectl", "--namespace", "kube-system", "scale", "deployment/coredns", f"--replicas={count}")

    dns(0)
    try:
        yield
    finally:
        dns(1)


@pytest.mark.fault("F36")
def test_f36_serving_goes_on_without_the_api_server(three, clients, entities, verdict):
    manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    with load(clients, three, entities, 90) as running:
        time.sleep(10)
        on_node("mv", manifest, "/etc/kubernetes/kube-apiserver.yaml")
        try:
            time.sleep(60)
            away = run("kubectl", "get", "--raw", "/readyz", check=False, timeout=60).returncode
        finally:
            on_node("mv", "/etc/kubernetes/kube-apiserver.yaml", manifest)
        wait_for(
            lambda: run("kubectl", "get", "--raw", "/readyz", check=False).stdout == "ok",
            "the API server is back",
            timeout=180,
        )
        asked = running.history()
    assert told(verdict, asked) == []
    assert away != 0, "the API server was not away"


@pytest.mark.fault("F31")
def test_f31_five_times_the_load_leaves_most_of_the_peak(demo, clients, entities, verdict):
    """Two pods whose CPU limit gives them about a hundred requests a second each."""
    deployment = f"deployment/{demo.name}-predict"
    limits = {"cpu": "100m"}
    patch = {
        "spec": {"template": {"spec": {"containers": [{"name": "predict", "resources": {"limits": limits}}]}}}
    }
    with replicas(demo, 2):
        demo.kubectl("patch", deployment, "--patch", json.dumps(patch))
        demo.kubectl("rollout", "status", deployment, "--timeout=300s", timeout=320)
        try:
            peak = 0.0
            for rate in (50, 100, 150, 200, 300, 400):
                with load(clients, demo, entities, 12, rate) as running:
                    asked = running.history()
                good = rate_of_good(asked, 4, 12)
                if good <= peak * 1.05:
                    break
                peak = max(peak, good)
            with load(clients, demo, entities, 45, round(5 * peak)) as running:
                time.sleep(45)
                asked = running.history()
            over = time.time()
            goodput = rate_of_good(asked, 10, 45)
            with demo.forwarded(f"{demo.name}-predict", 80) as url:
                wait_for(
                    lambda: ask(f"{url}/predict", {"user_id": entities[0]})[0] == 200,
                    "it answers",
                    timeout=20,
                    pause=0.2,
                )
            recovered = time.time() - over
        finally:
            demo.kubectl("rollout", "undo", deployment)
            demo.kubectl("rollout", "status", deployment, "--timeout=300s", timeout=320)
    told(
        verdict, asked, peak_per_s=round(peak), goodput_per_s=round(goodput), recovered_s=round(recovered, 1)
    )
    assert goodput >= 0.8 * peak
    assert load_history.uncontrolled(asked) == []
    assert recovered < 5
    assert all(
        sum(c["restartCount"] for c in p["status"]["containerStatuses"]) == 0 for p in predict_pods(demo)
    )


def rate_of_good(asked, start, end):
    """Predictions a second between two moments after the first request."""
    began = asked[0].start
    good = [each for each in asked if each.code == 200 and began + start <= each.end < began + end]
    return len(good) / (end - start)


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
    finally:
        demo.kubectl("delete", "job", "train-without-memory", "--ignore-not-found")
        memory(held)
    wait_for(lambda: killed_says_the_exporter(demo, "train") == "1.0", "the exporter says so", timeout=60)
    assert reasons == {"OOMKilled"}
    assert demo.sql("SELECT version FROM streamflow.current_releases WHERE alias = 'production'") == before
    facts = demo.job("train")
    assert killed_says_the_exporter(demo, "train") == "0.0"
    verdict(reason="OOMKilled", next_run=facts["why"])


def killed_says_the_exporter(demo, job):
    """Value of the exporter's metric that the alert JobKilled reads."""
    read = "import urllib.request as r; print(r.urlopen('http://localhost:9100/metrics').read().decode())"
    lines = demo.kubectl("exec", f"deployment/{demo.name}-exporter", "--", "python", "-c", read).splitlines()
    series = f'streamflow_job_killed{{job_name="{job}"}} '
    return next((line.removeprefix(series) for line in lines if line.startswith(series)), None)


@pytest.mark.fault("F27")
def test_f27_an_image_that_does_not_start_leaves_the_former_pods_serving(demo, clients, entities, verdict):
    deployment = f"deployment/{demo.name}-predict"
    with load(clients, demo, entities, 60) as running:
        demo.kubectl("set", "image", deployment, "predict=postgres:17")
        try:
            time.sleep(40)
            asked = running.history()
        finally:
            demo.kubectl("rollout", "undo", deployment)
            demo.kubectl("rollout", "status", deployment, "--timeout=180s")
    assert told(verdict, asked) == []
