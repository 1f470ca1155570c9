"""Faults of predict and of the servers it stands on, under open-loop load; tests/faults.yaml says what must be seen."""

import contextlib
import json
import time

import nodes
import pytest
from kubernetes_cli import ask, wait_for
from open_loop_pod import (
    RATE,
    load,
    node_of_postgresql,
    predict_pods,
    ready_pods,
    replicas,
    restarted,
    told,
    unharmed,
    watched,
)

import load_history
from open_loop import TIMEOUT_SECONDS

pytestmark = pytest.mark.load


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
    assert restarting <= 2 * steady


@pytest.mark.fault("F3")
@pytest.mark.parametrize("retry", [0, 2])
def test_f3_a_killed_process_fails_few_requests_and_none_with_a_retry(
    three, clients, entities, verdict, retry
):
    with load(clients, three, entities, 65, retry=retry) as running:
        time.sleep(20)
        node = predict_pods(three)[0]["spec"]["nodeName"]
        nodes.on(node, "kill", "-9", str(nodes.processes(node, "streamflow serve predict")[0]))
        killed = time.monotonic()
        wait_for(lambda: ready_pods(three) < 3, "the pod is seen to be not ready", timeout=30, pause=0.2)
        wait_for(lambda: ready_pods(three) == 3, "it is ready again", timeout=60, pause=0.2)
        back = time.monotonic() - killed
        asked = running.history()
    figures = load_history.summary(asked)
    verdict(
        **{
            f"retry_after_{retry}_s_{name}" if retry else name: figures[name]
            for name in ("requests", "failed")
        }
    )
    verdict(ready_again_s=round(back, 1))
    assert figures["failed"] <= (0 if retry else 0.015 * 60 * RATE)
    assert back < 20


@pytest.mark.fault("F4")
def test_f4_scaling_out_and_in_fails_no_request(demo, clients, entities, verdict):
    """Pods that request so little CPU that 600 requests a second need six of them."""
    scaler, deployment = f"horizontalpodautoscaler/{demo.name}-predict", f"deployment/{demo.name}-predict"
    held = demo.get(scaler)["spec"]
    little = {"containers": [{"name": "predict", "resources": {"requests": {"cpu": "60m"}}}]}
    quick = {"scaleDown": {"stabilizationWindowSeconds": 30}}

    def change(**spec):
        demo.kubectl("patch", scaler, "--type=merge", "--patch", json.dumps({"spec": spec}))

    demo.kubectl("patch", deployment, "--patch", json.dumps({"spec": {"template": {"spec": little}}}))
    with replicas(demo, 2, 6):
        change(behavior=quick)
        wait_for(lambda: len(predict_pods(demo)) == 2, "there are two pods", timeout=300)
        try:
            with load(clients, demo, entities, 40, 50, then=((600, 150), (20, 200))) as running:
                nodes.pause_until(time.time() + 40)
                stepped = time.time()
                wait_for(lambda: ready_pods(demo) == 6, "six pods are ready", timeout=120, pause=0.5)
                out = time.time() - stepped
                nodes.pause_until(stepped + 150)
                wait_for(lambda: len(predict_pods(demo)) == 2, "there are two pods again", timeout=190)
                down = time.time() - stepped - 150
                asked = running.history()
        finally:
            change(behavior=held.get("behavior"))
            demo.kubectl("rollout", "undo", deployment)
    demo.kubectl("rollout", "status", deployment, "--timeout=180s")
    falling = load_history.between(asked, stepped + 150, float("inf"))
    failures = told(verdict, falling, six_ready_s=round(out), two_again_s=round(down))
    assert out < 90
    assert failures == []


@pytest.mark.fault("F5")
def test_f5_a_deleted_postgresql_is_a_controlled_refusal_until_it_is_back(three, clients, entities, verdict):
    before = restarted(three)
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
    assert restarted(three) == before


@pytest.mark.fault("F7")
def test_f7_a_postgresql_that_hangs_is_a_controlled_refusal_in_time(three, clients, entities, verdict):
    with load(clients, three, entities, 75) as running:
        time.sleep(15)
        gone = time.time()
        node = node_of_postgresql(three)
        nodes.on(node, "pkill", "-STOP", "-x", "postgres")
        try:
            nodes.pause_until(gone + 15)
            ready = ready_pods(three)
            nodes.pause_until(gone + 30)
        finally:
            nodes.on(node, "pkill", "-CONT", "-x", "postgres")
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


@pytest.mark.fault("F31")
def test_f31_five_times_the_load_leaves_most_of_the_peak(demo, clients, entities, verdict):
    """One pod whose CPU limit gives it about 200 requests a second; so little that most are not even accepted."""
    with replicas(demo, 1, 1):
        wait_for(lambda: len(predict_pods(demo)) == 1, "one pod of predict is left", timeout=120)
        [pod] = predict_pods(demo)
        before = restarted(demo)
        little = {"requests": {"cpu": "20m"}, "limits": {"cpu": "30m"}}
        patch = {"spec": {"containers": [{"name": "predict", "resources": little}]}}
        demo.kubectl(
            "patch", "pod", pod["metadata"]["name"], "--subresource=resize", "--patch", json.dumps(patch)
        )
        try:
            peak = max(goodput(clients, demo, entities, rate)[0] for rate in (100, 200, 300))
            with watched(lambda: ready_pods(demo)) as ready:
                five_times, asked, over = goodput(clients, demo, entities, round(5 * peak))
            [same] = predict_pods(demo)
            after = restarted(demo)
        finally:
            # A new pod has what its Deployment says.
            demo.kubectl("delete", "pod", pod["metadata"]["name"])
    recovered = load_history.good_again(asked, over)
    late = [each for each in load_history.failed(asked) if each.start > over]
    kept = max((each.start - over for each in late if each.kept), default=0.0)
    fresh = max((each.start - over for each in late if not each.kept), default=0.0)
    wrong = [each for each in load_history.uncontrolled(asked) if each.code]
    told(
        verdict,
        asked,
        peak_per_s=round(peak),
        goodput_per_s=round(five_times),
        recovered_s=round(recovered, 1),
        last_failed_kept_s=round(kept, 1),
        last_failed_fresh_s=round(fresh, 1),
    )
    assert five_times >= 0.8 * peak
    assert wrong == []
    assert min(ready) == 1
    assert recovered < 5
    assert kept < 5
    # Until their clients give up, requests of the overload that are not accepted yet compete with new connections.
    assert fresh < TIMEOUT_SECONDS
    assert (same["metadata"]["name"], after) == (pod["metadata"]["name"], before)


def goodput(clients, release, entities, rate):
    """Predictions a second at a rate of requests, the requests, and when the rate fell to a few a second."""
    seconds = 30
    with load(clients, release, entities, seconds, rate, then=((20, 20),)) as running:
        asked = running.history()
    began = asked[0].start
    good = [each for each in asked if each.code == 200 and began + 5 <= each.end < began + seconds]
    return len(good) / (seconds - 5), asked, began + seconds
